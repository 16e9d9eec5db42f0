//! The last two stages, train and evaluate, and what comes out of them: the model, the metrics and the summary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use gristmill_data::convert::Form;
use gristmill_data::durable::{NewFile, create_folder, folder_of, remove_file};
use gristmill_data::failpoint;
use gristmill_data::prepare::TextRules;
use gristmill_data::table::{TableVersion, Totals};
use gristmill_learn::contract::step::{LeftOut, StepSpec};
use gristmill_learn::evaluate::Calibration;
use gristmill_learn::features::choose::Choice;
use gristmill_learn::features::{Assembler, Fitted};
use gristmill_learn::model::bundle::{CLEAN, Contents, Provenance};
use gristmill_learn::model::{InputColumn, Thresholds};
use gristmill_learn::search::Trained;
use gristmill_learn::train::{TRAINING_FORMAT, TrainingSize};
use serde_json::{Value, json};

use super::evaluate::Evaluated;
use super::{Spent, Stage, Work, calibrate, evaluate, fingerprint_of, train};
use crate::directory::{Directory, FinishedStage, to_json};
use crate::error::{Error, Result, broken_state, io};
use crate::event::{Event, Warning};
use crate::memory::peak_rss;
use crate::report::metrics::{self, Batches, Best, DroppedRows, Metrics, Rows, VERSION};
use crate::report::summary;
use crate::settings::Pipeline;
use crate::warm::EarlierModel;

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

/// The model of a pipeline. It is evaluated before it is written, for the scores are in it.
pub(crate) struct Model<'a> {
    pub(crate) pipeline: &'a Pipeline,
    /// What was chosen that the file leaves open.
    pub(crate) choice: Option<Choice>,
    /// What the dataset says of its rows.
    pub(crate) totals: &'a Totals,
    pub(crate) fitted: &'a Fitted,
    /// How it predicts.
    pub(crate) thresholds: Thresholds,
    pub(crate) features: &'a TableVersion,
    /// Rows that are not in the features.
    pub(crate) left_out: LeftOut,
    /// What the text of each column stands for.
    pub(crate) forms: &'a BTreeMap<String, Form>,
    /// The model that the training starts from.
    pub(crate) earlier: Option<&'a EarlierModel>,
    /// The fingerprint of the features.
    pub(crate) transform: String,
    /// The records of pull, choose, fit and transform.
    pub(crate) before: [Option<FinishedStage>; 4],
}

impl Stage for Model<'_> {
    type Made = Outcome;

    const NAME: &'static str = "train";

    const FORMAT: u32 = TRAINING_FORMAT;

    const TOLD: &'static [&'static str] = &["train", "evaluate"];

    fn shape(&self) -> Value {
        let earlier = self.earlier.map(|earlier| &earlier.hash);
        json!([self.transform, self.pipeline.shaping(), earlier, VERSION])
    }

    fn files(&self, dir: &Directory) -> Vec<PathBuf> {
        vec![dir.model(), dir.metrics(), dir.summary()]
    }

    fn reload(&self, dir: &Directory) -> Result<Outcome> {
        let read = |path: &Path| fs::read_to_string(path).map_err(io(path));
        let metrics = serde_json::from_str(&read(&dir.metrics())?);
        Ok(Outcome {
            metrics: metrics.map_err(|e| broken_state(&dir.metrics(), &e))?,
            summary: read(&dir.summary())?,
            model: dir.model(),
        })
    }

    fn run(&self, dir: &Directory, work: &Work<'_>) -> Result<(Outcome, Spent)> {
        let assembler = &self.fitted.assembler;
        let classes = assembler.classes();
        let rows = train::Rows::of(self.features, self.fitted.training_rows())?;
        let size = TrainingSize {
            features: assembler.width() as usize,
            classes: classes.len(),
            entries: rows.entries_of_a_row(),
        };
        let input = train::Input {
            features: self.features,
            rows,
            size,
            thresholds: self.thresholds.clone(),
            warm: self.earlier.and_then(|earlier| earlier.align(assembler)),
            checkpoint: dir.checkpoint(),
            fingerprint: fingerprint_of(self),
        };
        let (mut trained, seconds) =
            train::run(work, self.pipeline, input).map_err(|error| named(error, assembler))?;
        let rows = self.features.rows;
        let training = Spent { seconds, rows };
        let (calibration, calibrating) = match self.pipeline.calibrate {
            true => calibrate::run(work, self.features, &mut trained)?,
            false => (None, 0.0),
        };
        let (evaluated, seconds) = evaluate::run(
            work.engine,
            self.features,
            &trained,
            &self.thresholds,
            assembler,
            work.observe,
        )?;
        let shares = &self.pipeline.split;
        for (split, share) in [("validation", shares.validation), ("test", shares.test)] {
            if shares.column.is_none() && share > 0.0 && evaluated.splits.rows(split) == 0 {
                let warning = Warning::EmptySplit { split, share };
                work.observe.event(Event::Warning(warning));
            }
        }
        let evaluation = Spent {
            seconds: calibrating + seconds,
            rows,
        };
        let outcome = self.write(
            dir,
            work.dataset.schema(),
            size,
            trained,
            (evaluated, calibration),
            [training, evaluation],
        )?;
        Ok((outcome, training))
    }
}

impl Model<'_> {
    /// Writes the model, the metrics and the summary, each beside its place, and then puts them there. So a full disk loses
    /// nothing of an earlier outcome, and nobody finds one model with the metrics of another.
    fn write(
        &self,
        dir: &Directory,
        schema: &Schema,
        size: TrainingSize,
        trained: Trained,
        (evaluated, calibration): (Evaluated, Option<Calibration>),
        spent: [Spent; 2],
    ) -> Result<Outcome> {
        let rows = rows(self.totals, self.left_out, self.features.rows);
        let best = best(&trained);
        let model = self.bundle(&dir.model(), schema, &trained, &evaluated, rows, &best)?;
        let stages = self.stages(spent);
        let metrics = Metrics {
            version: VERSION,
            rows,
            batches: Batches {
                read: self.totals.batches_read,
                empty: self.totals.batches_empty,
            },
            chosen: self.choice.clone(),
            features: size.features as u64,
            classes: size.classes as u64,
            splits: evaluated.splits,
            repeated: evaluated.repeated,
            baseline: evaluated.baseline,
            calibration,
            search_cut_short: trained.cut_short,
            search: trained.search,
            best,
            seconds: stages.iter().map(|s| s.seconds).sum(),
            stages,
            peak_rss_bytes: peak_rss(),
        };
        let text = summary(self.pipeline, &metrics);
        let summary = NewFile::holding(&dir.summary(), text.as_bytes())?;
        let table = NewFile::holding(&dir.metrics(), &to_json(&dir.metrics(), &metrics)?)?;
        failpoint::hit("outcome-written");
        remove_file(&dir.metrics())?;
        remove_file(&dir.summary())?;
        failpoint::hit("outcome-removed");
        model.put()?;
        failpoint::hit("model-put");
        summary.put()?;
        failpoint::hit("summary-put");
        table.put()?;
        failpoint::hit("metrics-put");
        Ok(Outcome {
            metrics,
            summary: text,
            model: dir.model(),
        })
    }

    /// Writes the bundle beside its place.
    fn bundle(
        &self,
        path: &Path,
        schema: &Schema,
        trained: &Trained,
        evaluated: &Evaluated,
        rows: Rows,
        best: &Best,
    ) -> Result<NewFile> {
        let json = |value: Result<Value, serde_json::Error>| {
            value.map_err(|e| Error::State {
                path: path.display().to_string(),
                why: e.to_string(),
            })
        };
        let clean = StepSpec {
            kind: CLEAN.to_owned(),
            settings: json(serde_json::to_value(TextRules::of(&self.pipeline.clean)))?,
            arrays: BTreeMap::new(),
        };
        let provenance = Provenance {
            gristmill: env!("CARGO_PKG_VERSION").to_owned(),
            settings: self.pipeline.shaping(),
            settings_hash: self.pipeline.shaping_hash(),
            dataset_hash: self.totals.hash.to_string(),
            warm_start: self.earlier.map(|earlier| earlier.hash.clone()),
            rows: json(serde_json::to_value(rows))?,
            best: json(serde_json::to_value(best))?,
            metrics: json(serde_json::to_value(&evaluated.splits))?,
        };
        let bundle = Contents {
            clean: &clean,
            assembler: &self.fitted.assembler,
            model: trained.model.as_ref(),
            thresholds: &self.thresholds,
            input: &self.input(schema, evaluated.unseen.as_deref())?,
            provenance: &provenance,
        };
        create_folder(folder_of(path))?;
        let file = NewFile::create(path)?;
        bundle.write(&mut file.output()?).map_err(io(path))?;
        Ok(file)
    }

    /// The columns that the model is asked with; `unseen` has a share for each encoder that tells what it has seen.
    fn input(&self, schema: &Schema, unseen: Option<&[f64]>) -> Result<Vec<InputColumn>> {
        let assembler = &self.fitted.assembler;
        let telling = assembler.encoders().iter().zip(assembler.seen());
        let telling = telling
            .filter(|(_, seen)| seen.is_some())
            .map(|(encoder, _)| encoder);
        let unseen: Vec<_> = telling.zip(unseen.unwrap_or_default()).collect();
        let mut columns = InputColumn::of(assembler, schema)?;
        for column in &mut columns {
            let form = self.forms.get(&column.name).and_then(|form| form.name());
            column.form = form.map(str::to_owned);
            column.profile = self.fitted.profiles.get(&column.name).cloned();
            if let Some(profile) = &mut column.profile {
                for (encoder, share) in &unseen {
                    if encoder.inputs().iter().any(|input| input.column == column.name) {
                        profile.unseen.insert(encoder.kind().to_owned(), **share);
                    }
                }
            }
            column.uncleaned = self.pipeline.source.key.contains(&column.name);
        }
        Ok(columns)
    }

    /// Every stage, those of earlier runs with the times that they took then.
    fn stages(&self, spent: [Spent; 2]) -> Vec<metrics::Stage> {
        let before = ["pull", "choose", "fit", "transform"]
            .into_iter()
            .zip(&self.before);
        let before = before.filter_map(|(name, record)| {
            let record = record.as_ref()?;
            Some((name, record.seconds, record.rows))
        });
        let now = ["train", "evaluate"].into_iter().zip(spent);
        let now = now.map(|(name, spent)| (name, spent.seconds, spent.rows));
        let stage = |(name, seconds, rows): (&str, f64, u64)| metrics::Stage {
            name: name.to_owned(),
            seconds,
            rows,
        };
        before.chain(now).map(stage).collect()
    }
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
        params: point.params.clone(),
        score: point.score,
        iterations: trained.iterations,
        converged: trained.converged,
        objective: trained.objective,
    }
}
