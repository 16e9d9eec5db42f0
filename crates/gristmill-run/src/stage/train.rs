//! Train: answers the trainer's scans until it is done.

use std::fs::File;

use gristmill_data::table::TableVersion;
use gristmill_learn::evaluate::Thresholds;
use gristmill_learn::settings::LogisticSettings;
use gristmill_learn::train::{Next, Status, Trained, TrainingSize, logistic_search};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Teller;
use crate::engine::{Engine, LocalEngine};
use crate::error::{Error, Result, io};
use crate::event::{Event, Observe};
use crate::memory::rss;
use crate::settings::Pipeline;

/// Left of the budget for what no plan counts: the allocator, the decoder, the batches in flight.
pub(crate) const MARGIN: u64 = 128 << 20;

/// How the memory budget is shared out in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Bytes for the models that advance together.
    pub(crate) models: u64,
    /// Bytes for decoded rows kept between scans; 0 streams them from the file each time.
    pub(crate) cache: u64,
}

impl Plan {
    /// Shares out what is left of the budget: the models come first, then the rows if they fit whole.
    pub(crate) fn new(budget: u64, used: u64, one_model: u64, features: &TableVersion) -> Result<Self> {
        let left = budget.saturating_sub(used + MARGIN);
        let rows = decoded_bytes(features)?;
        Ok(if left >= one_model + rows {
            Self {
                models: left - rows,
                cache: rows,
            }
        } else {
            Self {
                models: left,
                cache: 0,
            }
        })
    }
}

/// Trains; returns what came out with the seconds that took.
pub(crate) fn run(
    engine: &LocalEngine,
    pipeline: &Pipeline,
    features: &TableVersion,
    size: TrainingSize,
    thresholds: Thresholds,
    observe: &dyn Observe,
) -> Result<(Trained, f64)> {
    let teller = Teller::start(observe, "train", "scans", None);
    let (solver, why) = size.solver(&pipeline.model, features.rows);
    if let Some(why) = why {
        observe.event(Event::Detail(format!("train: {why}")));
    }
    let model = LogisticSettings {
        solver,
        ..pipeline.model.clone()
    };
    let budget = pipeline.run.memory;
    let used = rss();
    let one_model = size.bytes_per_model(&model) + size.summary_bytes(pipeline.search.folds);
    let needed = used + MARGIN + one_model;
    if needed > budget {
        return Err(Error::Memory { budget, needed });
    }
    let plan = Plan::new(budget, used, one_model, features)?;
    engine.set_cache(plan.cache);
    if plan.cache == 0 {
        observe.event(Event::Detail(
            "train: the features do not fit in memory and are streamed".to_owned(),
        ));
    }
    let mut trainer = logistic_search(&model, &pipeline.search, size, thresholds, plan.models)?;
    let mut answer = None;
    let trained = loop {
        match engine.install(|| trainer.next(answer.take()))? {
            Next::Scan(pass) => answer = Some(engine.fold(features, pass.as_ref(), &|_| {})?),
            Next::Step => {}
            Next::Done(trained) => break trained,
        }
        let status = trainer.status();
        teller.progress(status.scans, describe(&status));
    };
    engine.set_cache(0);
    // A smaller limit that won the search was chosen for stopping early.
    let limit = trained.search[trained.best].max_iter;
    if !trained.converged && pipeline.model.max_iter.iter().all(|other| *other <= limit) {
        observe.event(Event::Warning(format!(
            "the model had not converged after max_iter = {} iterations; \
             raise model.max_iter or model.reg_param if the score still improves with it",
            limit
        )));
    }
    let seconds = teller.finish(format!(
        "{} scans, {} iterations of the final fit",
        trainer.status().scans,
        trained.iterations
    ));
    Ok((*trained, seconds))
}

fn describe(status: &Status) -> String {
    let objective = status
        .objective
        .map(|o| format!(", objective {o:.6}"))
        .unwrap_or_default();
    format!(
        "{}: {} running, iteration {}{objective}",
        status.phase, status.running, status.iteration
    )
}

/// Bytes of the features when decoded: 8 an entry, and the columns of one value a row, weights among them.
fn decoded_bytes(features: &TableVersion) -> Result<u64> {
    let mut entries = 0;
    for file in &features.files {
        let opened = File::open(&file.path).map_err(io(&file.path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|e| Error::State {
            path: file.path.display().to_string(),
            why: e.to_string(),
        })?;
        for group in reader.metadata().row_groups() {
            let column = group
                .columns()
                .iter()
                .find(|c| c.column_path().parts()[0] == "indices");
            entries += column.map_or(0, |c| c.num_values().max(0) as u64);
        }
    }
    Ok(entries * 8 + features.rows * 24)
}
