//! Fitting: the passes that learn encoders and the label from training rows, all in one scan.

mod buckets;
mod many;
mod moments;
mod pipeline;
mod quantiles;
mod vocabulary;

pub use buckets::Buckets;
pub use many::Many;
pub use moments::{Moments, MomentsState};
pub use pipeline::{FitPipeline, Fitted};
pub use quantiles::Quantiles;
pub use vocabulary::{Counts, Vocabulary};

pub(crate) use vocabulary::by_frequency;

use arrow::array::{Array, RecordBatch};

use crate::error::{Error, Result};

/// Column `name` of a state of `pass`, as the array type it must have.
fn state_column<'a, A: Array + 'static>(
    state: &'a RecordBatch,
    name: &str,
    pass: &'static str,
) -> Result<&'a A> {
    state
        .column_by_name(name)
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| Error::State {
            pass,
            why: format!(
                "it has no column `{name}` of the expected type, but {}",
                state.schema_ref()
            ),
        })
}
