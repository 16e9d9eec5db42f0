//! The kinds of encoders.

pub mod ngrams;
mod numeric;
mod one_hot;

pub use ngrams::{NgramEncoder, NgramHasher};
pub use numeric::NumericEncoder;
pub use one_hot::OneHotEncoder;

use crate::contract::step::{Encoder, Estimator, StepSpec};
use crate::error::Result;
use crate::settings::FeatureSettings;

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
