//! A run: the stages in their order, each skipped when its work is finished.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::{Schema, SchemaRef};
use gristmill_data::convert::Form;
use gristmill_data::durable::{folder_of, replace_folder};
use gristmill_data::prepare::Cleaner;
use gristmill_data::pull::Pulled;
use gristmill_data::run_key::RunKey;
use gristmill_data::secret;
use gristmill_data::settings::{KeyColumns, SourceSettings};
use gristmill_data::source::Source;
use gristmill_data::source::open::{connect, current_snapshot, own_key};
use gristmill_data::table::{Alike, BatchRecord, Ledger, TableVersion, check_own, delta_schema};
use gristmill_data::verify::{Verified, verify_source};
use gristmill_learn::contract::pass::Pass;
use gristmill_learn::contract::registry::Registry;
use gristmill_learn::model::Thresholds;

use crate::budget::Budget;
use crate::checkpoint;
use crate::directory::{Directory, FinishedStage};
use crate::engine::{LocalEngine, worker_threads};
use crate::error::{Error, Result};
use crate::event::{Detail, Event, Observe, Warning};
use crate::settings::Pipeline;
use crate::stage::choose::{Choose, Decided};
use crate::stage::dataset::Dataset;
use crate::stage::fit::Fit;
use crate::stage::model::{Model, Outcome};
use crate::stage::transform::Transform;
use crate::stage::{Work, fit, perform, pull};
use crate::stopping::{GOODBYE, unless_stopped};
use crate::warm::EarlierModel;

/// A pipeline, connected to its database where there is work for one.
pub struct Session<'a> {
    pipeline: Cow<'a, Pipeline>,
    source: Option<Box<dyn Source>>,
    schema: SchemaRef,
    /// Why the column of `split.by` does not tell entities apart, if it does not.
    alike: Option<Alike>,
    /// What the text of each column stands for.
    forms: BTreeMap<String, Form>,
    runtime: Option<tokio::runtime::Runtime>,
    warm_start: Option<(PathBuf, Registry)>,
    /// Whether a new dataset is pulled, which takes the place of the one that is there when it is complete.
    fresh: bool,
}

/// Tells of a dataset that was to take the place of the one that is there, and is not complete.
fn tell_of_fresh(folder: &Directory, observe: &dyn Observe) {
    let fresh = folder.fresh_dataset();
    if fresh.is_dir() {
        let dir = fresh.display().to_string();
        observe.event(Event::Warning(Warning::FreshLeft { dir }));
    }
}

impl<'a> Session<'a> {
    /// Connects, unless the dataset is complete already.
    ///
    /// # Errors
    /// When the database cannot be reached, or refuses the query or the key; or the run is to stop meanwhile.
    pub fn open(pipeline: &'a Pipeline, observe: &dyn Observe) -> Result<Self> {
        // A folder that cannot be worked in is told before the database is asked.
        let folder = Directory::read(&pipeline.run.dir)?;
        if folder.is_between_datasets() {
            // Opening puts the new one in its place.
            Directory::open(&pipeline.run.dir)?;
        }
        tell_of_fresh(&folder, observe);
        let runtime = runtime(pipeline)?;
        let dir = pipeline.run.dir.join("dataset");
        let mut pipeline = Cow::Borrowed(pipeline);
        if let Some(ledger) = runtime.block_on(Ledger::read(&dir))? {
            let schema = runtime.block_on(TableVersion::open_delta(&dir))?.schema;
            if pipeline.source.key.is_empty() && ledger.identity.key().len() == 1 {
                // What was found once stays.
                pipeline = Cow::Owned(pipeline.keyed(ledger.identity.key().clone()));
            }
            if pull::complete(&ledger, &pipeline, &schema)? {
                let now = current_snapshot(&pipeline.source);
                match runtime.block_on(unless_stopped(observe, async { Ok(now.await) }))? {
                    Ok(now) if now == ledger.record.totals.last_snapshot => {}
                    Ok(_) => observe.event(Event::Warning(Warning::SourceChanged)),
                    Err(error) => observe.event(Event::Detail(Detail::SourceNotAsked {
                        why: error.to_string(),
                    })),
                }
                return Ok(Self {
                    source: None,
                    alike: ledger.identity.alike(&pipeline.split.by).cloned(),
                    pipeline,
                    forms: forms(|column| ledger.identity.form(column), &schema),
                    schema,
                    runtime: Some(runtime),
                    warm_start: None,
                    fresh: false,
                });
            }
        }
        Self::connected(pipeline, runtime, observe)
    }

    /// Connects, to pull the dataset once more from its source as it is now. The one that is there stays until the new one is
    /// complete.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn refresh(pipeline: &'a Pipeline, observe: &dyn Observe) -> Result<Self> {
        Directory::read(&pipeline.run.dir)?;
        let mut session = Self::connect(pipeline, observe)?;
        session.fresh = true;
        Ok(session)
    }

    /// Connects in any case.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn connect(pipeline: &'a Pipeline, observe: &dyn Observe) -> Result<Self> {
        tell_of_fresh(&Directory::read(&pipeline.run.dir)?, observe);
        Self::connected(Cow::Borrowed(pipeline), runtime(pipeline)?, observe)
    }

    fn connected(
        mut pipeline: Cow<'a, Pipeline>,
        runtime: tokio::runtime::Runtime,
        observe: &dyn Observe,
    ) -> Result<Self> {
        let connecting = async {
            if pipeline.source.key.is_empty() {
                pipeline = Cow::Owned(pipeline.keyed(found_key(&pipeline.source, observe).await?));
            }
            Ok(connect(&pipeline.source).await?)
        };
        let source = match runtime.block_on(unless_stopped(observe, connecting)) {
            Ok(source) => source,
            Err(error) => {
                // A thread that looks a name up, or reads files, is not waited for.
                runtime.shutdown_timeout(GOODBYE);
                return Err(error);
            }
        };
        // Before columns are refused for what these tell.
        for notice in source.notices() {
            observe.event(Event::Warning(Warning::Noticed(notice)));
        }
        let url = source.describe();
        let types = source.column_types();
        let form = |column: &str| {
            let column = types.iter().find(|known| known.name == column);
            column.map_or(Form::Plain, |column| Form::of(&url, &column.database_type))
        };
        let forms = forms(form, &source.schema());
        let by = &pipeline.split.by;
        let entity = types.into_iter().filter(|column| column.name == *by);
        Ok(Self {
            alike: entity.filter_map(|column| column.alike).next(),
            pipeline,
            forms,
            schema: source.schema(),
            source: Some(source),
            runtime: Some(runtime),
            warm_start: None,
            fresh: false,
        })
    }

    /// The same session, whose training starts from the model in this folder or file, whose parts are of these kinds.
    pub fn with_warm_start(mut self, model: Option<&Path>, kinds: &Registry) -> Self {
        self.warm_start = model.map(|model| (model.to_owned(), kinds.clone()));
        self
    }

    /// The columns of the query.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The connected source.
    pub(crate) fn source(&self) -> Result<&dyn Source> {
        self.source.as_deref().ok_or(Error::NotConnected)
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or(Error::NotConnected)?;
        Ok(runtime.block_on(work))
    }

    /// Refuses columns whose types the features, the label or the split cannot read, before any row is read.
    pub(crate) fn check_types(&self) -> Result<()> {
        let schema = delta_schema(&self.schema)?;
        let opened = self.pipeline.opened(&schema);
        if opened.split.by == opened.label.column {
            let label = opened.label.column;
            return Err(Error::SplitByLabel { label });
        }
        if opened.features.is_empty() {
            let left_out = Vec::new();
            return Err(Error::NoFeatures { left_out });
        }
        fit::estimator(&opened).pass().columns(&schema)?;
        self.check_names()?;
        self.cleaner()?;
        match &self.alike {
            None => Ok(()),
            Some(alike) => Err(Error::Entity {
                column: self.pipeline.split.by.clone(),
                alike: alike.clone(),
            }),
        }
    }

    /// What cleans the rows: the same for a check and for a run.
    pub(crate) fn cleaner(&self) -> Result<Cleaner> {
        let schema = delta_schema(&self.schema)?;
        Ok(Cleaner::new(
            &self.pipeline.clean,
            schema,
            &self.pipeline.source.key,
        )?)
    }

    /// Refuses columns that a database named after the value of a variable, as it does where a query says `SELECT f('${X}')`:
    /// names are stored. One that the pipeline names itself is meant to have its name.
    fn check_names(&self) -> Result<()> {
        let named = self.pipeline.columns();
        let is_plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let fields = self.schema.fields().iter().map(|field| field.name());
        for name in fields.filter(|name| !named.contains(&name.as_str())) {
            if secret::is_value(name) || !is_plain(name) && secret::scrub(name) != *name {
                return Err(Error::Data(gristmill_data::Error::ColumnName {
                    column: secret::scrub(name).into_owned(),
                    why: "is named after the value of a variable, which would be stored with it",
                }));
            }
        }
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
        let key = RunKey::read(folder_of(dataset))?;
        let types = source.column_types();
        let identity = pull::identity(&self.pipeline, &source.schema(), &types, key.as_ref())?;
        let memory = self.pipeline.source.memory;
        let mut tell = |batch: &BatchRecord| {
            observe.event(Event::Detail(Detail::Compared { batch: batch.number }));
        };
        Ok(self.block_on(verify_source(dataset, source, &identity, memory, &mut tell))??)
    }

    /// Runs every stage whose work is not finished.
    ///
    /// # Errors
    /// Those of the stages. What is finished stays finished; run again to go on.
    pub fn run(mut self, observe: &dyn Observe) -> Result<Outcome> {
        let pipeline = self.pipeline.clone();
        let pipeline = &*pipeline;
        self.check_types()?;
        let (threads, warning) = worker_threads(pipeline.run.threads);
        if let Some(warning) = warning {
            observe.event(Event::Warning(warning));
        }
        let budget = Budget::new(pipeline.run.memory);
        let _process = budget.reserve_process(threads)?;
        if pipeline.open.models.is_empty() {
            self.refuse_warm_start(pipeline)?;
        }
        let earlier = self.warm_start.as_ref();
        let earlier = earlier
            .map(|(model, kinds)| EarlierModel::read(model, kinds))
            .transpose()?;
        let mut dir = Directory::open(&pipeline.run.dir)?;
        let engine = LocalEngine::new(threads)?.within(&budget);

        let pulled = self.pull_stage(&mut dir, observe)?;
        let dataset = self.block_on(TableVersion::open_delta(&dir.dataset()))??;
        let dataset = Dataset::verified(dataset, pipeline.run.verify, observe)?;
        // The connection has done its work, and its memory counts too.
        self.disconnect();

        let pull = dir.recorded("pull").cloned();
        let work = Work {
            engine: &engine,
            pool: engine.pool(),
            budget: &budget,
            dataset: &dataset,
            observe,
        };
        let hash = pulled.totals.hash.to_string();
        let Decided { pipeline, chosen } = Choose::decide(pipeline, &hash, &mut dir, &work)?;
        let pipeline = &pipeline;
        self.refuse_warm_start(pipeline)?;
        let fit = Fit::new(pipeline, hash);
        let (fitted, fit_record) = perform(&fit, &mut dir, &work)?;
        let _fitted = budget.reserve("what was fitted", fitted.assembler.bytes() as u64)?;
        // What does not fit the model is refused before the features are written.
        let classes = fitted.assembler.classes();
        pipeline
            .model
            .check(fitted.assembler.width() as usize, classes.len())?;
        let thresholds = Thresholds::of(pipeline.model.thresholds(), classes)?;
        let transform = Transform {
            assembler: &fitted.assembler,
            fit: fit_record.fingerprint.clone(),
        };
        let ((features, left_out), transform_record) = perform(&transform, &mut dir, &work)?;
        let (choice, chosen) = chosen.unzip();
        let model = Model {
            pipeline,
            choice,
            totals: &pulled.totals,
            fitted: &fitted,
            thresholds,
            features: &features,
            left_out,
            forms: &self.forms,
            earlier: earlier.as_ref(),
            transform: transform_record.fingerprint.clone(),
            before: [pull, chosen, Some(fit_record), Some(transform_record)],
        };
        let (outcome, _) = perform(&model, &mut dir, &work)?;
        checkpoint::remove(&dir.checkpoint())?;
        Ok(outcome)
    }

    /// Refuses a warm start of a model that has none.
    fn refuse_warm_start(&self, pipeline: &Pipeline) -> Result<()> {
        match self.warm_start {
            Some(_) if !pipeline.model.can_start_warm() => Err(gristmill_learn::Error::NoWarmStart.into()),
            _ => Ok(()),
        }
    }

    fn pull_stage(&mut self, dir: &mut Directory, observe: &dyn Observe) -> Result<Pulled> {
        let Some(source) = self.source.take() else {
            let ledger = self.block_on(Ledger::read(&dir.dataset()))??;
            let ledger = ledger.ok_or_else(|| Error::State {
                path: dir.dataset().display().to_string(),
                why: "it disappeared".to_owned(),
            })?;
            let dataset = dir.dataset();
            let tidying = pull::tidy(&self.pipeline, &dataset, observe);
            self.block_on(unless_stopped(observe, tidying))??;
            observe.event(Event::StageSkipped { stage: "pull" });
            let totals = &ledger.record.totals;
            let fingerprint = totals.hash.to_string();
            if dir.finished("pull", &fingerprint).is_none() {
                // The run that completed it was killed before it could note the time.
                dir.finish("pull", FinishedStage::new(fingerprint, 0.0, totals.rows_read))?;
            }
            return Ok(Pulled {
                totals: ledger.record.totals,
                version: ledger.version,
                resumed: true,
            });
        };
        let dataset = match self.fresh {
            true => dir.fresh_dataset(),
            false => dir.dataset(),
        };
        if self.fresh {
            check_own(&dir.dataset())?;
            check_own(&dir.fresh_dataset())?;
        }
        let pulling = pull::run(source, &self.pipeline, &dataset, observe);
        let (pulled, seconds) = self.block_on(unless_stopped(observe, pulling))??;
        if self.fresh {
            check_own(&dir.dataset())?;
            replace_folder(&dataset, &dir.dataset())?;
        }
        let (fingerprint, rows) = (pulled.totals.hash.to_string(), pulled.totals.rows_read);
        dir.finish("pull", FinishedStage::new(fingerprint, seconds, rows))?;
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

/// The key that the database says the query has.
pub(crate) async fn found_key(settings: &SourceSettings, observe: &dyn Observe) -> Result<KeyColumns> {
    let key = own_key(settings).await?;
    let column = key.to_string();
    observe.event(Event::Detail(Detail::OwnKey { column }));
    Ok(key)
}

/// What the text of each column stands for.
fn forms(form: impl Fn(&str) -> Form, schema: &Schema) -> BTreeMap<String, Form> {
    let columns = schema.fields().iter().map(|field| field.name());
    columns.map(|column| (column.clone(), form(column))).collect()
}

/// Rows are decoded on its threads, one for each connection where there are so many.
fn runtime(pipeline: &Pipeline) -> Result<tokio::runtime::Runtime> {
    let threads = pipeline.connections.min(pipeline.run.threads).max(2);
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    built.map_err(|e| Error::Threads {
        threads,
        why: e.to_string(),
    })
}
