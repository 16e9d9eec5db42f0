//! Databases, key-range batches and the Delta dataset.

pub mod settings;
