//! The pass of a factorised softmax: one epoch, and the loss of the validation rows before it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch, StructArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Float32Type, Float64Type, Schema, UInt32Type, UInt64Type};
use serde_json::json;

use crate::contract::lists::{one_list, structure};
use crate::contract::pass::{Accumulate, Grain, Pass, side_by_side};
use crate::contract::spec::StepSpec;
use crate::error::{Error, Result};
use crate::rows::factors::{Dimensions, Factors, Room};
use crate::rows::features::{self, Rows};
use crate::rows::kernel::softmax;
use crate::rows::summary::Subset;
use crate::rows::{RowSet, Split};
use crate::train::adagrad::state::Seen;
pub(crate) use crate::train::factorised::state::KIND;
use crate::train::factorised::state::{Epoch, Problem, State};
use crate::train::mini_batches::{MiniBatch, MiniBatches};

/// Validation rows that are scored at a time.
const SCORED_ROWS: usize = 1024;

/// The pass. Each of its jobs gives a column of the state.
#[derive(Debug, Clone)]
pub(crate) struct EpochPass {
    pub(crate) dimensions: Dimensions,
    /// The model that learns from the training rows, if one does.
    pub(crate) epoch: Option<(Arc<Problem>, Arc<State>)>,
    /// The model whose loss on the validation rows is wanted, if one's is.
    pub(crate) score: Option<Arc<State>>,
}

/// What an epoch came to.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) state: State,
    /// Rows learnt from.
    pub(crate) rows: u64,
    /// The sum of their losses, each before its row was learnt from.
    pub(crate) loss: f64,
}

/// The losses of validation rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    pub(crate) rows: u64,
    pub(crate) loss: f64,
}

/// The answer to the pass.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) trained: Option<Trained>,
    pub(crate) score: Option<Score>,
}

impl EpochPass {
    pub(crate) fn from_spec(spec: &StepSpec) -> Result<Self> {
        let ((dimensions, learns), inner): ((Dimensions, bool), _) = spec.unnested()?;
        let mut inner = inner.into_iter();
        let mut next = |what: &str| inner.next().ok_or_else(|| spec.bad(format!("it has no {what}")));
        let epoch = if learns {
            let problem = Problem::from_spec(&next("problem")?, dimensions)?;
            let state = State::from_spec(&next("state")?, dimensions)?;
            Some((Arc::new(problem), Arc::new(state)))
        } else {
            None
        };
        let score = inner
            .next()
            .map(|state| State::from_spec(&state, dimensions).map(Arc::new));
        Ok(Self {
            dimensions,
            epoch,
            score: score.transpose()?,
        })
    }

    /// Bytes held while an epoch goes on, besides the state it starts from and the window of rows.
    pub(crate) fn bytes(dimensions: Dimensions) -> usize {
        State::bytes(dimensions) + Epoch::bytes(dimensions) + Room::bytes(SCORED_ROWS, dimensions)
    }
}

impl Pass for EpochPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Running {
            dimensions: self.dimensions,
            learning: self.epoch.as_ref().map(|(problem, state)| Learning {
                batches: MiniBatches::new(
                    RowSet::outside(None),
                    problem.subset.rows,
                    problem.weight_factor(),
                    state.epochs,
                    self.dimensions.features,
                ),
                epoch: Some(Epoch::new(Arc::clone(problem), (**state).clone())),
                trained: None,
            }),
            scoring: self.score.as_ref().map(|state| Scoring {
                state: Arc::clone(state),
                room: Room::default(),
                score: Score::default(),
            }),
        })
    }

    fn grain(&self) -> Grain {
        // A mini-batch learns from what those before it left behind: only the two jobs can be shared out.
        match (&self.epoch, &self.score) {
            (Some(_), Some(_)) => Grain::Results(2),
            _ => Grain::Ordered,
        }
    }

    fn part(&self, index: usize) -> Result<Box<dyn Pass>> {
        let mut part = self.clone();
        match index {
            0 => part.score = None,
            1 => part.epoch = None,
            _ => return Err(Error::no_part(KIND, index)),
        }
        Ok(Box::new(part))
    }

    fn join(&self, states: Vec<RecordBatch>) -> Result<RecordBatch> {
        side_by_side(states)
    }

    fn spec(&self) -> StepSpec {
        let learning = self
            .epoch
            .iter()
            .flat_map(|(problem, state)| [problem.spec(), state.spec()]);
        let inner = learning.chain(self.score.iter().map(|state| state.spec()));
        let settings = json!([self.dimensions, self.epoch.is_some()]);
        StepSpec::nested(KIND, settings, inner.collect())
    }
}

struct Running {
    dimensions: Dimensions,
    learning: Option<Learning>,
    scoring: Option<Scoring>,
}

struct Learning {
    batches: MiniBatches,
    /// `None` once it is over.
    epoch: Option<Epoch>,
    trained: Option<Trained>,
}

struct Scoring {
    state: Arc<State>,
    room: Room,
    score: Score,
}

impl Learning {
    fn take(&mut self, rows: Rows<'_>) {
        let epoch = &mut self.epoch;
        self.batches
            .take(rows, |rows, batches| learn(epoch, rows, batches));
    }

    /// Learns from what is left in the window, and ends the epoch.
    fn end(&mut self) {
        let epoch = &mut self.epoch;
        self.batches.finish(|rows, batches| learn(epoch, rows, batches));
        if let Some(epoch) = self.epoch.take() {
            let (state, rows, loss) = epoch.finish();
            self.trained = Some(Trained { state, rows, loss });
        }
    }
}

fn learn(epoch: &mut Option<Epoch>, rows: Rows<'_>, batches: &[MiniBatch]) {
    if let Some(epoch) = epoch {
        batches.iter().for_each(|batch| epoch.step(rows, batch));
    }
}

impl Scoring {
    fn take(&mut self, rows: Rows<'_>) {
        let classes = self.state.factors.dimensions.classes;
        let chosen = RowSet::Split(Split::Validation).of(rows);
        let chosen: Vec<u32> = chosen.map(|r| r as u32).collect();
        for chosen in chosen.chunks(SCORED_ROWS) {
            self.state.factors.forward(
                rows,
                chosen,
                &mut self.room,
                #[inline(always)]
                |margins, r, loss| {
                    let at_label = f64::from(margins[rows.labels[r] as usize]);
                    *loss = softmax(margins, classes) - at_label;
                },
            );
            // Row by row, in their order.
            for loss in &self.room.numbers {
                self.score.loss += loss;
            }
            self.score.rows += chosen.len() as u64;
        }
    }
}

impl Accumulate for Running {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let (learning, scoring) = (&mut self.learning, &mut self.scoring);
        rayon::join(
            || learning.iter_mut().for_each(|learning| learning.take(rows)),
            || scoring.iter_mut().for_each(|scoring| scoring.take(rows)),
        );
        Ok(())
    }

    /// Averages the models, each weighted by its rows.
    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let theirs = answer(state.clone(), self.dimensions)?;
        if theirs.trained.is_some() != self.learning.is_some()
            || theirs.score.is_some() != self.scoring.is_some()
        {
            return Err(broken("it has other jobs"));
        }
        if let (Some(learning), Some(theirs)) = (&mut self.learning, theirs.trained) {
            learning.end();
            if let Some(mine) = &mut learning.trained {
                mine.state
                    .average(mine.rows as f64, &theirs.state, theirs.rows as f64)?;
                mine.rows += theirs.rows;
                mine.loss += theirs.loss;
            }
        }
        if let (Some(scoring), Some(theirs)) = (&mut self.scoring, theirs.score) {
            scoring.score.rows += theirs.rows;
            scoring.score.loss += theirs.loss;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        if let Some(learning) = &mut self.learning {
            learning.end();
            if let Some(trained) = learning.trained.take() {
                columns.push(from_trained(trained)?);
            }
        }
        if let Some(scoring) = &self.scoring {
            let Score { rows, loss } = scoring.score;
            let values: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from(vec![rows])),
                Arc::new(Float64Array::from(vec![loss])),
            ];
            columns.push(structure(&SCORE, values)?);
        }
        let numbered = columns.into_iter().enumerate();
        let numbered = numbered.map(|(number, column)| (number.to_string(), column));
        Ok(RecordBatch::try_from_iter(numbered)?)
    }

    fn size(&self) -> usize {
        let learning = self.learning.as_ref().map_or(0, |learning| {
            learning.batches.size() + State::bytes(self.dimensions) + Epoch::bytes(self.dimensions)
        });
        learning + self.scoring.as_ref().map_or(0, |scoring| scoring.room.size())
    }
}

/// The names of the numbers of a state, in their order.
const NUMBERS: [&str; 6] = [
    "vectors",
    "output",
    "intercepts",
    "vector_squares",
    "output_squares",
    "intercept_squares",
];
const SEEN: [&str; 2] = ["entries_seen", "squares_seen"];
const EPOCH: [&str; 3] = ["epochs", "rows", "loss"];
const SCORE: [&str; 2] = ["rows", "loss"];

fn from_trained(trained: Trained) -> Result<ArrayRef> {
    let Trained { state, rows, loss } = trained;
    let names: Vec<&str> = NUMBERS.into_iter().chain(SEEN).chain(EPOCH).collect();
    let seen = of_seen(&state.seen).map(|array| one_list(Arc::new(array)));
    let State { factors, epochs, .. } = state;
    let numbers = [
        factors.vectors,
        factors.output,
        factors.intercepts,
        state.vector_squares,
        state.output_squares,
        state.intercept_squares,
    ];
    let numbers = numbers.map(|numbers| one_list(Arc::new(Float32Array::from(numbers))));
    let mut arrays: Vec<ArrayRef> = numbers.into_iter().chain(seen).collect::<Result<_>>()?;
    arrays.push(Arc::new(UInt32Array::from(vec![epochs])));
    arrays.push(Arc::new(UInt64Array::from(vec![rows])));
    arrays.push(Arc::new(Float64Array::from(vec![loss])));
    structure(&names, arrays)
}

fn of_seen(seen: &[Seen]) -> [Float64Array; 2] {
    let of = |of: fn(&Seen) -> f64| Float64Array::from_iter_values(seen.iter().map(of));
    [of(|seen| seen.entries), of(|seen| seen.squares)]
}

/// What a state says.
///
/// # Errors
/// `State` when it is none of this pass, or of other dimensions.
pub(crate) fn answer(state: RecordBatch, dimensions: Dimensions) -> Result<Answer> {
    let mut answer = Answer::default();
    for column in state.columns() {
        let job = column
            .as_struct_opt()
            .ok_or_else(|| broken("it has a column that is no job"))?;
        if job.column_by_name(EPOCH[0]).is_some() {
            answer.trained = Some(into_trained(job, dimensions)?);
        } else {
            answer.score = Some(Score {
                rows: number::<UInt64Type>(job, SCORE[0])?,
                loss: number::<Float64Type>(job, SCORE[1])?,
            });
        }
    }
    Ok(answer)
}

fn number<T: arrow::datatypes::ArrowPrimitiveType>(job: &StructArray, name: &str) -> Result<T::Native> {
    let values = job
        .column_by_name(name)
        .and_then(|values| values.as_primitive_opt::<T>());
    let value = values
        .filter(|values| !values.is_empty())
        .map(|values| values.value(0));
    value.ok_or_else(|| broken(&format!("it has no {name}")))
}

fn into_trained(job: &StructArray, dimensions: Dimensions) -> Result<Trained> {
    let list = |name: &str| {
        let list = job
            .column_by_name(name)
            .and_then(|list| list.as_list_opt::<i64>());
        list.filter(|list| !list.is_empty())
            .map(|list| list.value(0))
            .ok_or_else(|| broken(&format!("it has no {name}")))
    };
    let spec = NUMBERS.into_iter().chain(SEEN).try_fold(
        StepSpec::new(STATE, json!(number::<UInt32Type>(job, EPOCH[0])?)),
        |spec, name| Ok::<_, Error>(spec.with(name, list(name)?)),
    )?;
    Ok(Trained {
        state: State::from_spec(&spec, dimensions)?,
        rows: number::<UInt64Type>(job, EPOCH[1])?,
        loss: number::<Float64Type>(job, EPOCH[2])?,
    })
}

fn broken(why: &str) -> Error {
    Error::State {
        pass: KIND,
        why: why.to_owned(),
    }
}

/// The kind of the spec of a state.
const STATE: &str = "factorized state";

impl State {
    /// What it can be rebuilt from.
    pub(crate) fn spec(&self) -> StepSpec {
        let numbers = NUMBERS.into_iter().zip(self.numbers());
        let spec = numbers.fold(
            StepSpec::new(STATE, json!(self.epochs)),
            |spec, (name, numbers)| spec.with(name, Float32Array::from(numbers.clone())),
        );
        let seen = SEEN.into_iter().zip(of_seen(&self.seen));
        seen.fold(spec, |spec, (name, seen)| spec.with(name, seen))
    }

    fn from_spec(spec: &StepSpec, dimensions: Dimensions) -> Result<Self> {
        let numbers = |name: &str| -> Result<Vec<f32>> {
            Ok(spec
                .any_array(name)?
                .as_primitive_opt::<Float32Type>()
                .map_or_else(Vec::new, |a| a.values().to_vec()))
        };
        let [entries, squares] = SEEN.map(|name| spec.array::<Float64Array>(name));
        let seen = entries?.values().iter().zip(squares?.values());
        let seen = seen.map(|(entries, squares)| Seen {
            entries: *entries,
            squares: *squares,
        });
        let state = Self {
            factors: Factors {
                dimensions,
                vectors: numbers(NUMBERS[0])?,
                output: numbers(NUMBERS[1])?,
                intercepts: numbers(NUMBERS[2])?,
            },
            vector_squares: numbers(NUMBERS[3])?,
            output_squares: numbers(NUMBERS[4])?,
            intercept_squares: numbers(NUMBERS[5])?,
            seen: seen.collect(),
            epochs: spec.settings()?,
        };
        if !state.is_of(dimensions) {
            return Err(spec.bad("it is of other dimensions"));
        }
        Ok(state)
    }
}

impl Problem {
    fn spec(&self) -> StepSpec {
        let Subset {
            rows,
            counts,
            weight,
            weights,
            mean,
            deviation,
            ..
        } = &*self.subset;
        StepSpec::new("factorized problem", json!(rows))
            .with("weight", Float64Array::from(vec![*weight]))
            .with("counts", UInt64Array::from(counts.clone()))
            .with("weights", Float64Array::from(weights.clone()))
            .with("mean", Float64Array::from(mean.clone()))
            .with("deviation", Float64Array::from(deviation.clone()))
    }

    fn from_spec(spec: &StepSpec, dimensions: Dimensions) -> Result<Self> {
        let floats =
            |name: &str| -> Result<Vec<f64>> { Ok(spec.array::<Float64Array>(name)?.values().to_vec()) };
        let [weight] = floats("weight")?[..] else {
            return Err(spec.bad("it does not have one weight"));
        };
        let subset = Subset {
            rows: spec.settings()?,
            counts: spec.array::<UInt64Array>("counts")?.values().to_vec(),
            weight,
            weights: floats("weights")?,
            mean: floats("mean")?,
            deviation: floats("deviation")?,
            members: Vec::new(),
            label: None,
        };
        if subset.mean.len() != dimensions.features || subset.deviation.len() != dimensions.features {
            return Err(spec.bad("it has another number of features"));
        }
        Ok(Self {
            dimensions,
            subset: Arc::new(subset),
        })
    }
}
