//! What a run reports: the metrics that other programs read, and the summary for people.

pub mod metrics;
mod summary;

pub use summary::{thousands, write_splits};

pub(crate) use summary::summary;
