//! The model that a training starts from, read from its bundle.

use std::path::Path;
use std::sync::Arc;

use gristmill_learn::contract::registry::Registry;
use gristmill_learn::features::Assembler;
use gristmill_learn::model::bundle::Bundle;
use gristmill_learn::model::{Coefficients, Model};
use gristmill_learn::search::WarmStart;
use gristmill_learn::settings::LabelKind;

use crate::error::Result;
use crate::predict::bundle_file;

/// An earlier model.
pub(crate) struct EarlierModel {
    model: Arc<dyn Model>,
    assembler: Assembler,
    /// The XXH3-128 of its file, in hexadecimal.
    pub(crate) hash: String,
}

impl EarlierModel {
    /// Reads a model's folder, or its file.
    pub(crate) fn read(path: &Path, kinds: &Registry) -> Result<Self> {
        let file = bundle_file(path);
        let Bundle {
            assembler,
            model,
            hash,
            ..
        } = Bundle::read(&file, kinds)?;
        let unusable = |why: String| gristmill_learn::Error::Bundle {
            file: file.display().to_string(),
            why,
        };
        if assembler.label().kind() == LabelKind::Number {
            let why = "it is a regression, and a classifier can only start from a classifier";
            return Err(unusable(why.to_owned()).into());
        }
        let Some(linear) = model.linear() else {
            return Err(unusable(format!(
                "it is a model of kind `{}`, and a training starts from coefficients",
                model.kind()
            ))
            .into());
        };
        if let Coefficients::F64(coefficients) = linear.coefficients()
            && let Some(coefficient) = coefficients.iter().find(|c| !(**c as f32).is_finite())
        {
            return Err(unusable(format!(
                "no training can start from its coefficient {coefficient:e}, which single precision does not hold"
            ))
            .into());
        }
        Ok(Self {
            assembler,
            model,
            hash,
        })
    }

    /// Its coefficients in the places of these features and classes.
    pub(crate) fn align(&self, now: &Assembler) -> Option<WarmStart> {
        let linear = self.model.linear()?;
        Some(WarmStart::align(linear, &self.assembler, now))
    }
}
