//! The Cholesky factorisation of a symmetric positive definite matrix, and the solution of its equations.
//!
//! Right-looking by panels of columns. Each element is computed by one thread, in one order, so that the number of
//! threads changes no bit.

use rayon::prelude::*;

/// Columns of a panel.
const PANEL: usize = 64;
/// A pivot below this share of its diagonal element is what rounding leaves of 0.
const SINGULAR: f64 = 1e-12;

/// Solves `matrix x = right` for a matrix of which the lower triangle is read (n × n, row by row), and overwritten.
/// `None` when it is not positive definite, or singular as far as rounding can tell.
pub(crate) fn solve(mut matrix: Vec<f64>, right: &[f64]) -> Option<Vec<f64>> {
    let n = right.len();
    let diagonal: Vec<f64> = (0..n).map(|i| matrix[i * n + i]).collect();
    let mut panel = Vec::new();
    for from in (0..n).step_by(PANEL) {
        let to = (from + PANEL).min(n);
        let (above, below) = matrix.split_at_mut(to * n);
        factor(&mut above[from * n..], from, n, &diagonal)?;
        let done = &above[from * n..];
        below
            .par_chunks_exact_mut(n)
            .for_each(|row| substitute(done, from, to, n, row));
        // The panel by itself: rows are read by those that others write.
        panel.clear();
        below
            .chunks_exact(n)
            .for_each(|row| panel.extend_from_slice(&row[from..to]));
        let width = to - from;
        below.par_chunks_exact_mut(n).enumerate().for_each(|(i, row)| {
            let mine = &panel[i * width..(i + 1) * width];
            let others = panel.chunks_exact(width).take(i + 1);
            for (element, other) in row[to..].iter_mut().zip(others) {
                *element -= dot(mine, other);
            }
        });
    }
    Some(back_substitute(&matrix, right))
}

/// Factors the rows and columns `from..` of a panel's block on the diagonal.
fn factor(block: &mut [f64], from: usize, n: usize, diagonal: &[f64]) -> Option<()> {
    for i in 0..block.len() / n {
        let (before, row) = block.split_at_mut(i * n);
        let at = from + i;
        substitute(before, from, at, n, row);
        let pivot = row[at] - dot(&row[from..at], &row[from..at]);
        // Also refuses NaN.
        if pivot.is_nan() || pivot <= SINGULAR * diagonal[at] {
            return None;
        }
        row[at] = pivot.sqrt();
    }
    Some(())
}

/// Turns elements `from..to` of a row into those of the factor, given the factor's rows `from..to`.
fn substitute(done: &[f64], from: usize, to: usize, n: usize, row: &mut [f64]) {
    for (j, other) in (from..to).zip(done.chunks_exact(n)) {
        row[j] = (row[j] - dot(&row[from..j], &other[from..j])) / other[j];
    }
}

fn back_substitute(factor: &[f64], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let mut x = right.to_vec();
    for i in 0..n {
        let row = &factor[i * n..];
        x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
    }
    for i in (0..n).rev() {
        x[i] /= factor[i * n + i];
        let (before, rest) = x.split_at_mut(i);
        for (b, f) in before.iter_mut().zip(&factor[i * n..]) {
            *b -= f * rest[0];
        }
    }
    x
}

/// The sum of the products, in lanes that a vector unit can hold.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The products of all pairs of the rows of a made-up matrix, and 1 on the diagonal.
    fn definite(n: usize) -> Vec<f64> {
        let row = |i: usize| (0..n).map(move |k| ((i * 7 + k * 13) % 11) as f64 / 11.0 - 0.4);
        (0..n * n)
            .map(|at| {
                let (i, j) = (at / n, at % n);
                let product: f64 = row(i).zip(row(j)).map(|(a, b)| a * b).sum();
                product + f64::from(u8::from(i == j))
            })
            .collect()
    }

    #[test]
    fn the_solution_solves_the_equations() {
        for n in [0, 1, 5, PANEL, PANEL + 1, 3 * PANEL + 7] {
            let matrix = definite(n);
            let right: Vec<f64> = (0..n).map(|i| (i % 5) as f64 - 1.5).collect();
            let x = solve(matrix.clone(), &right).unwrap();
            for (row, right) in matrix.chunks_exact(n.max(1)).zip(&right) {
                assert!((dot(row, &x) - right).abs() < 1e-9, "{n}");
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(pool.install(|| solve(matrix, &right)), Some(x));
        }
    }

    #[test]
    fn a_singular_matrix_has_no_solution() {
        let n = PANEL + 9;
        let mut matrix = definite(n);
        for k in 0..n {
            matrix[(n - 1) * n + k] = matrix[2 * n + k];
        }
        for k in 0..n {
            matrix[k * n + n - 1] = matrix[k * n + 2];
        }
        assert_eq!(solve(matrix, &vec![1.0; n]), None);
        assert_eq!(solve(vec![-1.0], &[1.0]), None);
        assert_eq!(solve(vec![f64::NAN], &[1.0]), None);
    }
}
