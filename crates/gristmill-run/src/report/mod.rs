//! What a run reports: the metrics that other programs read, and the summary for people.

pub mod metrics;
mod summary;

pub use gristmill_data::count::{counted, named, thousands};
pub use summary::write_splits;

pub(crate) use summary::summary;
