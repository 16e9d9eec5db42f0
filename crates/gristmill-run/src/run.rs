//! A run: the stages in their order, each skipped when its work is finished.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use gristmill_data::durable::{NewFile, create_folder, folder_of, write_whole};
use gristmill_data::pull::Pulled;
use gristmill_data::source::Source;
use gristmill_data::source::open::connect;
use gristmill_data::table::{BatchRecord, Ledger, Totals};
use gristmill_data::table::{TableVersion, delta_schema};
use gristmill_data::verify::{Verified, verify_source};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::step::LeftOut;
use gristmill_learn::features::Assembler;
use gristmill_learn::features::Fitted;
use gristmill_learn::model::Thresholds;
use gristmill_learn::model::bundle::{Bundle, Provenance};
use gristmill_learn::search::Trained;
use gristmill_learn::train::TrainingSize;
use serde_json::json;

use crate::checkpoint;
use crate::directory::{Directory, FinishedStage, write_json};
use crate::engine::LocalEngine;
use crate::error::{Error, Result, io};
use crate::event::{Event, Observe};
use crate::memory::{peak_rss, rss};
use crate::report::metrics::{Batches, Best, DroppedRows, Metrics, Rows, Stage, VERSION};
use crate::report::summary;
use crate::settings::{Pipeline, fingerprint};
use crate::stage::evaluate::Evaluated;
use crate::stage::{evaluate, fit, pull, train, transform};
use crate::warm::EarlierModel;

/// How long a connection may take to say good-bye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How often the pull looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// A pipeline, connected to its database where there is work for one.
pub struct Session<'a> {
    pipeline: &'a Pipeline,
    source: Option<Box<dyn Source>>,
    schema: SchemaRef,
    runtime: Option<tokio::runtime::Runtime>,
    warm_start: Option<PathBuf>,
}

/// What a run leaves behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What `metrics.json` says.
    pub metrics: Metrics,
    /// What `summary.txt` says.
    pub summary: String,
    /// The model bundle.
    pub model: PathBuf,
}

impl<'a> Session<'a> {
    /// Connects, unless the dataset is complete already.
    ///
    /// # Errors
    /// When the database cannot be reached, or refuses the query or the key.
    pub fn open(pipeline: &'a Pipeline) -> Result<Self> {
        let runtime = runtime(pipeline)?;
        let dir = pipeline.run.dir.join("dataset");
        if let Some(ledger) = runtime.block_on(Ledger::read(&dir))? {
            let schema = runtime.block_on(TableVersion::open_delta(&dir))?.schema;
            if pull::complete(&ledger, pipeline, &schema)? {
                return Ok(Self {
                    pipeline,
                    source: None,
                    schema,
                    runtime: Some(runtime),
                    warm_start: None,
                });
            }
        }
        Self::connected(pipeline, runtime)
    }

    /// Connects in any case.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn connect(pipeline: &'a Pipeline) -> Result<Self> {
        Self::connected(pipeline, runtime(pipeline)?)
    }

    fn connected(pipeline: &'a Pipeline, runtime: tokio::runtime::Runtime) -> Result<Self> {
        let source = runtime.block_on(connect(&pipeline.source))?;
        Ok(Self {
            pipeline,
            schema: source.schema(),
            source: Some(source),
            runtime: Some(runtime),
            warm_start: None,
        })
    }

    /// The same session, whose training starts from the model in this folder or file.
    pub fn with_warm_start(mut self, model: Option<&Path>) -> Self {
        self.warm_start = model.map(Path::to_owned);
        self
    }

    /// The columns of the query.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The connected source.
    pub(crate) fn source(&self) -> Result<&dyn Source> {
        self.source
            .as_deref()
            .ok_or_else(|| no_runtime("the session is not connected"))
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        self.pipeline
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let runtime = self
            .runtime
            .as_ref()
            .ok_or_else(|| no_runtime("it was shut down"))?;
        Ok(runtime.block_on(work))
    }

    /// Refuses columns whose types the features, the label or the split cannot read, before any row is read.
    pub(crate) fn check_types(&self) -> Result<()> {
        fit::estimator(self.pipeline).columns(&*delta_schema(&self.schema)?)?;
        Ok(())
    }

    /// Brings the dataset to completion, and does no more.
    ///
    /// # Errors
    /// Those of the pull. What is committed stays; run again to go on.
    pub fn pull(mut self, observe: &dyn Observe) -> Result<Pulled> {
        self.check_types()?;
        let mut dir = Directory::open(&self.pipeline.run.dir)?;
        let pulled = self.pull_stage(&mut dir, observe)?;
        self.disconnect();
        Ok(pulled)
    }

    /// Compares each batch of a dataset that this pipeline made with the database as it is now.
    ///
    /// # Errors
    /// When the database fails, the session is not connected, or another pipeline made the dataset.
    pub fn verify(&self, dataset: &Path, observe: &dyn Observe) -> Result<Verified> {
        let source = self.source()?;
        let identity = pull::identity(self.pipeline, &source.schema())?;
        let mut tell = |batch: &BatchRecord| {
            observe.event(Event::Detail(format!("batch {} compared", batch.number)));
        };
        Ok(self.block_on(verify_source(dataset, source, &identity, &mut tell))??)
    }

    /// Runs every stage whose work is not finished.
    ///
    /// # Errors
    /// Those of the stages. What is finished stays finished; run again to go on.
    pub fn run(mut self, observe: &dyn Observe) -> Result<Outcome> {
        let pipeline = self.pipeline;
        self.check_types()?;
        let (budget, needed) = (pipeline.run.memory, rss() + train::MARGIN);
        if self.source.is_some() && needed > budget {
            let ways = Vec::new();
            return Err(Error::Memory { budget, needed, ways });
        }
        let earlier = self.warm_start.as_deref().map(EarlierModel::read).transpose()?;
        let warm_hash = earlier.as_ref().map(|earlier| earlier.hash.clone());
        let mut dir = Directory::open(&pipeline.run.dir)?;
        let engine = LocalEngine::new(pipeline.run.threads)?;

        let pulled = self.pull_stage(&mut dir, observe)?;
        let dataset = self.block_on(TableVersion::open_delta(&dir.dataset()))??;
        // The connection has done its work, and its memory counts too.
        self.disconnect();

        let shaped = fingerprint(json!([pulled.totals.hash, pipeline.shaping_of_features()]));
        let trained_for = match &warm_hash {
            None => fingerprint(json!([shaped, pipeline.shaping()])),
            Some(hash) => fingerprint(json!([shaped, pipeline.shaping(), hash])),
        };
        if let (Some(_), Some(outcome)) = (dir.finished("train", &trained_for), finished(&dir)?) {
            for stage in ["fit", "transform", "train", "evaluate"] {
                skip(observe, stage, "finished before");
            }
            return Ok(outcome);
        }

        let fitted = run_fit(&engine, pipeline, &mut dir, &dataset, &shaped, observe)?;
        let classes = fitted.assembler.classes();
        let thresholds = Thresholds::of(pipeline.model.thresholds(), classes)?;
        let (features, left_out) = run_transform(&engine, &mut dir, &dataset, &fitted, &shaped, observe)?;
        let size = TrainingSize {
            features: fitted.assembler.width() as usize,
            classes: classes.len(),
        };
        let input = train::Input {
            features: &features,
            size,
            thresholds,
            warm: earlier.map(|earlier| earlier.align(&fitted.assembler)),
            checkpoint: dir.checkpoint(),
            fingerprint: trained_for.clone(),
        };
        let (trained, seconds) =
            train::run(&engine, pipeline, input, observe).map_err(|error| named(error, &fitted.assembler))?;
        let trained_stage = FinishedStage {
            fingerprint: trained_for,
            seconds,
            rows: features.rows,
        };
        let (evaluated, seconds) =
            evaluate::run(&engine, &features, &trained, fitted.assembler.label(), observe)?;
        let evaluate_stage = Stage {
            name: "evaluate".to_owned(),
            seconds,
            rows: features.rows,
        };

        let rows = rows(&pulled.totals, left_out, features.rows);
        let best = best(&trained);
        write_bundle(
            &dir,
            pipeline,
            &pulled.totals,
            &fitted,
            &trained,
            &evaluated,
            rows,
            &best,
            warm_hash,
        )?;
        let mut stages: Vec<Stage> = Vec::new();
        for (name, of) in [
            ("pull", &pulled.totals.hash.to_string()),
            ("fit", &shaped),
            ("transform", &shaped),
        ] {
            if let Some(stage) = dir.finished(name, of) {
                stages.push(Stage {
                    name: name.to_owned(),
                    seconds: stage.seconds,
                    rows: stage.rows,
                });
            }
        }
        stages.push(Stage {
            name: "train".to_owned(),
            seconds: trained_stage.seconds,
            rows: trained_stage.rows,
        });
        stages.push(evaluate_stage);
        let metrics = Metrics {
            version: VERSION,
            rows,
            batches: Batches {
                read: pulled.totals.batches_read,
                empty: pulled.totals.batches_empty,
            },
            features: size.features as u64,
            classes: size.classes as u64,
            splits: evaluated.splits,
            baseline: evaluated.baseline,
            search: trained.search,
            best,
            seconds: stages.iter().map(|s| s.seconds).sum(),
            stages,
            peak_rss_bytes: peak_rss(),
        };
        let summary = summary(pipeline, &metrics);
        write_whole(&dir.summary(), summary.as_bytes())?;
        write_json(&dir.metrics(), &metrics)?;
        dir.finish("train", trained_stage)?;
        checkpoint::remove(&dir.checkpoint())?;
        Ok(Outcome {
            metrics,
            summary,
            model: dir.model(),
        })
    }

    fn pull_stage(&mut self, dir: &mut Directory, observe: &dyn Observe) -> Result<Pulled> {
        let Some(source) = self.source.take() else {
            let ledger = self.block_on(Ledger::read(&dir.dataset()))??;
            let ledger = ledger.ok_or_else(|| Error::State {
                path: dir.dataset().display().to_string(),
                why: "it disappeared".to_owned(),
            })?;
            let dataset = dir.dataset();
            let tidying = pull::tidy(self.pipeline, &dataset, observe);
            self.block_on(unless_stopped(observe, tidying))??;
            skip(observe, "pull", "the dataset is complete");
            let totals = &ledger.record.totals;
            let fingerprint = totals.hash.to_string();
            if dir.finished("pull", &fingerprint).is_none() {
                // The run that completed it was killed before it could note the time.
                let rows = totals.rows_read;
                dir.finish(
                    "pull",
                    FinishedStage {
                        fingerprint,
                        seconds: 0.0,
                        rows,
                    },
                )?;
            }
            return Ok(Pulled {
                totals: ledger.record.totals,
                version: ledger.version,
                resumed: true,
            });
        };
        let dataset = dir.dataset();
        let pulling = pull::run(source, self.pipeline, &dataset, observe);
        let (pulled, seconds) = self.block_on(unless_stopped(observe, pulling))??;
        let fingerprint = pulled.totals.hash.to_string();
        dir.finish(
            "pull",
            FinishedStage {
                fingerprint,
                seconds,
                rows: pulled.totals.rows_read,
            },
        )?;
        Ok(pulled)
    }

    fn disconnect(&mut self) {
        self.source = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(GOODBYE);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Does the work, or gives it up when the run is to stop: what is committed stays.
async fn unless_stopped<T>(observe: &dyn Observe, work: impl Future<Output = Result<T>>) -> Result<T> {
    let stopped = async {
        while !observe.stopping() {
            tokio::time::sleep(STOP_CHECK).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = stopped => Err(Error::Interrupted),
    }
}

fn run_fit(
    engine: &LocalEngine,
    pipeline: &Pipeline,
    dir: &mut Directory,
    dataset: &TableVersion,
    shaped: &str,
    observe: &dyn Observe,
) -> Result<Fitted> {
    if dir.finished("fit", shaped).is_some()
        && let Ok(fitted) = fit::reload(pipeline, &dir.fit())
    {
        skip(observe, "fit", "finished before");
        return Ok(fitted);
    }
    let (fitted, seconds) = fit::run(engine, pipeline, dataset, &dir.fit(), observe)?;
    let fingerprint = shaped.to_owned();
    dir.finish(
        "fit",
        FinishedStage {
            fingerprint,
            seconds,
            rows: dataset.rows,
        },
    )?;
    Ok(fitted)
}

fn run_transform(
    engine: &LocalEngine,
    dir: &mut Directory,
    dataset: &TableVersion,
    fitted: &Fitted,
    shaped: &str,
    observe: &dyn Observe,
) -> Result<(TableVersion, LeftOut)> {
    if dir.finished("transform", shaped).is_some()
        && let Some(features) = transform::reload(&dir.features(), shaped)
    {
        skip(observe, "transform", "finished before");
        return Ok(features);
    }
    let (features, left_out, seconds) = transform::run(
        engine,
        dataset,
        &fitted.assembler,
        &dir.features(),
        shaped,
        observe,
    )?;
    let fingerprint = shaped.to_owned();
    dir.finish(
        "transform",
        FinishedStage {
            fingerprint,
            seconds,
            rows: dataset.rows,
        },
    )?;
    Ok((features, left_out))
}

fn skip(observe: &dyn Observe, stage: &'static str, message: &str) {
    observe.event(Event::StageSkipped {
        stage,
        message: message.to_owned(),
    });
}

/// The outcome that an earlier run wrote, if all of it is there.
fn finished(dir: &Directory) -> Result<Option<Outcome>> {
    let (Ok(metrics), Ok(summary)) = (fs::read(dir.metrics()), fs::read_to_string(dir.summary())) else {
        return Ok(None);
    };
    let metrics = serde_json::from_slice(&metrics).map_err(|e| Error::State {
        path: dir.metrics().display().to_string(),
        why: e.to_string(),
    })?;
    Ok(dir.model().exists().then(|| Outcome {
        metrics,
        summary,
        model: dir.model(),
    }))
}

fn rows(totals: &Totals, left_out: LeftOut, kept: u64) -> Rows {
    Rows {
        read: totals.rows_read,
        kept,
        dropped: DroppedRows {
            null: totals.dropped.null + left_out.null_label,
            filter: totals.dropped.filter,
            duplicate: totals.dropped.duplicate,
            rare_label: left_out.rare_label,
            unseen: left_out.unseen,
        },
    }
}

/// Names the feature that an error is about.
fn named(error: Error, assembler: &Assembler) -> Error {
    use gristmill_learn::Error as Learn;
    match error {
        Error::Learn(Learn::NegativeFeature { index, value, .. }) => Learn::NegativeFeature {
            feature: assembler.feature_name(index),
            index,
            value,
        }
        .into(),
        other => other,
    }
}

fn best(trained: &Trained) -> Best {
    let point = &trained.search[trained.best];
    Best {
        params: point.params,
        score: point.score,
        iterations: trained.iterations,
        converged: trained.converged,
        objective: trained.objective,
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "one of everything that the model is made of"
)]
fn write_bundle(
    dir: &Directory,
    pipeline: &Pipeline,
    totals: &Totals,
    fitted: &Fitted,
    trained: &Trained,
    evaluated: &Evaluated,
    rows: Rows,
    best: &Best,
    warm_start: Option<String>,
) -> Result<()> {
    let path = dir.model();
    let json = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map_err(|e| Error::State {
            path: path.display().to_string(),
            why: e.to_string(),
        })
    };
    let bundle = Bundle {
        steps: fitted.assembler.specs(),
        model: trained.model.as_ref().clone(),
        provenance: Provenance {
            gristmill: env!("CARGO_PKG_VERSION").to_owned(),
            settings: pipeline.shaping(),
            settings_hash: pipeline.shaping_hash(),
            dataset_hash: totals.hash.to_string(),
            warm_start,
            rows: json(serde_json::to_value(rows))?,
            best: json(serde_json::to_value(best))?,
            metrics: json(serde_json::to_value(&evaluated.splits))?,
        },
    };
    create_folder(folder_of(&path))?;
    let file = NewFile::create(&path)?;
    bundle.write(&mut file.output()?).map_err(io(&path))?;
    file.put()?;
    Ok(())
}

/// Rows are decoded on its threads, one for each connection where there are so many.
fn runtime(pipeline: &Pipeline) -> Result<tokio::runtime::Runtime> {
    let threads = pipeline.connections.min(pipeline.run.threads).max(2);
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    built.map_err(|e| no_runtime(&e.to_string()))
}

fn no_runtime(why: &str) -> Error {
    Error::Threads {
        threads: 2,
        why: why.to_owned(),
    }
}
