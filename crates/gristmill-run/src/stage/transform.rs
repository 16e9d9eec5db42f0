//! Transform: from the dataset to the features table.

use std::path::Path;

use gristmill_data::table::TableVersion;
use gristmill_learn::contract::step::LeftOut;
use gristmill_learn::features::Assembler;

use super::Teller;
use crate::engine::{Engine, FINGERPRINT, LEFT_OUT};
use crate::error::Result;
use crate::event::Observe;
use crate::report::thousands;

/// Writes the features; returns them with what was left out and the seconds that took.
pub(crate) fn run(
    engine: &dyn Engine,
    dataset: &TableVersion,
    assembler: &Assembler,
    into: &Path,
    fingerprint: &str,
    observe: &dyn Observe,
) -> Result<(TableVersion, LeftOut, f64)> {
    let teller = Teller::start(observe, "transform", "rows", Some(dataset.rows));
    let progress = |done| teller.progress(done, String::new());
    let (features, left_out) = engine.map(dataset, assembler, into, fingerprint, &progress)?;
    let seconds = teller.finish(format!("{} rows of features", thousands(features.rows)));
    Ok((features, left_out, seconds))
}

/// The features that an earlier run wrote, if they are whole and of this fingerprint.
pub(crate) fn reload(dir: &Path, fingerprint: &str) -> Option<(TableVersion, LeftOut)> {
    let features = TableVersion::open_parquet(dir).ok()?;
    let left_out = serde_json::from_str(features.metadata.get(LEFT_OUT)?).ok()?;
    (features.metadata.get(FINGERPRINT)? == fingerprint).then_some((features, left_out))
}
