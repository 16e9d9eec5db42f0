//! Pulling: batches planned by key, read, cleaned, hashed and committed in order.

mod commit;
mod dataset;
mod encode;
mod plan;
mod progress;
mod queue;
mod read;
mod retry;
mod sample;

pub use dataset::{Pulled, pull};
pub use plan::Planner;
pub use progress::{BatchCost, Pace, Progress};
pub use sample::{Sample, sample};
