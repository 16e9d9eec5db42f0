//! The model that a training starts from, read from its bundle.

use std::fs;
use std::path::Path;

use gristmill_learn::features::Assembler;
use gristmill_learn::model::LinearModel;
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::search::WarmStart;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Result, io};
use crate::predict::bundle_file;

/// An earlier model.
pub(crate) struct EarlierModel {
    model: LinearModel,
    assembler: Assembler,
    /// The XXH3-128 of its file, in hexadecimal.
    pub(crate) hash: String,
}

impl EarlierModel {
    /// Reads a model's folder, or its file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = bundle_file(path);
        let bundle = Bundle::read(&file)?;
        let bytes = fs::read(&file).map_err(io(&file))?;
        Ok(Self {
            assembler: Assembler::from_specs(&bundle.steps)?,
            model: bundle.model,
            hash: format!("{:032x}", xxh3_128(&bytes)),
        })
    }

    /// Its coefficients in the places of these features and classes.
    pub(crate) fn align(&self, now: &Assembler) -> WarmStart {
        WarmStart::align(&self.model, &self.assembler, now)
    }
}
