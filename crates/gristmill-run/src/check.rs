//! What a run would do, found out without writing anything.

use std::time::Instant;

use gristmill_data::key::KeyRange;
use gristmill_data::pull::Planner;
use gristmill_data::pull::{Sample, sample};
use gristmill_data::source::{ColumnType, Estimate, KeyAccess, Source};
use gristmill_data::table::Ledger;
use gristmill_learn::train::{TrainingSize, WayOut, may_be_lifted, model_bytes, sums_bytes};

use crate::directory::Directory;
use crate::error::Result;
use crate::memory::rss;
use crate::run::Session;
use crate::settings::Pipeline;
use crate::stage::fit::Fit;
use crate::stage::{Found, find, pull, train};

/// Ranges of the plan that are worked out.
const SHOWN_RANGES: usize = 3;

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Check {
    /// The database, redacted.
    pub source: String,
    /// The columns and what becomes of their types.
    pub columns: Vec<ColumnType>,
    /// What is in the query, as the database estimates it, or else as its first rows let expect.
    pub estimate: Estimate,
    /// The first ranges of the plan.
    pub ranges: Vec<KeyRange>,
    /// Whether there are more of them.
    pub more_ranges: bool,
    /// What the database will have to do.
    pub load: Load,
    /// The first rows, as they came.
    pub sample: Sample,
    /// What the user should know before a run.
    pub warnings: Vec<String>,
    /// The dimensions of the training, if a run got that far with these settings.
    pub size: Option<TrainingSize>,
    /// How the budget would hold, if the dimensions are known.
    pub memory: Option<Memory>,
}

/// What a pull asks of the database.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Connections that will read.
    pub connections: usize,
    /// How each range is come to.
    pub access: KeyAccess,
    /// Whether the ends of ranges are looked for besides.
    pub boundaries: bool,
    /// Ranges, where the rows are known.
    pub batches: Option<u64>,
}

impl Check {
    /// Seconds that reading all rows would take at the pace of the first, over one connection.
    pub fn seconds(&self) -> Option<f64> {
        let rows = self.estimate.rows? as f64;
        (self.sample.rows > 0).then(|| rows * self.sample.seconds / self.sample.rows as f64)
    }
}

/// The memory of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Whether symmetries of the rows, which the training looks for, may make a model smaller.
    pub may_shrink: bool,
    /// What would fit, with the bytes of the process then; empty where it holds.
    pub ways: Vec<WayOut>,
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
        let retrieval = self.block_on(retrieval(source, pipeline))??;
        let size = self.known_size()?;
        let memory = size.map(|(size, rows)| {
            let process = rss() + train::MARGIN;
            let base = process + sums_bytes(&pipeline.model, &pipeline.search, size);
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
                may_shrink: may_be_lifted(&pipeline.model, rows),
                ways: if together > 0 {
                    Vec::new()
                } else {
                    train::ways_out(pipeline, &pipeline.model, size, process)
                },
            }
        });
        Ok(Check {
            source: source.describe(),
            columns: source.column_types(),
            estimate: retrieval.estimate,
            ranges: retrieval.ranges,
            more_ranges: retrieval.more_ranges,
            load: retrieval.load,
            sample: retrieval.sample,
            warnings: retrieval.warnings,
            size: size.map(|(size, _)| size),
            memory,
        })
    }

    /// The dimensions that an earlier run with these settings found, and the rows of its dataset.
    fn known_size(&self) -> Result<Option<(TrainingSize, u64)>> {
        let pipeline = self.pipeline();
        let dataset = pipeline.run.dir.join("dataset");
        let Some(ledger) = self.block_on(Ledger::read(&dataset))?? else {
            return Ok(None);
        };
        let fit = Fit::new(pipeline, ledger.record.totals.hash.to_string());
        let dir = Directory::read(&pipeline.run.dir)?;
        let Found::Finished(fitted, _) = find(&fit, &dir) else {
            return Ok(None);
        };
        let size = TrainingSize {
            features: fitted.assembler.width() as usize,
            classes: fitted.assembler.classes().len(),
        };
        Ok(Some((size, ledger.record.totals.rows_kept)))
    }
}

/// What is found out by asking the database.
struct Retrieval {
    estimate: Estimate,
    ranges: Vec<KeyRange>,
    more_ranges: bool,
    load: Load,
    sample: Sample,
    warnings: Vec<String>,
}

async fn retrieval(source: &dyn Source, pipeline: &Pipeline) -> gristmill_data::Result<Retrieval> {
    let mut estimate = source.estimate().await?;
    let access = source.key_access(pipeline.batch_rows).await?;
    let boundaries = !source.can_read_on() && access != KeyAccess::Files;
    let mut planner = Planner::new(pipeline.batch_rows, None, 0);
    let (mut ranges, mut more_ranges) = (Vec::new(), false);
    let mut planning = 0.0;
    let started = Instant::now();
    while let Some(range) = planner.next(source).await? {
        more_ranges = ranges.len() == SHOWN_RANGES;
        if more_ranges {
            break;
        }
        planning = started.elapsed().as_secs_f64();
        ranges.push(range);
    }
    let load = Load {
        connections: connections(source, pipeline.connections).await?,
        access,
        boundaries,
        batches: estimate.rows.map(|rows| rows.div_ceil(pipeline.batch_rows)),
    };
    let warnings = pull::key_warning(&load.access, estimate.rows, pipeline.batch_rows);
    // Last, for what is cut off may keep the connection busy.
    let mut sample = sample(source, &ranges).await?;
    if boundaries && sample.rows > 0 {
        sample.seconds += planning;
    }
    if let (Some(rows), None, 1..) = (estimate.rows, estimate.bytes, sample.rows) {
        estimate.bytes = Some((rows as f64 * sample.bytes as f64 / sample.rows as f64) as u64);
    }
    Ok(Retrieval {
        estimate,
        ranges,
        more_ranges,
        load,
        sample,
        warnings: warnings.into_iter().collect(),
    })
}

/// How many connections the database would give, found out with one more.
async fn connections(source: &dyn Source, wanted: usize) -> gristmill_data::Result<usize> {
    if wanted == 1 {
        return Ok(1);
    }
    match source.fork().await {
        Ok(Some(_)) => Ok(wanted),
        Ok(None) => Ok(1),
        Err(error) if error.may_pass() => Ok(1),
        Err(error) => Err(error),
    }
}
