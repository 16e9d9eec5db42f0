//! The dimensions of a training, and what follows from them: precision, solver, memory.

use crate::rows::Shape;
use crate::settings::{Family, LogisticSettings, Solver};

/// Models of at most this many coefficients are trained in double precision, larger ones in single. A rule of size
/// and not of memory, so that the same pipeline gives the same model under any budget.
pub const F64_ELEMENTS: usize = 1 << 18;

/// From so many margins a scan on, `solver = "auto"` is AdaGrad.
pub const MANY_MARGINS: u64 = 1 << 30;

/// The dimensions of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSize {
    /// Sparse columns.
    pub features: usize,
    /// Classes, at least 2.
    pub classes: usize,
    /// Entries of a row, on average and rounded up.
    pub entries: usize,
}

impl TrainingSize {
    pub(crate) fn shape(self, family: Family) -> Shape {
        let binomial = match family {
            Family::Auto => self.classes == 2,
            Family::Binomial => true,
            Family::Multinomial => false,
        };
        Shape {
            features: self.features,
            sets: if binomial { 1 } else { self.classes },
        }
    }

    /// The solver that `auto` stands for with so many rows, and why; any other as it is.
    ///
    /// A rule of data and settings alone: from 2^30 margins a scan on (rows times classes; 1 for the binomial family),
    /// which take some ten seconds on two cores, AdaGrad has a good model before L-BFGS has taken its first steps.
    pub fn solver(self, settings: &LogisticSettings, rows: u64) -> (Solver, Option<String>) {
        let sets = self.shape(settings.family).sets as u64;
        if settings.solver != Solver::Auto {
            return (settings.solver, None);
        }
        let margins = rows.saturating_mul(sets);
        let l1 = settings.elastic_net_param.iter().any(|share| *share > 0.0);
        if margins < MANY_MARGINS || l1 {
            return (Solver::Lbfgs, None);
        }
        let why = format!(
            "solver = \"adagrad\": {rows} rows times {sets} sets of coefficients are {margins} margins a scan, \
             and from {MANY_MARGINS} on mini-batches are faster"
        );
        (Solver::Adagrad, Some(why))
    }
}
