//! Mergeable statistics of columns: moments, quantiles, vocabularies, profiles, contents, confusion, errors.

pub(crate) mod column;
mod confusion;
pub(crate) mod content;
mod errors;
pub(crate) mod logarithm;
pub(crate) mod many;
pub(crate) mod moments;
pub(crate) mod profile;
pub(crate) mod quantiles;
mod state;
pub mod undefined;
pub(crate) mod vocabulary;

pub use confusion::{Confusion, Scores};
pub use content::{ColumnContent, Content};
pub use errors::{Errors, RegressionScores};
pub use many::Many;
pub use moments::{Moments, MomentsState};
pub use profile::{ColumnProfile, NumberProfile, Profile};
pub use quantiles::Quantiles;
pub use vocabulary::{Counts, Vocabulary};

pub(crate) use state::{allocated, map_bytes, state_column};
pub(crate) use vocabulary::by_frequency;
