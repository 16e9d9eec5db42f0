//! `kind = "nearest_centroid"`: the class whose mean row is nearest. It is not linear, and found in one scan.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch, UInt64Array};
use arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Schema, UInt8Type, UInt32Type, UInt64Type,
};
use gristmill_learn::contract::learner::{Learner, ModelKind, ModelSettings, WayOut};
use gristmill_learn::contract::model::{Model, ModelSpec, ModelTensor};
use gristmill_learn::contract::pass::{Accumulate, Grain, Pass};
use gristmill_learn::contract::spec::read_settings;
use gristmill_learn::contract::step::{SparseBlock, StepSpec};
use gristmill_learn::contract::thresholds::Thresholds;
use gristmill_learn::contract::trainer::{Next, Params, SearchPoint, Status, Trained, Trainer, TrainingSize};
use gristmill_learn::settings::{Key, LabelKind, Numbers, Preset, SearchSettings, Values};
use gristmill_learn::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const KIND: &str = "nearest_centroid";
const SUMS: &str = "centroid_sums";
const WEIGHT: &str = "weight";

pub(crate) struct NearestCentroid;

impl ModelKind for NearestCentroid {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "The class whose mean of the features is nearest, as scikit-learn's `NearestCentroid`."
    }

    fn keys(&self) -> &'static [Key] {
        &[Key {
            name: "sharpness",
            values: Values::Number(Numbers::Positive),
            default: Preset::Number(1.0),
            doc: "Factor of the squared distance.",
        }]
    }

    fn settings(&self, settings: Value) -> Result<ModelSettings> {
        read_settings::<Settings>(KIND, settings).map(ModelSettings::new)
    }

    fn rebuild(&self, spec: &ModelSpec) -> Result<Arc<dyn Model>> {
        let settings: Settings = read_settings(KIND, Value::Object(spec.settings.clone()))?;
        let centroids = spec.tensor::<Float64Array>("centroids")?;
        let centroids = centroids.ok_or_else(|| spec.bad("`centroids` does not hold 64-bit floats"))?;
        let expected = spec.features.checked_mul(spec.classes);
        if Some(centroids.len()) != expected || spec.classes < 2 {
            return Err(spec.bad("`centroids` does not hold one number for each class and feature"));
        }
        Ok(Arc::new(Centroids {
            sharpness: settings.sharpness,
            features: spec.features,
            classes: spec.classes,
            centroids: centroids.values().to_vec(),
        }))
    }

    fn pass(&self, spec: &StepSpec) -> Option<Result<Box<dyn Pass>>> {
        let sums = || -> Result<Box<dyn Pass>> {
            let (features, classes, entries) = spec.settings()?;
            Ok(Box::new(Sums(TrainingSize {
                features,
                classes,
                entries,
            })))
        };
        (spec.kind == SUMS).then(sums)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    sharpness: f64,
}

impl Learner for Settings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn label(&self) -> LabelKind {
        LabelKind::Class
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn models(&self) -> usize {
        1
    }

    fn trainer(
        &self,
        search: &SearchSettings,
        size: TrainingSize,
        _thresholds: Thresholds,
        available: u64,
    ) -> Result<Box<dyn Trainer>> {
        let needed = self.sums_bytes(search, size) + self.model_bytes(size);
        if needed > available {
            return Err(Error::Budget {
                what: "the means of the classes".to_owned(),
                needed,
                available,
            });
        }
        Ok(Box::new(OneScan {
            sharpness: self.sharpness,
            size,
            scans: 0,
        }))
    }

    fn model_bytes(&self, size: TrainingSize) -> u64 {
        (size.features * size.classes * 8) as u64
    }

    fn sums_bytes(&self, _search: &SearchSettings, size: TrainingSize) -> u64 {
        self.model_bytes(size)
    }

    fn ways_out(&self, _search: &SearchSettings, _size: TrainingSize, _available: u64) -> Vec<WayOut> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Centroids {
    sharpness: f64,
    features: usize,
    classes: usize,
    /// Class by class.
    centroids: Vec<f64>,
}

impl Model for Centroids {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn features(&self) -> usize {
        self.features
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn scores(&self, rows: &SparseBlock) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(rows.rows() * self.classes);
        for row in 0..rows.rows() {
            let (indices, values) = rows.row(row);
            let mut dense = vec![0.0; self.features];
            for (index, value) in indices.iter().zip(values) {
                let place = dense.get_mut(*index as usize).ok_or_else(|| Error::State {
                    pass: KIND,
                    why: format!("feature {index}"),
                })?;
                *place = f64::from(*value);
            }
            let near = self.centroids.chunks(self.features).map(|centroid| {
                let square: f64 = centroid.iter().zip(&dense).map(|(c, x)| (c - x) * (c - x)).sum();
                -self.sharpness * square
            });
            let near: Vec<f64> = near.collect();
            let most = near.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares: Vec<f64> = near.iter().map(|x| (x - most).exp()).collect();
            let sum: f64 = shares.iter().sum();
            scores.extend(shares.iter().map(|share| share / sum));
        }
        Ok(scores)
    }

    fn spec(&self) -> ModelSpec {
        let centroids = ModelTensor {
            values: Arc::new(Float64Array::from(self.centroids.clone())),
            shape: vec![self.classes, self.features],
        };
        ModelSpec {
            kind: KIND.to_owned(),
            classes: self.classes,
            features: self.features,
            settings: Map::from_iter([("sharpness".to_owned(), self.sharpness.into())]),
            tensors: BTreeMap::from([("centroids".to_owned(), centroids)]),
        }
    }
}

struct OneScan {
    sharpness: f64,
    size: TrainingSize,
    scans: u64,
}

impl Trainer for OneScan {
    fn next(&mut self, answer: Option<RecordBatch>) -> Result<Next> {
        let Some(state) = answer else {
            self.scans += 1;
            return Ok(Next::Scan(Box::new(Sums(self.size))));
        };
        let mut sums = Summing::new(self.size);
        sums.merge(&state)?;
        if sums.rows.iter().sum::<u64>() == 0 {
            return Err(Error::empty_training());
        }
        if sums.weights.iter().sum::<f64>() == 0.0 {
            return Err(Error::weightless());
        }
        let features = self.size.features.max(1);
        for (centroid, weight) in sums.sums.chunks_mut(features).zip(&sums.weights) {
            // A class without rows is infinitely far away.
            let mean = |sum: f64| {
                if *weight > 0.0 {
                    sum / weight
                } else {
                    f64::INFINITY
                }
            };
            centroid.iter_mut().for_each(|sum| *sum = mean(*sum));
        }
        Ok(Next::Done(Box::new(Trained {
            model: Arc::new(Centroids {
                sharpness: self.sharpness,
                features: self.size.features,
                classes: self.size.classes,
                centroids: sums.sums,
            }),
            search: vec![SearchPoint {
                params: Params::default().with("sharpness", self.sharpness),
                score: None,
                scores: Vec::new(),
            }],
            best: 0,
            iterations: 0,
            converged: true,
            objective: None,
            class_rows: sums.rows,
            cut_short: false,
        })))
    }

    fn status(&self) -> Status {
        Status {
            scans: self.scans,
            phase: "sums",
            running: 1,
            objective: None,
            iteration: 0,
            iterations_left: None,
        }
    }
}

/// Sums the features of the training rows by class.
struct Sums(TrainingSize);

impl Pass for Sums {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        let mut columns = vec!["label", "indices", "values", "split"];
        columns.extend(schema.column_with_name(WEIGHT).map(|_| WEIGHT));
        Ok(columns.into_iter().map(str::to_owned).collect())
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Summing::new(self.0))
    }

    fn grain(&self) -> Grain {
        Grain::Ordered
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(SUMS, json!([self.0.features, self.0.classes, self.0.entries]))
    }
}

struct Summing {
    features: usize,
    /// Class by class.
    sums: Vec<f64>,
    weights: Vec<f64>,
    rows: Vec<u64>,
}

impl Summing {
    fn new(size: TrainingSize) -> Self {
        Self {
            features: size.features,
            sums: vec![0.0; size.features * size.classes],
            weights: vec![0.0; size.classes],
            rows: vec![0; size.classes],
        }
    }
}

impl Accumulate for Summing {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let labels: &Int32Array = batch["label"].as_primitive::<Int32Type>();
        let (indices, values) = (
            batch["indices"].as_list::<i32>(),
            batch["values"].as_list::<i32>(),
        );
        let split = batch["split"].as_primitive::<UInt8Type>();
        let weights = batch
            .column_by_name(WEIGHT)
            .map(|weights| weights.as_primitive::<Float64Type>());
        for row in (0..batch.num_rows()).filter(|row| split.value(*row) == 0) {
            let class = labels.value(row) as usize;
            let weight = weights.map_or(1.0, |weights| weights.value(row));
            self.rows[class] += 1;
            self.weights[class] += weight;
            let (indices, values) = (indices.value(row), values.value(row));
            let indices = indices.as_primitive::<UInt32Type>().values();
            let values = values.as_primitive::<Float32Type>().values();
            for (index, value) in indices.iter().zip(values) {
                self.sums[class * self.features + *index as usize] += weight * f64::from(*value);
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        fn add<T: ArrowPrimitiveType>(mine: &mut [T::Native], state: &RecordBatch, name: &str) -> Option<()>
        where
            T::Native: AddAssign,
        {
            let theirs = state.column_by_name(name)?.as_list_opt::<i64>()?.value(0);
            let theirs = theirs.as_primitive_opt::<T>()?;
            let pairs = mine.iter_mut().zip(theirs.values());
            pairs.for_each(|(mine, theirs)| *mine += *theirs);
            (theirs.len() == mine.len()).then_some(())
        }
        let added = add::<Float64Type>(&mut self.sums, state, "sums")
            .and_then(|()| add::<Float64Type>(&mut self.weights, state, "weights"))
            .and_then(|()| add::<UInt64Type>(&mut self.rows, state, "rows"));
        added.ok_or_else(|| Error::State {
            pass: SUMS,
            why: "it is a state of something else".to_owned(),
        })
    }

    fn state(&mut self) -> Result<RecordBatch> {
        use arrow::array::{ArrayRef, LargeListArray};
        use arrow::buffer::OffsetBuffer;
        use arrow::datatypes::Field;
        let list = |values: ArrayRef| {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Arc::new(LargeListArray::new(field, offsets, values, None)) as ArrayRef
        };
        Ok(RecordBatch::try_from_iter([
            ("sums", list(Arc::new(Float64Array::from(self.sums.clone())))),
            (
                "weights",
                list(Arc::new(Float64Array::from(self.weights.clone()))),
            ),
            ("rows", list(Arc::new(UInt64Array::from(self.rows.clone())))),
        ])?)
    }

    fn size(&self) -> usize {
        (self.sums.len() + self.weights.len() + self.rows.len()) * 8
    }
}
