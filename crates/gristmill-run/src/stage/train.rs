//! Train: answers the trainer's scans until it is done.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use gristmill_data::failpoint;
use gristmill_data::parquet_file::Footer;
use gristmill_data::table::TableVersion;
use gristmill_learn::contract::learner::ModelSettings;
use gristmill_learn::model::Thresholds;
use gristmill_learn::search::{Next, Status, Trained, WarmStart};
use gristmill_learn::settings::SearchSettings;
use gristmill_learn::train::TrainingSize;

use super::{Teller, Work};
use crate::budget::Budget;
use crate::checkpoint::Checkpoints;
use crate::engine::scan_bytes;
use crate::error::{Error, Result, broken_state, io};
use crate::event::{Detail, Event, Pace, StageResult, Warning};
use crate::settings::Pipeline;

/// Bytes of a row of the features besides its entries: label, ends of two lists, split, fold, weight.
const ROW_BYTES: u64 = 28;
/// Bytes of an entry: its column and its value.
const ENTRY_BYTES: u64 = 8;

/// The rows of the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// All of them.
    pub(crate) rows: u64,
    /// Their entries.
    pub(crate) entries: u64,
    /// Those that the model learns from.
    pub(crate) training: u64,
}

impl Rows {
    /// Those of a table, of whose dataset so many in a million are for training.
    pub(crate) fn of(features: &TableVersion, training: u64) -> Result<Self> {
        let mut entries = 0;
        for file in &features.files {
            let opened = File::open(&file.path).map_err(io(&file.path))?;
            let footer = Footer::read(&opened).map_err(|why| broken_state(&file.path, &why))?;
            for group in footer.metadata().row_groups() {
                let column = group
                    .columns()
                    .iter()
                    .find(|c| c.column_path().parts()[0] == "indices");
                entries += column.map_or(0, |c| c.num_values().max(0) as u64);
            }
        }
        Ok(Self {
            rows: features.rows,
            entries,
            training: training.min(features.rows),
        })
    }

    /// Entries of a row, on average and rounded up.
    pub(crate) fn entries_of_a_row(self) -> usize {
        self.entries.div_ceil(self.rows.max(1)) as usize
    }

    /// Bytes of all when decoded, with what each batch of them takes besides.
    fn bytes(self) -> u64 {
        let rows = self.entries * ENTRY_BYTES + self.rows * ROW_BYTES;
        rows + rows / 50 + (64 << 10)
    }

    /// Bytes of the training rows while their symmetries are looked for: in batches, and in one piece.
    fn gathered(self, model: &ModelSettings) -> u64 {
        let entries = self.entries * self.training / self.rows.max(1);
        let items = model.gathered_items(self.training, entries);
        let each = self.bytes() / (self.rows + self.entries).max(1) + 1;
        items * each
    }
}

/// How the memory budget is shared out in training.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Bytes for the models that advance together, and the sums beside them.
    pub(crate) models: u64,
    /// Bytes for decoded rows kept between scans; 0 streams them from the file each time.
    pub(crate) cache: u64,
}

impl Plan {
    /// Shares out what is left of the budget: the rows on their way come first, then the models, then all rows if they fit
    /// whole. `rows` are not known before they are transformed.
    ///
    /// # Errors
    /// `Memory` when not even the search for symmetries fits. Whether one model does, the trainer knows once it knows them.
    pub(crate) fn new(
        budget: &Budget,
        model: &ModelSettings,
        search: &SearchSettings,
        size: TrainingSize,
        rows: Option<Rows>,
    ) -> Result<Self> {
        let scan = scan_bytes(budget, FEATURE_COLUMNS);
        let left = budget.left().saturating_sub(scan);
        let sums = model.sums_bytes(search, size);
        let (gathered, all) = rows.map_or((0, 0), |rows| (rows.gathered(model), rows.bytes()));
        if sums + gathered > left {
            return Err(budget.shortage(TRAINING, scan + sums + gathered, Vec::new()));
        }
        let least = (sums + gathered).max(sums + model.model_bytes(size));
        let cache = if left >= least.saturating_add(all) { all } else { 0 };
        Ok(Self {
            models: left - cache,
            cache,
        })
    }
}

/// The settings of the model with what they leave open decided for so many rows, and why.
pub(crate) fn resolved(
    model: &ModelSettings,
    size: TrainingSize,
    rows: u64,
) -> (ModelSettings, Option<String>) {
    let resolved = model.resolved(size, rows);
    resolved.unwrap_or_else(|| (model.clone(), None))
}

/// The refusal of a training that takes so many bytes besides the rows of a scan, with what would fit.
pub(crate) fn refusal(
    budget: &Budget,
    model: &ModelSettings,
    search: &SearchSettings,
    size: TrainingSize,
    needed: u64,
) -> Error {
    let scan = scan_bytes(budget, FEATURE_COLUMNS);
    let ways = model.ways_out(search, size, budget.left().saturating_sub(scan));
    let together = |bytes| match budget.shortage(TRAINING, scan + bytes, Vec::new()) {
        Error::Memory(shortage) => shortage.needed(),
        _ => 0,
    };
    let ways = ways
        .iter()
        .map(|way| format!("{} ({} MB)", way.change, together(way.bytes)));
    budget.shortage(TRAINING, scan + needed, ways.collect())
}

const TRAINING: &str = "the training";
/// Columns of the features that are read in training.
const FEATURE_COLUMNS: usize = 7;

/// What a training is given.
pub(crate) struct Input<'a> {
    /// The rows.
    pub(crate) features: &'a TableVersion,
    /// What they take.
    pub(crate) rows: Rows,
    /// Their dimensions.
    pub(crate) size: TrainingSize,
    /// How the model predicts.
    pub(crate) thresholds: Thresholds,
    /// Where the model starts.
    pub(crate) warm: Option<WarmStart>,
    /// The file that a run that is stopped leaves for the next.
    pub(crate) checkpoint: PathBuf,
    /// A hash of everything that shapes the training.
    pub(crate) fingerprint: String,
}

/// Trains, going on where an earlier run stopped; returns what came out with the seconds that took.
pub(crate) fn run(work: &Work<'_>, pipeline: &Pipeline, input: Input<'_>) -> Result<(Trained, f64)> {
    let Work {
        engine,
        pool,
        budget,
        observe,
        ..
    } = *work;
    let (features, size) = (input.features, input.size);
    let teller = Teller::start(observe, "train", "scans", None);
    let (model, why) = resolved(&pipeline.model, size, features.rows);
    if let Some(why) = why {
        observe.event(Event::Detail(Detail::Solver { why }));
    }
    let search = &pipeline.search;
    let plan = Plan::new(budget, &model, search, size, Some(input.rows))?;
    engine.keep(features, plan.cache);
    if plan.cache == 0 {
        observe.event(Event::Detail(Detail::Streamed));
    }
    let too_large = |error| match error {
        gristmill_learn::Error::Budget { needed, .. } => {
            refusal(budget, &model, search, size, needed + plan.cache)
        }
        other => other.into(),
    };
    let mut trainer = model
        .trainer(search, size, input.thresholds, plan.models)
        .map_err(too_large)?;
    // What is left is for the rows of a scan.
    let mut held = Some(budget.reserve(TRAINING, plan.models + plan.cache)?);
    if let Some(warm) = input.warm {
        observe.event(Event::Detail(Detail::WarmStart {
            features: [warm.features, size.features].map(|n| n as u64),
            classes: [warm.classes, size.classes].map(|n| n as u64),
        }));
        trainer.start_from(warm)?;
    }
    let mut checkpoints =
        Checkpoints::new(input.checkpoint, input.fingerprint, pipeline.run.checkpoint_every);
    let resumed = checkpoints.restore(trainer.as_mut()).unwrap_or_else(|error| {
        let why = error.to_string();
        observe.event(Event::Warning(Warning::TrainingBeginsAnew { why }));
        false
    });
    let (mut answer, mut pace) = (None, Timer::default());
    let mut fails = false;
    let trained = loop {
        let next = pool.install(|| trainer.next(answer.take())).map_err(|error| {
            held = None;
            too_large(error)
        })?;
        if let Next::Done(trained) = next {
            break trained;
        }
        if checkpoints.due() {
            let failed = checkpoints.write(trainer.as_ref()).err();
            let failed_before = std::mem::replace(&mut fails, failed.is_some());
            // A full disk is no reason to lose what memory still holds, and is told once.
            if let Some(error) = failed.filter(|_| !failed_before) {
                let why = error.to_string();
                observe.event(Event::Warning(Warning::NoCheckpoint { why }));
            }
        }
        let scanned = match next {
            Next::Scan(pass) => engine
                .fold(features, pass.as_ref(), &|_| teller.going_on())
                .map(Some),
            _ if teller.going_on().is_break() => Err(Error::Interrupted),
            _ => Ok(None),
        };
        failpoint::hit("training-scanned");
        match scanned {
            Ok(scanned) => answer = scanned,
            Err(Error::Interrupted) => {
                // The scan that was broken off is done again.
                checkpoints.write(trainer.as_ref())?;
                return Err(Error::Interrupted);
            }
            Err(error) => return Err(error),
        }
        if let Some(seconds) = search.seconds
            && checkpoints.seconds() > f64::from(seconds)
        {
            trainer.settle();
        }
        let status = trainer.status();
        let _ = teller.progress(status.scans, pace.of(status));
    };
    engine.keep(features, 0);
    if let (true, Some(seconds)) = (trained.cut_short, search.seconds) {
        observe.event(Event::Warning(Warning::SearchCutShort { seconds }));
    }
    if let (false, Some(best)) = (trained.converged, trained.search[trained.best].params.max_iter())
        && pipeline.model.max_iter().iter().all(|limit| *limit <= best)
    {
        // A smaller limit that won the search was chosen for stopping early.
        observe.event(Event::Warning(Warning::NotConverged { max_iter: best }));
    }
    teller.finish(StageResult::Trained {
        scans: trainer.status().scans,
        iterations: trained.iterations,
        resumed,
    });
    Ok((*trained, checkpoints.seconds()))
}

/// How fast a training gets on.
#[derive(Default)]
struct Timer {
    /// When the first scan was done that counts, and how many scans were done by then.
    since: Option<(Instant, u64)>,
    /// The best objective when it was last asked for, and how it had changed.
    objective: Option<f64>,
    change: f64,
}

impl Timer {
    /// How a training that is so far is going.
    fn of(&mut self, status: Status) -> Pace {
        if let Some(objective) = status.objective {
            let before = self.objective.replace(objective).unwrap_or(objective);
            if objective != before {
                self.change = objective - before;
            }
        }
        let mut seconds_per_scan = None;
        // The summary's scans are of another kind.
        if status.iterations_left.is_some() {
            let (since, first) = *self.since.get_or_insert_with(|| (Instant::now(), status.scans));
            let done = status.scans.saturating_sub(first);
            seconds_per_scan = (done > 0).then(|| since.elapsed().as_secs_f64() / done as f64);
        }
        Pace::Training {
            status,
            change: self.change,
            seconds_per_scan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_tells_the_last_change_and_the_seconds_of_a_scan() {
        let mut status = Status {
            scans: 3,
            phase: "refit",
            running: 1,
            objective: None,
            iteration: 0,
            iterations_left: None,
        };
        let mut timer = Timer::default();
        let pace = |status: &Status, change, seconds_per_scan| Pace::Training {
            status: status.clone(),
            change,
            seconds_per_scan,
        };
        assert_eq!(timer.of(status.clone()), pace(&status, 0.0, None));
        (status.objective, status.iterations_left) = (Some(2.75), Some(30));
        assert_eq!(timer.of(status.clone()), pace(&status, 0.0, None));
        (status.scans, status.iteration, status.objective) = (5, 2, Some(2.5));
        timer.since = Instant::now()
            .checked_sub(std::time::Duration::from_secs(4))
            .map(|at| (at, 3));
        for _ in 0..2 {
            let Pace::Training {
                change,
                seconds_per_scan: Some(seconds),
                ..
            } = timer.of(status.clone())
            else {
                unreachable!("no seconds of a scan")
            };
            assert_eq!(change, -0.25);
            assert!((2.0..2.1).contains(&seconds), "{seconds}");
        }
    }
}
