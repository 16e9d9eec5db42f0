//! Vector arithmetic over long slices, on every thread of the pool, with one fixed order of reduction.

use rayon::prelude::*;

use super::real::Real;
use super::simd::vectorised;

/// Elements per chunk. Sums are taken within chunks and then over chunks in order, so that the number of threads
/// changes nothing.
const CHUNK: usize = 1 << 15;

/// Lanes of partial sums inside a chunk, for the vectoriser.
const LANES: usize = 8;

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

/// The Euclidean norm.
pub(crate) fn norm<F: Real>(a: &[F]) -> f64 {
    dot(a, a).sqrt()
}

/// `y += alpha * x`.
pub(crate) fn axpy<F: Real>(alpha: f64, x: &[F], y: &mut [F]) {
    let alpha = F::from_f64(alpha);
    for_chunks(
        y,
        x,
        #[inline(always)]
        |y, x| {
            for (y, x) in y.iter_mut().zip(x) {
                *y = x.mul_add(alpha, *y);
            }
        },
    );
}

/// `y = alpha * y`.
pub(crate) fn scale<F: Real>(alpha: f64, y: &mut [F]) {
    let alpha = F::from_f64(alpha);
    y.par_chunks_mut(CHUNK).for_each(|y| {
        vectorised(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = y.mul(alpha)),
        );
    });
}

/// Runs `work` on matching chunks of `y` and `x`, on the pool.
pub(crate) fn for_chunks<F: Real>(y: &mut [F], x: &[F], work: impl Fn(&mut [F], &[F]) + Sync + Copy) {
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || work(y, x),
            );
        });
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
