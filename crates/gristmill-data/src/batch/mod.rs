//! Batches: planned by key, read, cleaned, hashed and committed in order.

pub mod clean;
mod commit;
mod encode;
pub mod hash;
pub mod ledger;
pub mod order;
pub mod plan;
pub mod pull;
mod queue;
mod read;
mod retry;
pub mod sample;
pub mod verify;

pub use clean::{Cleaner, Dropped};
pub use hash::ContentHash;
pub use ledger::{BatchRecord, DatasetIdentity, Ledger, Record, Totals};
pub use plan::Planner;
pub use pull::{BatchCost, Pace, Progress, Pulled, pull};
pub use sample::{Sample, sample};
pub use verify::{Difference, Found, Verified, verify_files, verify_source};
