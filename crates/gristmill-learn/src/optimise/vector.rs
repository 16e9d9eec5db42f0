//! Vector arithmetic over long slices, on every thread of the pool, with one fixed order of reduction.

use rayon::prelude::*;

use crate::optimise::gram::Products;
use crate::rows::real::Real;
use crate::rows::simd::vectorised;

/// Elements per chunk. Sums are taken within chunks and then over chunks in order, so that the number of threads
/// changes nothing.
const CHUNK: usize = 1 << 15;

/// Elements per chunk of a sweep over many vectors: what is written stays in the first cache.
const SWEEP: usize = 1 << 11;

/// Lanes of partial sums inside a chunk, for the vectoriser.
const LANES: usize = 8;

/// So many zeros, in memory that this process holds already where there is some. `vec![0; n]` asks for cleared memory, which
/// the allocator gets from the system page by page: for vectors that come and go, that takes longer than to fill them.
pub(crate) fn zeros<F: Real>(n: usize) -> Vec<F> {
    let mut zeros = Vec::with_capacity(n);
    zeros.resize(n, F::default());
    zeros
}

/// The inner product, accumulated in `f64`.
pub(crate) fn dot<F: Real>(a: &[F], b: &[F]) -> f64 {
    let partial = |(a, b): (&[F], &[F])| {
        vectorised(
            #[inline(always)]
            || dot_chunk(a, b),
        )
    };
    if a.len() <= CHUNK {
        return partial((a, b));
    }
    let sums: Vec<f64> = a
        .par_chunks(CHUNK)
        .zip(b.par_chunks(CHUNK))
        .map(partial)
        .collect();
    sums.iter().sum()
}

#[inline(always)]
fn dot_chunk<F: Real>(a: &[F], b: &[F]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let (a8, a_rest) = a.as_chunks::<LANES>();
    let (b8, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a8.iter().zip(b8) {
        for l in 0..LANES {
            lanes[l] = x[l].to_f64().mul_add(y[l].to_f64(), lanes[l]);
        }
    }
    let mut sum: f64 = lanes.iter().sum();
    for (x, y) in a_rest.iter().zip(b_rest) {
        sum = x.to_f64().mul_add(y.to_f64(), sum);
    }
    sum
}

/// `y += alpha * x`.
pub(crate) fn axpy<F: Real>(alpha: f64, x: &[F], y: &mut [F]) {
    let alpha = F::from_f64(alpha);
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || add_scaled(alpha, x, y),
            );
        });
}

/// `out = sum(weights * basis)`; returns the square of its norm.
pub(crate) fn combine<F: Real>(weights: &[f64], basis: &[&[F]], out: &mut [F]) -> f64 {
    let squares: Vec<f64> = out
        .par_chunks_mut(SWEEP)
        .enumerate()
        .map(|(chunk, out)| {
            let from = chunk * SWEEP;
            vectorised(
                #[inline(always)]
                || {
                    out.fill(F::default());
                    for (weight, vector) in weights.iter().zip(basis) {
                        add_scaled(F::from_f64(*weight), &vector[from..from + out.len()], out);
                    }
                    dot_chunk(out, out)
                },
            )
        })
        .collect();
    squares.iter().sum()
}

/// Turns a direction into the correction `s` (times `step`) and the old gradient into `y` (new minus old), and takes
/// their inner products with each other and with the `known` vectors, in one sweep over memory.
pub(crate) fn products<F: Real>(
    step: f64,
    s: &mut [F],
    y: &mut [F],
    gradient: &[F],
    known: &[&[F]],
) -> Products {
    let step = F::from_f64(step);
    let sums: Vec<Vec<f64>> = s
        .par_chunks_mut(SWEEP)
        .zip(y.par_chunks_mut(SWEEP))
        .zip(gradient.par_chunks(SWEEP))
        .enumerate()
        .map(|(chunk, ((s, y), g))| {
            let from = chunk * SWEEP;
            vectorised(
                #[inline(always)]
                || {
                    for ((s, y), g) in s.iter_mut().zip(y.iter_mut()).zip(g) {
                        *s = s.mul(step);
                        *y = g.sub(*y);
                    }
                    let mut sums = Vec::with_capacity(6 + known.len());
                    push_products(s, y, g, &mut sums);
                    for vector in known {
                        sums.push(dot_chunk(g, &vector[from..from + g.len()]));
                    }
                    sums
                },
            )
        })
        .collect();
    let total = |i: usize| sums.iter().map(|chunk| chunk[i]).sum::<f64>();
    let gradient_known = (6..6 + known.len()).map(total).collect();
    products_of(total, gradient_known)
}

/// The inner products of a correction and a gradient with each other, and of `s`, `y` and `gradient` with the `known`
/// vectors, in one sweep over memory: the latter of the gradient in [`Products`], those of `s` and `y` beside it.
pub(crate) fn products_with<F: Real>(
    s: &[F],
    y: &[F],
    gradient: &[F],
    known: &[&[F]],
) -> (Products, Vec<f64>, Vec<f64>) {
    let sums: Vec<Vec<f64>> = s
        .par_chunks(SWEEP)
        .zip(y.par_chunks(SWEEP))
        .zip(gradient.par_chunks(SWEEP))
        .enumerate()
        .map(|(chunk, ((s, y), g))| {
            let from = chunk * SWEEP;
            vectorised(
                #[inline(always)]
                || {
                    let mut sums = Vec::with_capacity(6 + 3 * known.len());
                    push_products(s, y, g, &mut sums);
                    for vector in known {
                        for one in [g, s, y] {
                            sums.push(dot_chunk(one, &vector[from..from + one.len()]));
                        }
                    }
                    sums
                },
            )
        })
        .collect();
    let total = |i: usize| sums.iter().map(|chunk| chunk[i]).sum::<f64>();
    let with_known = |one: usize| (0..known.len()).map(|i| total(6 + 3 * i + one)).collect();
    (products_of(total, with_known(0)), with_known(1), with_known(2))
}

/// Adds the inner products of three vectors' chunks with each other.
#[inline(always)]
fn push_products<F: Real>(s: &[F], y: &[F], g: &[F], sums: &mut Vec<f64>) {
    for (a, b) in [(s, s), (s, y), (s, g), (y, y), (y, g), (g, g)] {
        sums.push(dot_chunk(a, b));
    }
}

/// The products whose totals come in the order of [`push_products`].
fn products_of(total: impl Fn(usize) -> f64, gradient_known: Vec<f64>) -> Products {
    Products {
        ss: total(0),
        sy: total(1),
        sg: total(2),
        yy: total(3),
        yg: total(4),
        gg: total(5),
        gradient_known,
    }
}

#[inline(always)]
fn add_scaled<F: Real>(alpha: F, x: &[F], y: &mut [F]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.mul_add(alpha, *y);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_count_does_not_change_a_bit() {
        let a: Vec<f32> = (0..300_001_u64)
            .map(|i| ((i * 7919) % 1013) as f32 * 1e-3 - 0.5)
            .collect();
        let b: Vec<f32> = (0..300_001_u64)
            .map(|i| ((i * 104_729) % 997) as f32 * 1e-3 - 0.5)
            .collect();
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap()
            .install(|| dot(&a, &b));
        let seven = rayon::ThreadPoolBuilder::new()
            .num_threads(7)
            .build()
            .unwrap()
            .install(|| dot(&a, &b));
        assert_eq!(one.to_bits(), seven.to_bits());
        let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        assert!((one - plain).abs() < 1e-6, "{one} {plain}");
    }
}
