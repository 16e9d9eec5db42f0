//! Transform: from the dataset to the features table.

use std::path::PathBuf;

use gristmill_data::table::{MANIFEST, TableVersion};
use gristmill_learn::contract::step::LeftOut;
use gristmill_learn::features::{Assembler, FEATURES_FORMAT};
use serde_json::{Value, json};

use super::{Spent, Stage, Teller, Work, fingerprint_of};
use crate::directory::Directory;
use crate::engine::{FINGERPRINT, LEFT_OUT};
use crate::error::{Error, Result, broken_state};
use crate::event::{Pace, StageResult};

/// The features of a fit.
pub(crate) struct Transform<'a> {
    /// Makes them.
    pub(crate) assembler: &'a Assembler,
    /// The fingerprint of the fit that the assembler comes from.
    pub(crate) fit: String,
}

impl Stage for Transform<'_> {
    type Made = (TableVersion, LeftOut);

    const NAME: &'static str = "transform";

    const FORMAT: u32 = FEATURES_FORMAT;

    fn shape(&self) -> Value {
        json!([self.fit])
    }

    /// The manifest, which vouches for the parts.
    fn files(&self, dir: &Directory) -> Vec<PathBuf> {
        vec![dir.features().join(MANIFEST)]
    }

    fn reload(&self, dir: &Directory) -> Result<Self::Made> {
        let features = TableVersion::open_parquet(&dir.features())?;
        let stated = |key| features.metadata.get(key).map_or("", String::as_str);
        if stated(FINGERPRINT) != fingerprint_of(self) {
            return Err(broken_state(&dir.features(), &"they are of another fit"));
        }
        let left_out = serde_json::from_str(stated(LEFT_OUT));
        let left_out = left_out.map_err(|e| broken_state(&dir.features(), &e))?;
        Ok((features, left_out))
    }

    fn run(&self, dir: &Directory, work: &Work<'_>) -> Result<(Self::Made, Spent)> {
        let dataset = work.dataset.rows();
        let rows = dataset.rows;
        let teller = Teller::start(work.observe, Self::NAME, "rows", Some(rows));
        let progress = |done| teller.progress(done, Pace::Steady);
        let made = work.engine.map(
            dataset,
            self.assembler,
            &dir.features(),
            &fingerprint_of(self),
            &progress,
        )?;
        if made.0.rows == 0 {
            let left_out = made.1;
            return Err(Error::NoRows { rows, left_out });
        }
        let seconds = teller.finish(StageResult::Transformed { rows: made.0.rows });
        Ok((made, Spent { seconds, rows }))
    }
}
