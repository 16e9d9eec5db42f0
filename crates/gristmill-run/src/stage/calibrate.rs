//! Calibrate: the temperature by which a classifier's probabilities are those of the validation rows.

use std::sync::Arc;
use std::time::Instant;

use gristmill_data::table::TableVersion;
use gristmill_learn::evaluate::{Calibrating, Calibration, Calibrator};
use gristmill_learn::search::Trained;

use super::{Teller, Work};
use crate::error::Result;
use crate::event::{Event, Warning};

/// Gives the model its temperature, or tells why it has none; returns what that does, with the seconds that took.
pub(crate) fn run(
    work: &Work<'_>,
    features: &TableVersion,
    trained: &mut Trained,
) -> Result<(Option<Calibration>, f64)> {
    let started = Instant::now();
    let mut calibrator = Calibrator::new(Arc::clone(&trained.model));
    let calibration = loop {
        let going_on = |_| Teller::asked(work.observe);
        let state = work.engine.fold(features, &calibrator.pass(), &going_on)?;
        if let Calibrating::Done(calibration) = calibrator.next(&state)? {
            break calibration;
        }
    };
    match &calibration {
        Ok(calibration) => trained.model = calibrator.calibrated(calibration)?,
        Err(why) => work
            .observe
            .event(Event::Warning(Warning::Uncalibrated { why: *why })),
    }
    Ok((calibration.ok(), started.elapsed().as_secs_f64()))
}
