//! Scores as JSON: null stands for a score that is undefined, as every score is where there are no rows.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes NaN as null.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(score: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    (!score.is_nan()).then_some(score).serialize(serializer)
}

/// Reads null as NaN.
///
/// # Errors
/// Where there is neither a number nor null.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
