//! What a run would do, found out without writing anything.

use gristmill_data::batch::ledger::Ledger;
use gristmill_data::batch::plan::Planner;
use gristmill_data::source::{ColumnType, KeyRange};
use gristmill_learn::train::{TrainingSize, model_bytes, sums_bytes};
use serde_json::json;

use crate::directory::Directory;
use crate::error::Result;
use crate::memory::rss;
use crate::run::Session;
use crate::settings::fingerprint;
use crate::stage::{fit, train};

/// Ranges of the plan that are worked out.
const SHOWN_RANGES: usize = 3;

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Check {
    /// The database, redacted.
    pub source: String,
    /// The columns and what becomes of their types.
    pub columns: Vec<ColumnType>,
    /// Rows of the query, as the database estimates them.
    pub estimated_rows: Option<u64>,
    /// The first ranges of the plan.
    pub ranges: Vec<KeyRange>,
    /// Whether there are more of them.
    pub more_ranges: bool,
    /// The dimensions of the training, if a run got that far with these settings.
    pub size: Option<TrainingSize>,
    /// How the budget would hold, if the dimensions are known.
    pub memory: Option<Memory>,
}

/// The memory of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the process before training, and kept free beside it.
    pub base: u64,
    /// Bytes of each model of the search.
    pub model: u64,
    /// Models of the search, and how many of them would advance together.
    pub models: u64,
    /// See [`Memory::models`].
    pub together: u64,
    /// The budget.
    pub budget: u64,
}

impl Memory {
    /// Whether at least one model fits.
    pub fn holds(&self) -> bool {
        self.together > 0
    }
}

impl Session<'_> {
    /// Finds out what a run would do.
    ///
    /// # Errors
    /// When the database fails, or the session is not connected.
    pub fn check(&self) -> Result<Check> {
        self.check_types()?;
        let pipeline = self.pipeline();
        let source = self.source()?;
        let (estimated_rows, ranges, more_ranges) = self.block_on(async {
            let estimated_rows = source.estimated_rows().await?;
            let mut planner = Planner::new(pipeline.batch_rows, None, 0);
            let mut ranges = Vec::new();
            while let Some(range) = planner.next(source).await? {
                if ranges.len() == SHOWN_RANGES {
                    return Ok((estimated_rows, ranges, true));
                }
                ranges.push(range);
            }
            Ok::<_, gristmill_data::Error>((estimated_rows, ranges, false))
        })??;
        let size = self.known_size()?;
        let memory = size.map(|size| {
            let base = rss() + train::MARGIN + sums_bytes(&pipeline.model, &pipeline.search, size);
            let model = model_bytes(&pipeline.model, size);
            let models = match pipeline.folds() {
                1 => 1,
                folds => u64::from(folds) * pipeline.model.models() as u64,
            };
            let together = (pipeline.run.memory.saturating_sub(base) / model).min(models);
            Memory {
                base,
                model,
                models,
                together,
                budget: pipeline.run.memory,
            }
        });
        Ok(Check {
            source: source.describe(),
            columns: source.column_types(),
            estimated_rows,
            ranges,
            more_ranges,
            size,
            memory,
        })
    }

    /// The dimensions that an earlier run with these settings found.
    fn known_size(&self) -> Result<Option<TrainingSize>> {
        let pipeline = self.pipeline();
        let dataset = pipeline.run.dir.join("dataset");
        let Some(ledger) = self.block_on(Ledger::read(&dataset))?? else {
            return Ok(None);
        };
        let shaped = fingerprint(json!([ledger.record.totals.hash, pipeline.shaping_of_features()]));
        let dir = Directory::read(&pipeline.run.dir)?;
        Ok(match dir.finished("fit", &shaped) {
            Some(_) => fit::reload(pipeline, &dir.fit()).ok().map(|fitted| TrainingSize {
                features: fitted.assembler.width() as usize,
                classes: fitted.assembler.classes().len(),
            }),
            None => None,
        })
    }
}
