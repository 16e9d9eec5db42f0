//! The inner loop of both passes: rows of a matrix, scaled, are added up in registers.

use crate::rows::real::Real;

/// Elements of a group. Written as arrays of this length, the loops are vectorised whatever the iterator of the entries.
const GROUP: usize = 16;

/// `sums += Σ value * matrix[row]` over the entries `(row, value)`, in their order; a row has `stride` elements.
#[inline(always)]
pub(crate) fn add_rows<F: Real>(
    entries: impl Iterator<Item = (usize, f32)> + Clone,
    matrix: &[F],
    stride: usize,
    sums: &mut [F],
) {
    let mut at = 0;
    while at < stride {
        // As many elements at once as registers hold: the entries are read again for each tile.
        at += match stride - at {
            96.. => tile::<F, 6, GROUP>(entries.clone(), matrix, stride, at, sums),
            80.. => tile::<F, 5, GROUP>(entries.clone(), matrix, stride, at, sums),
            64.. => tile::<F, 4, GROUP>(entries.clone(), matrix, stride, at, sums),
            48.. => tile::<F, 3, GROUP>(entries.clone(), matrix, stride, at, sums),
            32.. => tile::<F, 2, GROUP>(entries.clone(), matrix, stride, at, sums),
            16.. => tile::<F, 1, GROUP>(entries.clone(), matrix, stride, at, sums),
            8.. => tile::<F, 1, 8>(entries.clone(), matrix, stride, at, sums),
            _ => tile::<F, 1, 1>(entries.clone(), matrix, stride, at, sums),
        };
    }
}

/// `sums += Σ matrix[row]` over all rows, in their order.
#[inline(always)]
pub(crate) fn add_all_rows<F: Real>(matrix: &[F], stride: usize, sums: &mut [F]) {
    let rows = (0..matrix.len() / stride).map(
        #[inline(always)]
        |row| (row, 1.0),
    );
    add_rows(rows, matrix, stride, sums);
}

/// Does `N` groups of `W` elements of every row from `at`; returns how many elements that are.
#[inline(always)]
fn tile<F: Real, const N: usize, const W: usize>(
    entries: impl Iterator<Item = (usize, f32)>,
    matrix: &[F],
    stride: usize,
    at: usize,
    sums: &mut [F],
) -> usize {
    let mut tile = [[F::default(); W]; N];
    tile.as_flattened_mut().copy_from_slice(&sums[at..at + N * W]);
    for (row, value) in entries {
        let from = row * stride + at;
        let value = F::from_f32(value);
        let (elements, _) = matrix[from..from + N * W].as_chunks::<W>();
        for (sum, element) in tile.iter_mut().zip(elements) {
            for lane in 0..W {
                sum[lane] = element[lane].mul_add(value, sum[lane]);
            }
        }
    }
    sums[at..at + N * W].copy_from_slice(tile.as_flattened());
    N * W
}
