//! Choose: the encoders and the model that the pipeline leaves open, from the training rows, in one scan.

use std::fs;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use gristmill_data::durable::write_whole;
use gristmill_learn::features::choose::{Asked, CHOICE_FORMAT, Choice, Chooser};
use gristmill_learn::features::split;
use gristmill_learn::settings::LabelKind;
use serde_json::{Value, json};

use super::{Spent, Stage, Teller, Work, perform};
use crate::directory::{Directory, FinishedStage, to_json};
use crate::error::{Result, broken_state, io};
use crate::event::{Event, Pace, StageResult};
use crate::settings::Pipeline;

/// The choice for a pipeline, by the rows of a dataset.
pub(crate) struct Choose<'a> {
    pipeline: &'a Pipeline,
    schema: SchemaRef,
    dataset_hash: String,
}

/// A pipeline of which nothing is open, with what was chosen for that.
pub(crate) struct Decided {
    pub(crate) pipeline: Pipeline,
    pub(crate) chosen: Option<(Choice, FinishedStage)>,
}

impl<'a> Choose<'a> {
    /// The choice for this pipeline, whose features are all named; `None` where nothing is open.
    pub(crate) fn new(pipeline: &'a Pipeline, schema: SchemaRef, dataset_hash: String) -> Option<Self> {
        let open = !pipeline.open.models.is_empty() || !pipeline.open_columns().is_empty();
        open.then_some(Self {
            pipeline,
            schema,
            dataset_hash,
        })
    }

    /// The pipeline with everything that it leaves open decided by the rows of the dataset with this content.
    ///
    /// # Errors
    /// Those of the stage, or that nothing is a feature.
    pub(crate) fn decide(
        pipeline: &Pipeline,
        dataset_hash: &str,
        dir: &mut Directory,
        work: &Work<'_>,
    ) -> Result<Decided> {
        let schema = work.dataset.schema();
        let opened = pipeline.opened(schema);
        let Some(choose) = Choose::new(&opened, schema.clone(), dataset_hash.to_owned()) else {
            return Ok(Decided {
                pipeline: opened,
                chosen: None,
            });
        };
        let (choice, record) = perform(&choose, dir, work)?;
        let decided = opened.decided(&choice)?;
        work.observe.event(Event::Chosen(Box::new(choice.clone())));
        Ok(Decided {
            pipeline: decided,
            chosen: Some((choice, record)),
        })
    }

    /// Whether a feature that the pipeline names has the n-grams of a text.
    fn has_text(&self) -> bool {
        let mut features = self.pipeline.features.iter();
        features.any(|feature| feature.kind() == "ngrams")
    }

    fn chooser(&self) -> Chooser {
        let Pipeline { label, split, .. } = self.pipeline;
        Chooser::new(self.pipeline.open_columns(), label, split)
    }
}

impl Stage for Choose<'_> {
    type Made = Choice;

    const NAME: &'static str = "choose";

    const FORMAT: u32 = CHOICE_FORMAT;

    fn shape(&self) -> Value {
        let pipeline = self.pipeline;
        json!([
            self.dataset_hash,
            pipeline.open_columns(),
            pipeline.label,
            pipeline.split,
            split::VERSION,
            pipeline.open.models,
            pipeline.model.kind(),
            pipeline.model.counts(),
            self.has_text(),
        ])
    }

    fn files(&self, dir: &Directory) -> Vec<PathBuf> {
        vec![dir.choice()]
    }

    fn reload(&self, dir: &Directory) -> Result<Choice> {
        let path = dir.choice();
        let text = fs::read(&path).map_err(io(&path))?;
        serde_json::from_slice(&text).map_err(|e| broken_state(&path, &e))
    }

    fn run(&self, dir: &Directory, work: &Work<'_>) -> Result<(Choice, Spent)> {
        let dataset = work.dataset.rows();
        let rows = dataset.rows;
        let teller = Teller::start(work.observe, Self::NAME, "rows", Some(rows));
        let progress = |done| teller.progress(done, Pace::Steady);
        let chooser = self.chooser();
        let state = work.engine.fold(dataset, chooser.pass(), &progress)?;
        let open = &self.pipeline.open.models;
        let stated = std::slice::from_ref(&self.pipeline.model);
        let models = if open.is_empty() { stated } else { open };
        let models = models.iter().map(|model| (model.kind(), model.label()));
        let models: Vec<(&str, LabelKind)> = models.collect();
        let asked = Asked {
            schema: &self.schema,
            label: !open.is_empty(),
            models: &models,
            text: self.has_text(),
            validation: self.pipeline.split.validation > 0.0,
            counts: self.pipeline.model.counts().is_some(),
        };
        let choice = chooser.choice(&state, asked)?;
        let path = dir.choice();
        write_whole(&path, &to_json(&path, &choice)?)?;
        let left_out = choice.columns.iter().filter(|column| column.features.is_empty());
        let seconds = teller.finish(StageResult::Chosen {
            columns: choice.columns.len() as u64,
            left_out: left_out.count() as u64,
        });
        Ok((choice, Spent { seconds, rows }))
    }
}
