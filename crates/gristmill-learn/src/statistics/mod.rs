//! Mergeable statistics of columns: moments, quantiles, vocabularies, profiles, contents, confusion, errors.

pub(crate) mod calendar;
pub(crate) mod column;
mod confusion;
pub(crate) mod content;
mod derived;
mod errors;
pub(crate) mod extremes;
pub(crate) mod logarithm;
pub(crate) mod many;
pub(crate) mod moments;
pub(crate) mod profile;
pub(crate) mod quantiles;
mod state;
pub mod undefined;
pub(crate) mod vocabulary;

pub use confusion::{Confusion, SMALLEST_PROBABILITY, Scores};
pub use content::{ColumnContent, Content};
pub use derived::Transform;
pub use errors::{Errors, RegressionScores};
pub use extremes::{Extremes, ExtremesState};
pub use many::Many;
pub use moments::{Moments, MomentsState};
pub use profile::{ColumnProfile, NumberProfile, Profile};
pub use quantiles::{Quantiles, Sorted};
pub use vocabulary::{Counts, Vocabulary};

pub(crate) use derived::Derived;
pub(crate) use state::{allocated, map_bytes, state_column};
pub(crate) use vocabulary::{by_frequency, parts};
