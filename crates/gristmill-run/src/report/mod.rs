//! What a run reports: the metrics that other programs read, and the summary for people.

mod chosen;
pub mod metrics;
mod summary;

pub use chosen::chosen;
pub use gristmill_data::count::{counted, named, thousands};
pub use summary::write_splits;

pub(crate) use summary::summary;
