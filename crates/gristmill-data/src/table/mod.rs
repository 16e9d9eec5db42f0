//! Tables of Parquet files: the dataset, which is a Delta table, and plain folders.

mod alike;
mod append;
mod compact;
mod entries;
mod hash;
mod identity;
mod intact;
mod ledger;
mod listing;
mod log;
mod manifest;
mod merge;
mod new_table;
mod paths;
mod portable;
mod scan;
mod schema;
mod seal;
mod stamp;
mod vacuum;
mod version;
mod write;

pub use alike::Alike;
pub use append::{Appender, BatchFiles, BatchWriter, WrittenFile};
pub use compact::{Compacted, compact};
pub use hash::ContentHash;
pub use identity::DatasetIdentity;
pub use intact::IntactFiles;
pub use ledger::{BatchRecord, Ledger, Record, Totals};
pub use manifest::MANIFEST;
pub use new_table::NewTable;
pub use schema::{delta_schema, to_delta};
pub use vacuum::{Vacuumed, vacuum};
pub use version::{DataFile, TableVersion};
pub use write::PartWriter;

pub(crate) use listing::{ListedFile, Listing, list_files};
pub(crate) use paths::batches_of;
pub use paths::{check_own, check_path};
pub(crate) use stamp::Stamp;
