//! What a run would do, found out without writing anything.

use std::time::Instant;

use gristmill_data::key::KeyRange;
use gristmill_data::prepare::Cleaner;
use gristmill_data::pull::{Planner, Sample, sample};
use gristmill_data::source::{ColumnType, Estimate, KeyAccess, Source};
use gristmill_data::table::{Ledger, delta_schema};
use gristmill_learn::features::choose::Choice;
use gristmill_learn::train::TrainingSize;

use crate::budget::Budget;
use crate::directory::Directory;
use crate::engine::worker_threads;
use crate::error::{Error, Result};
use crate::event::Warning;
use crate::run::Session;
use crate::settings::Pipeline;
use crate::stage::choose::Choose;
use crate::stage::fit::Fit;
use crate::stage::transform::Transform;
use crate::stage::{Found, find, train};

/// Ranges of the plan that are worked out.
const SHOWN_RANGES: usize = 3;

/// What a run would do.
#[derive(Debug)]
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
    pub warnings: Vec<Warning>,
    /// The columns of which the run chooses the encoder, and whether it chooses the model.
    pub open: (Vec<String>, bool),
    /// What an earlier run with these settings chose.
    pub chosen: Option<Choice>,
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
#[derive(Debug)]
pub struct Memory {
    /// Bytes of each model of the search.
    pub model: u64,
    /// Bytes beside the models: of the process, of what was fitted, of rows and sums.
    pub beside: u64,
    /// Models of the search, and how many of them would advance together.
    pub models: u64,
    /// See [`Memory::models`].
    pub together: u64,
    /// The budget.
    pub budget: u64,
    /// Whether symmetries of the rows, which the training looks for, may make a model smaller.
    pub may_shrink: bool,
    /// Why a run would be refused, if it would be.
    pub refused: Option<Error>,
}

impl Session<'_> {
    /// Finds out what a run would do.
    ///
    /// # Errors
    /// When the database fails, or the session is not connected.
    pub fn check(&self) -> Result<Check> {
        self.check_types()?;
        let pipeline = self.pipeline();
        // A run would be refused for it.
        Directory::read(&pipeline.run.dir)?;
        let (threads, _) = worker_threads(pipeline.run.threads);
        Budget::new(pipeline.run.memory).reserve_process(threads)?;
        let source = self.source()?;
        let retrieval = self.block_on(retrieval(source, pipeline, &self.cleaner()?))??;
        let opened = pipeline.opened(self.schema());
        let open = (opened.open_columns(), !opened.open.models.is_empty());
        let (chosen, size) = self.known(&opened)?;
        let memory = size.as_ref().map(memory).transpose()?;
        Ok(Check {
            source: source.describe(),
            columns: source.column_types(),
            estimate: retrieval.estimate,
            ranges: retrieval.ranges,
            more_ranges: retrieval.more_ranges,
            load: retrieval.load,
            sample: retrieval.sample,
            warnings: retrieval.warnings,
            open,
            chosen,
            size: size.map(|known| known.size),
            memory,
        })
    }

    /// What an earlier run chose for a pipeline whose features are all named, and what it then found for the one so decided.
    fn known(&self, opened: &Pipeline) -> Result<(Option<Choice>, Option<Known>)> {
        let dataset = opened.run.dir.join("dataset");
        let Some(ledger) = self.block_on(Ledger::read(&dataset))?? else {
            return Ok((None, None));
        };
        let dir = Directory::read(&opened.run.dir)?;
        let hash = ledger.record.totals.hash.to_string();
        let schema = delta_schema(self.schema())?;
        let Some(choose) = Choose::new(opened, schema, hash.clone()) else {
            return Ok((None, self.known_size(opened.clone(), &dir, hash, &ledger)?));
        };
        let Found::Finished(choice, _) = find(&choose, &dir) else {
            return Ok((None, None));
        };
        let decided = opened.decided(&choice)?;
        let known = self.known_size(decided, &dir, hash, &ledger)?;
        Ok((Some(choice), known))
    }

    /// What an earlier run with these settings found in the dataset with this content.
    fn known_size(
        &self,
        pipeline: Pipeline,
        dir: &Directory,
        hash: String,
        ledger: &Ledger,
    ) -> Result<Option<Known>> {
        let Found::Finished(fitted, record) = find(&Fit::new(&pipeline, hash), dir) else {
            return Ok(None);
        };
        let transform = Transform {
            assembler: &fitted.assembler,
            fit: record.fingerprint,
        };
        let rows = match find(&transform, dir) {
            Found::Finished((features, _), _) => Some(train::Rows::of(&features, fitted.training_rows())?),
            _ => None,
        };
        Ok(Some(Known {
            size: TrainingSize {
                features: fitted.assembler.width() as usize,
                classes: fitted.assembler.classes().len(),
                entries: rows.map_or(USUAL_ENTRIES, train::Rows::entries_of_a_row),
            },
            fitted: fitted.assembler.bytes() as u64,
            dataset_rows: ledger.record.totals.rows_kept,
            rows,
            pipeline,
        }))
    }
}

/// What an earlier run found.
struct Known {
    /// With what was chosen.
    pipeline: Pipeline,
    size: TrainingSize,
    /// Bytes of what was fitted.
    fitted: u64,
    dataset_rows: u64,
    /// The rows of the features, if it got that far.
    rows: Option<train::Rows>,
}

/// Entries of a row, until the features are there.
const USUAL_ENTRIES: usize = 40;

/// How a run would share out its budget, by the same plan.
fn memory(known: &Known) -> Result<Memory> {
    let pipeline = &known.pipeline;
    let (size, search) = (known.size, &pipeline.search);
    let rows = known.rows.map_or(known.dataset_rows, |rows| rows.rows);
    let (model, _) = train::resolved(&pipeline.model, size, rows);
    let budget = Budget::new(pipeline.run.memory);
    let (threads, _) = worker_threads(pipeline.run.threads);
    let each = model.model_bytes(size);
    let sums = model.sums_bytes(search, size);
    let mut memory = Memory {
        model: each,
        beside: 0,
        models: match pipeline.model.points() {
            1 => 1,
            _ => u64::from(pipeline.folds()) * pipeline.model.models() as u64,
        },
        together: 0,
        budget: pipeline.run.memory,
        may_shrink: model.may_shrink(rows),
        refused: None,
    };
    let planned = || -> Result<u64> {
        let _process = budget.reserve_process(threads)?;
        let _fitted = budget.reserve("what was fitted", known.fitted)?;
        let plan = train::Plan::new(&budget, &model, search, size, known.rows)?;
        if plan.models < sums + each {
            return Err(train::refusal(&budget, &model, search, size, sums + each));
        }
        Ok(plan.models)
    };
    match planned() {
        Ok(models) => {
            memory.together = (models.saturating_sub(sums) / each.max(1)).min(memory.models);
            memory.beside = pipeline.run.memory.saturating_sub(models) + sums;
        }
        Err(Error::Memory(shortage)) => {
            memory.beside = (shortage.needed() * 1_000_000).saturating_sub(each);
            memory.refused = Some(Error::Memory(shortage));
        }
        Err(other) => return Err(other),
    }
    Ok(memory)
}

/// What is found out by asking the database.
struct Retrieval {
    estimate: Estimate,
    ranges: Vec<KeyRange>,
    more_ranges: bool,
    load: Load,
    sample: Sample,
    warnings: Vec<Warning>,
}

async fn retrieval(
    source: &dyn Source,
    pipeline: &Pipeline,
    cleaner: &Cleaner,
) -> gristmill_data::Result<Retrieval> {
    let mut estimate = source.estimate().await?;
    let access = source.key_access(pipeline.batch_rows).await?;
    let boundaries = !source.can_read_on() && !matches!(access, KeyAccess::Files | KeyAccess::Once(_));
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
    let warnings = Warning::of_key(&load.access, estimate.rows, pipeline.batch_rows);
    // Last, for what is cut off may keep the connection busy.
    let mut sample = sample(source, &ranges, cleaner).await?;
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
