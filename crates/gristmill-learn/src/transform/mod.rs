//! Fitted encoders of single columns, the label, and the assembler that joins them into rows to learn from.

mod assemble;
mod label;
mod labels;
mod ngram_text;
mod ngrams;
mod numeric;
mod one_hot;
mod spec;
mod target;
mod weight;

pub use assemble::Assembler;
pub use label::{LabelIndexer, OTHER};
pub use labels::Label;
pub use ngram_text::{NgramHasher, ngrams};
pub use ngrams::NgramEncoder;
pub use numeric::NumericEncoder;
pub use one_hot::OneHotEncoder;
pub use target::Target;
pub use weight::Weigher;

use crate::error::Result;
use crate::settings::FeatureSettings;
use crate::step::{Encoder, Estimator, StepSpec};

/// The estimator of a feature: its settings.
pub fn estimator(feature: &FeatureSettings) -> &dyn Estimator {
    match feature {
        FeatureSettings::OneHot(settings) => settings,
        FeatureSettings::Ngrams(settings) => settings,
        FeatureSettings::Numeric(settings) => settings,
    }
}

/// The encoder that a spec describes.
pub fn encoder_from_spec(spec: &StepSpec) -> Result<Box<dyn Encoder>> {
    Ok(match spec.kind.as_str() {
        one_hot::KIND => Box::new(OneHotEncoder::from_spec(spec)?),
        ngrams::KIND => Box::new(NgramEncoder::from_spec(spec)?),
        numeric::KIND => Box::new(NumericEncoder::from_spec(spec)?),
        _ => {
            return Err(spec.bad(format!(
                "the encoders are {}, {} and {}",
                one_hot::KIND,
                ngrams::KIND,
                numeric::KIND
            )));
        }
    })
}
