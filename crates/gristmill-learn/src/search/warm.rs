//! Warm start: an earlier model's coefficients, in the places that its features and classes have now.

use std::collections::HashMap;

use crate::contract::encoder::Encoder;
use crate::contract::model::Model;
use crate::contract::trainer::WarmStart;
use crate::features::Assembler;
use crate::model::{Coefficients, LinearModel};
use crate::rows::Shape;
use crate::rows::real::Real;

impl WarmStart {
    /// Aligns the model of the features that `earlier` writes with those that `now` writes: a category, a bucket or a column
    /// by its value and not by its number, a class by its name. Buckets have a meaning only under the settings of their hash,
    /// so those of n-grams that are cut or hashed in another way are not the same features.
    pub fn align(model: &LinearModel, earlier: &Assembler, now: &Assembler) -> Self {
        let coefficients = match model.coefficients() {
            Coefficients::F32(c) => c,
            Coefficients::F64(c) => c.into_iter().map(|c| c as f32).collect(),
        };
        let sets = model.sets();
        let places: HashMap<&str, usize> = (earlier.classes().iter().enumerate())
            .map(|(place, class)| (class.as_str(), place))
            .collect();
        let classes: Vec<Option<usize>> = (now.classes().iter())
            .map(|class| places.get(class.as_str()).copied())
            .collect();
        let of_feature = |place: usize, class: usize| {
            let row = &coefficients[place * sets..(place + 1) * sets];
            match (sets, class) {
                // Half of the binomial's margin for one class, half against the other.
                (1, 0) => -0.5 * row[0],
                (1, _) => 0.5 * row[0],
                _ => row[class],
            }
        };
        let mut start = Vec::with_capacity((now.width() as usize + 1) * classes.len());
        let features: Vec<Option<usize>> = features(earlier, now);
        for place in features.iter().copied().chain([Some(model.features())]) {
            start.extend(classes.iter().map(|class| match (place, class) {
                (Some(place), Some(class)) => of_feature(place, *class),
                _ => 0.0,
            }));
        }
        Self {
            coefficients: start,
            features: features.iter().flatten().count(),
            classes: classes.iter().flatten().count(),
        }
    }
}

/// Writes the coefficients of a warm start as the kernels lay them out, each feature's (and at last the intercepts') times a
/// factor of its own.
pub(crate) fn lay_out<F: Real>(
    warm: &[f32],
    shape: Shape,
    factors: impl Iterator<Item = f64>,
    out: &mut [F],
) {
    let rows = out
        .chunks_exact_mut(shape.stride())
        .zip(warm.chunks_exact(shape.sets.max(2)));
    for ((to, from), factor) in rows.zip(factors) {
        for (set, to) in to[..shape.sets].iter_mut().enumerate() {
            let weight = match shape.sets {
                1 => from[1] - from[0],
                _ => from[set],
            };
            *to = F::from_f64(f64::from(weight) * factor);
        }
    }
}

/// For each feature now, its place in the earlier model.
fn features(earlier: &Assembler, now: &Assembler) -> Vec<Option<usize>> {
    let mut starts = Vec::new();
    let mut width = 0;
    for encoder in earlier.encoders() {
        starts.push((encoder, encoder.meaning(), width));
        width += encoder.width() as usize;
    }
    let mut features = Vec::with_capacity(now.width() as usize);
    for encoder in now.encoders() {
        let meaning = encoder.meaning();
        let same = starts
            .iter()
            .find(|(other, of_other, _)| other.kind() == encoder.kind() && *of_other == meaning);
        let places: HashMap<String, usize> = same.map_or_else(HashMap::new, |(other, _, start)| {
            names(other.as_ref()).zip(*start..).collect()
        });
        features.extend(names(encoder.as_ref()).map(|name| places.get(&name).copied()));
    }
    features
}

fn names(encoder: &dyn Encoder) -> impl Iterator<Item = String> {
    (0..encoder.width()).map(|index| encoder.name(index))
}
