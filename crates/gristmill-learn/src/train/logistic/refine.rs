//! Colour refinement: which rows, and which columns, training cannot tell apart.
//!
//! Rows get one colour where their labels, weights and the values and colours of their columns are the same; columns where the
//! values and the colours of their rows are; and so on until nothing more is told apart. At that partition (the
//! coarsest equitable one) all columns of a colour have the same gradient whenever they have the same coefficients, so
//! an optimiser that starts with equal ones keeps them equal for ever, and one column can stand for them all.
//! See Grohe, Kersting, Mladenov, Selman, "Dimension Reduction via Colour Refinement" (2014). Names that occur once are
//! most of a one-hot column, and those of one class are of one colour.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::rows::features::Rows;

/// Rounds after which a partition that is still getting finer is given up.
const MAX_ROUNDS: u32 = 64;

/// A colour. Two that are told apart get the same one with probability 2^-128 for each pair.
pub(crate) type Colour = u128;

/// Bytes that refining holds for each column: its colour now, the next, and a copy to sort.
pub(crate) const BYTES_PER_COLUMN: u64 = 3 * size_of::<Colour>() as u64;

/// The stable colours.
pub(crate) struct Colours {
    /// Of every chosen row.
    pub(crate) rows: Vec<Colour>,
    /// Of every column.
    pub(crate) columns: Vec<Colour>,
}

/// Refines the colours of the `chosen` rows and of the columns that are `varying`; the others take no part. `None` when
/// more than `most` colours of columns are needed, or too many rounds.
pub(crate) fn refine(rows: Rows<'_>, chosen: &[u32], varying: &[bool], most: usize) -> Option<Colours> {
    let mut columns: Vec<Colour> = vec![0; varying.len()];
    let mut known = 1;
    for _ in 0..MAX_ROUNDS {
        let row_colours: Vec<Colour> = chosen
            .par_iter()
            .map(|r| row_colour(rows, *r as usize, varying, &columns))
            .collect();
        let mut next: Vec<Colour> = vec![0; columns.len()];
        for (r, row_colour) in chosen.iter().zip(&row_colours) {
            let (indices, values) = rows.row(*r as usize);
            for (index, value) in indices.iter().zip(values) {
                let sum = &mut next[*index as usize];
                *sum = sum.wrapping_add(mix(u64::from(value.to_bits()), *row_colour));
            }
        }
        // The old colour goes in too, so that colours only split.
        next.iter_mut()
            .zip(&columns)
            .for_each(|(new, old)| *new = mix(1 << 32, new.wrapping_add(mix(1 << 33, *old))));
        let found = distinct(&next, varying);
        if found > most {
            return None;
        }
        if found == known {
            return Some(Colours {
                rows: row_colours,
                columns,
            });
        }
        (columns, known) = (next, found);
    }
    None
}

fn row_colour(rows: Rows<'_>, r: usize, varying: &[bool], columns: &[Colour]) -> Colour {
    let (indices, values) = rows.row(r);
    let entries = indices.iter().zip(values).filter(|(i, _)| varying[**i as usize]);
    let sum = entries.fold(0, |sum: Colour, (index, value)| {
        sum.wrapping_add(mix(u64::from(value.to_bits()), columns[*index as usize]))
    });
    mix(rows.weight(r).to_bits(), mix(rows.labels[r] as u64, sum))
}

fn mix(of: u64, colour: Colour) -> Colour {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&of.to_le_bytes());
    bytes[8..].copy_from_slice(&colour.to_le_bytes());
    xxh3_128(&bytes)
}

fn distinct(colours: &[Colour], varying: &[bool]) -> usize {
    let mut seen: Vec<Colour> = colours
        .iter()
        .zip(varying)
        .filter(|(_, varies)| **varies)
        .map(|(colour, _)| *colour)
        .collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}
