//! Temperature scaling: the one number by which all margins of a classifier are divided so that its probabilities are those of the
//! validation rows (Guo et al., 2017). It moves no prediction of the most likely class.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contract::model::{Model, ModelSpec};
use crate::contract::pass::{Accumulate, Pass};
use crate::contract::registry::Registry;
use crate::contract::spec::StepSpec;
use crate::contract::step::SparseBlock;
use crate::error::{Error, Result};
use crate::rows::Split;
use crate::rows::features::{self, Rows};
use crate::rows::real::Real;
use crate::statistics::logarithm::ln;
use crate::statistics::{SMALLEST_PROBABILITY, state_column};

/// The kind of the pass's spec.
pub(crate) const KIND: &str = "calibration";

/// Bins of equal width that the expected calibration error sorts rows into by their largest probability, as Guo et al. have it.
const BINS: usize = 15;
/// Inverse temperatures that a scan tries. The second tries as many around the best of the first: neighbours are then 2 % apart, and
/// the loss is flat where it is least.
const TRIED: usize = 32;
/// The first scan tries them from the first to the second of these.
const ENDS: [f64; 2] = [1.0 / 1024.0, 16.0];
/// The smallest probability that has a logarithm here.
const LEAST: f64 = 1e-300;
/// Rows that are scored at a time.
const SCORED_ROWS: usize = 1024;

/// What a temperature does to the validation rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// All margins are divided by it: above 1 the model was too sure.
    pub temperature: f64,
    /// Validation rows of a class that training saw.
    pub rows: u64,
    /// Their log loss (natural logarithm), before and after, as that of [`crate::statistics::Scores`].
    pub log_loss: [f64; 2],
    /// Their expected calibration error, before and after: the mean of the distance between the largest probability and the
    /// share of rows predicted right, over 15 bins of that probability, weighted by their rows.
    pub calibration_error: [f64; 2],
}

/// The loss and the calibration of a model on the validation rows, for each of some inverse temperatures.
#[derive(Debug, Clone)]
pub struct CalibrationPass {
    model: Arc<dyn Model>,
    inverse: Vec<f64>,
}

/// Finds the temperature of a model, scan by scan.
#[derive(Debug, Clone)]
pub struct Calibrator {
    model: Arc<dyn Model>,
    inverse: Vec<f64>,
    before: Option<Sums>,
}

/// What a [`Calibrator`] wants next.
pub enum Calibrating {
    /// Another scan.
    Scan,
    /// Nothing: this is it, or why there is none.
    Done(Result<Calibration, Uncalibrated>),
}

/// Why a model keeps its probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncalibrated {
    /// There is no validation row of a class that training saw.
    NoRows,
    /// The loss is least at the end of what is tried: the validation rows are all predicted right, or are predicted no better than by
    /// chance. A temperature of theirs would ruin the probabilities of others.
    NoMinimum,
}

/// The sums of one inverse temperature.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    rows: f64,
    loss: f64,
    /// By bin: the rows, those of them that are right, and their largest probabilities.
    bins: Vec<[f64; 3]>,
}

impl Calibrator {
    /// For a classifier.
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self {
            model,
            // The model as it is, and what may be better.
            inverse: std::iter::once(1.0).chain(spread(ENDS)).collect(),
            before: None,
        }
    }

    /// The model with a temperature.
    ///
    /// # Errors
    /// `NotCalibrated` when it has no such form.
    pub fn calibrated(&self, calibration: &Calibration) -> Result<Arc<dyn Model>> {
        let tempered = self.model.tempered(1.0 / calibration.temperature);
        tempered.ok_or_else(|| Error::NotCalibrated {
            kind: self.model.kind().to_owned(),
        })
    }

    /// The next scan.
    pub fn pass(&self) -> CalibrationPass {
        CalibrationPass {
            model: Arc::clone(&self.model),
            inverse: self.inverse.clone(),
        }
    }

    /// Takes the final state of that scan.
    ///
    /// # Errors
    /// `State` when it is not of that pass.
    pub fn next(&mut self, state: &RecordBatch) -> Result<Calibrating> {
        let mut sums = read(state, self.inverse.len())?;
        let first = self.before.is_none();
        let before = match &self.before {
            Some(before) => before.clone(),
            None => {
                self.inverse.remove(0);
                self.before.insert(sums.remove(0)).clone()
            }
        };
        if before.rows == 0.0 {
            return Ok(Calibrating::Done(Err(Uncalibrated::NoRows)));
        }
        // But for probabilities near 0 the loss is convex in the inverse temperature. Of equal losses the first.
        let mut best = 0;
        for (place, sum) in sums.iter().enumerate() {
            if sum.loss < sums[best].loss {
                best = place;
            }
        }
        if first {
            let right: f64 = before.bins.iter().map(|[_, hits, _]| hits).sum();
            if right == before.rows || best == 0 || best == self.inverse.len() - 1 {
                return Ok(Calibrating::Done(Err(Uncalibrated::NoMinimum)));
            }
            let around = [best - 1, best + 1];
            self.inverse = spread(around.map(|place| self.inverse[place])).collect();
            return Ok(Calibrating::Scan);
        }
        let (inverse, after) = match sums[best].loss < before.loss {
            true => (self.inverse[best], &sums[best]),
            false => (1.0, &before),
        };
        Ok(Calibrating::Done(Ok(Calibration {
            temperature: 1.0 / inverse,
            rows: before.rows as u64,
            log_loss: [before.loss / before.rows, after.loss / before.rows],
            calibration_error: [before.error(), after.error()],
        })))
    }
}

/// Numbers in equal ratios, from the least to the largest.
fn spread([least, largest]: [f64; 2]) -> impl Iterator<Item = f64> {
    let (from, to) = (ln(least), ln(largest));
    (0..TRIED).map(move |place| exp(from + (to - from) * place as f64 / (TRIED - 1) as f64))
}

impl Sums {
    fn new() -> Self {
        Self {
            rows: 0.0,
            loss: 0.0,
            bins: vec![[0.0; 3]; BINS],
        }
    }

    /// The row whose log probabilities these are, at an inverse temperature; `at` is room for the probabilities.
    fn add(&mut self, logs: &[f64], truth: usize, inverse: f64, at: &mut Vec<f64>) {
        at.clear();
        let largest = logs.iter().fold(f64::NEG_INFINITY, |most, log| most.max(*log));
        at.extend(logs.iter().map(|log| exp(inverse * (log - largest))));
        let sum: f64 = at.iter().sum();
        self.rows += 1.0;
        self.loss -= ln((at[truth] / sum).max(SMALLEST_PROBABILITY));
        // The largest log is the largest probability, which is 1 over the sum.
        let sure = 1.0 / sum;
        let right = logs[truth] == largest && !logs[..truth].contains(&largest);
        let bin = ((sure * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let [rows, hits, surely] = &mut self.bins[bin];
        *rows += 1.0;
        *hits += f64::from(right);
        *surely += sure;
    }

    fn error(&self) -> f64 {
        let apart = self.bins.iter().map(|[_, hits, surely]| (hits - surely).abs());
        apart.sum::<f64>() / self.rows
    }
}

/// The exponential of a number, which does not depend on the system.
fn exp(x: f64) -> f64 {
    match x <= 0.0 {
        true => x.exp_of_negative(),
        false => 1.0 / (-x).exp_of_negative(),
    }
}

impl CalibrationPass {
    pub(crate) fn from_spec(spec: &StepSpec, kinds: &Registry) -> Result<Self> {
        let ((), models) = spec.unnested()?;
        let inverse: &Float64Array = spec.array("inverse")?;
        match models.as_slice() {
            [model] => Ok(Self {
                model: kinds.model_from_spec(&ModelSpec::from_step(model)?)?,
                inverse: inverse.values().to_vec(),
            }),
            _ => Err(spec.bad("it does not hold one model")),
        }
    }
}

impl Pass for CalibrationPass {
    fn columns(&self, schema: &Schema) -> Result<Vec<String>> {
        features::check(schema)
    }

    fn start(&self) -> Box<dyn Accumulate> {
        Box::new(Accumulator {
            pass: self.clone(),
            sums: vec![Sums::new(); self.inverse.len()],
        })
    }

    fn spec(&self) -> StepSpec {
        StepSpec::nested(KIND, json!(null), vec![self.model.spec().into_step()])
            .with("inverse", Float64Array::from(self.inverse.clone()))
    }
}

struct Accumulator {
    pass: CalibrationPass,
    sums: Vec<Sums>,
}

impl Accumulate for Accumulator {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = Rows::of(batch)?;
        let (model, classes) = (&self.pass.model, self.pass.model.classes());
        // A class that training never saw has no probability at any temperature.
        let scored = |row: &usize| Split::Validation.is(rows.split[*row]) && rows.class(*row).is_some();
        let validation: Vec<usize> = (0..rows.len()).filter(scored).collect();
        let (mut logs, mut room) = (Vec::new(), Vec::new());
        for some in validation.chunks(SCORED_ROWS) {
            let mut block = SparseBlock::with_capacity(some.len());
            for row in some {
                let (indices, values) = rows.row(*row);
                block.indices.extend_from_slice(indices);
                block.values.extend_from_slice(values);
                block.end_row();
            }
            let scores = model.scores(&block)?;
            for (row, probabilities) in some.iter().zip(scores.chunks_exact(classes.max(1))) {
                logs.clear();
                logs.extend(probabilities.iter().map(|p| ln(p.max(LEAST))));
                let truth = rows.class(*row).unwrap_or_default();
                for (inverse, sums) in self.pass.inverse.iter().zip(&mut self.sums) {
                    sums.add(&logs, truth, *inverse, &mut room);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, state: &RecordBatch) -> Result<()> {
        let theirs = read(state, self.sums.len())?;
        for (mine, theirs) in self.sums.iter_mut().zip(theirs) {
            mine.rows += theirs.rows;
            mine.loss += theirs.loss;
            let bins = mine.bins.iter_mut().flatten().zip(theirs.bins.iter().flatten());
            bins.for_each(|(mine, theirs)| *mine += theirs);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<RecordBatch> {
        let numbers = self.sums.iter().flat_map(|sums| {
            let bins = sums.bins.iter().flatten().copied();
            [sums.rows, sums.loss].into_iter().chain(bins)
        });
        let numbers = Float64Array::from_iter_values(numbers);
        Ok(RecordBatch::try_from_iter([("sums", Arc::new(numbers) as _)])?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.sums.len() * (NUMBERS * size_of::<f64>() + size_of::<Sums>())
    }
}

/// The numbers of a [`Sums`] in a state.
const NUMBERS: usize = 2 + 3 * BINS;

fn read(state: &RecordBatch, count: usize) -> Result<Vec<Sums>> {
    let numbers: &Float64Array = state_column(state, "sums", KIND)?;
    if numbers.len() != count * NUMBERS {
        return Err(Error::State {
            pass: KIND,
            why: format!("it has {} numbers for {count} temperatures", numbers.len()),
        });
    }
    let sums = numbers.values().chunks_exact(NUMBERS).map(|numbers| Sums {
        rows: numbers[0],
        loss: numbers[1],
        bins: numbers[2..]
            .chunks_exact(3)
            .map(|bin| [bin[0], bin[1], bin[2]])
            .collect(),
    });
    Ok(sums.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sums(rows: &[([f64; 2], usize)], inverse: f64) -> Sums {
        let mut sums = Sums::new();
        let mut room = Vec::new();
        for (probabilities, truth) in rows {
            sums.add(&probabilities.map(ln), *truth, inverse, &mut room);
        }
        sums
    }

    #[test]
    fn loss_and_error_are_those_of_the_tempered_probabilities() {
        let rows = [([0.9, 0.1], 0), ([0.8, 0.2], 1), ([0.3, 0.7], 1)];
        let plain = sums(&rows, 1.0);
        let loss = -(0.9_f64.ln() + 0.2_f64.ln() + 0.7_f64.ln());
        assert!((plain.loss - loss).abs() < 1e-12);
        // Each in a bin of its own: 0.1, 0.8 and 0.3 away from what came.
        assert!((plain.error() - (0.1 + 0.8 + 0.3) / 3.0).abs() < 1e-12);
        let half = sums(&rows, 0.5);
        let tempered = |p: f64| p.sqrt() / (p.sqrt() + (1.0 - p).sqrt());
        let loss = -[0.9, 0.2, 0.7].map(|p| tempered(p).ln()).iter().sum::<f64>();
        assert!((half.loss - loss).abs() < 1e-12, "{} {loss}", half.loss);
        assert!((sums(&rows, 1e-9).loss - 3.0 * 2_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn temperatures_are_spread_in_equal_ratios() {
        let all: Vec<f64> = spread(ENDS).collect();
        assert_eq!(all.len(), TRIED);
        assert!((all[0] - ENDS[0]).abs() < 1e-12 && (all[TRIED - 1] - ENDS[1]).abs() < 1e-9);
        let ratios = all.windows(2).map(|pair| pair[1] / pair[0]);
        assert!(ratios.clone().all(|ratio| (ratio - all[1] / all[0]).abs() < 1e-9));
    }
}
