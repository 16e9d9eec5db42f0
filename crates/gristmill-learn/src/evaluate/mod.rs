//! Scores of models, as passes over the features table.

pub mod calibration;
pub(crate) mod predictions;
pub mod regression;
pub mod repeated;
pub mod score;
pub mod unseen;

pub use calibration::{Calibrating, Calibration, CalibrationPass, Calibrator, Uncalibrated};
pub use regression::RegressionPass;
pub use repeated::{HeldOutPass, Repeated, RepeatedPass};
pub use score::ScorePass;
pub use unseen::UnseenPass;
