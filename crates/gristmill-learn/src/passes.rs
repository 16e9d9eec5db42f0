//! Every pass by the kind of its spec: what a worker in another process rebuilds a pass from.

use crate::contract::pass::Pass;
use crate::contract::registry::Registry;
use crate::contract::spec::StepSpec;
use crate::encode::buckets;
use crate::encode::target::counts as counts_of_labels;
use crate::error::Result;
use crate::evaluate::{calibration, regression, repeated, score, unseen};
use crate::features::fit;
use crate::rows::summary;
use crate::statistics::{content, extremes, many, moments, profile, quantiles, vocabulary};
use crate::train::adagrad::epoch;
use crate::train::factorised;
use crate::train::least_squares::products;
use crate::train::logistic::{gather, scan};
use crate::train::naive_bayes::counts;

type Rebuild = fn(&StepSpec, &Registry) -> Result<Box<dyn Pass>>;

/// Rebuilds a pass of one type.
macro_rules! rebuilt {
    ($from_spec:expr) => {
        |spec, _| Ok(Box::new($from_spec(spec)?))
    };
}

/// Each kind with what rebuilds its passes.
const PASSES: &[(&str, Rebuild)] = &[
    (moments::KIND, rebuilt!(moments::Moments::from_spec)),
    (profile::KIND, rebuilt!(profile::Profile::from_spec)),
    (content::KIND, rebuilt!(content::Content::from_spec)),
    (extremes::KIND, rebuilt!(extremes::Extremes::from_spec)),
    (quantiles::KIND, rebuilt!(quantiles::Quantiles::from_spec)),
    (vocabulary::KIND, rebuilt!(vocabulary::Vocabulary::from_spec)),
    (buckets::KIND, rebuilt!(buckets::Buckets::from_spec)),
    (
        counts_of_labels::KIND,
        rebuilt!(counts_of_labels::TargetPass::from_spec),
    ),
    (many::KIND, |spec, kinds| {
        let rebuild = |spec: &StepSpec| pass_from_spec(spec, kinds);
        Ok(Box::new(many::Many::from_spec(spec, rebuild)?))
    }),
    (fit::KIND, |spec, kinds| {
        let rebuild = |spec: &StepSpec| pass_from_spec(spec, kinds);
        Ok(Box::new(fit::FitPass::from_spec(spec, rebuild)?))
    }),
    (
        summary::KIND,
        rebuilt!(StepSpec::settings::<summary::SummaryPass>),
    ),
    (gather::KIND, |_, _| Ok(Box::new(gather::GatherPass))),
    (epoch::KIND, rebuilt!(epoch::EpochPass::from_spec)),
    (
        factorised::pass::KIND,
        rebuilt!(factorised::pass::EpochPass::from_spec),
    ),
    (counts::KIND, rebuilt!(StepSpec::settings::<counts::CountsPass>)),
    (
        products::KIND,
        rebuilt!(StepSpec::settings::<products::ProductsPass>),
    ),
    (score::KIND, |spec, kinds| {
        Ok(Box::new(score::ScorePass::from_spec(spec, kinds)?))
    }),
    (calibration::KIND, |spec, kinds| {
        Ok(Box::new(calibration::CalibrationPass::from_spec(spec, kinds)?))
    }),
    (regression::KIND, |spec, kinds| {
        Ok(Box::new(regression::RegressionPass::from_spec(spec, kinds)?))
    }),
    (unseen::KIND, rebuilt!(StepSpec::settings::<unseen::UnseenPass>)),
    (repeated::HELD_OUT, rebuilt!(repeated::HeldOutPass::from_spec)),
    (repeated::REPEATED, rebuilt!(repeated::RepeatedPass::from_spec)),
    (
        scan::ScanPass::<f32>::KIND,
        rebuilt!(scan::ScanPass::<f32>::from_spec),
    ),
    (
        scan::ScanPass::<f64>::KIND,
        rebuilt!(scan::ScanPass::<f64>::from_spec),
    ),
];

/// The kinds of all passes of this crate.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    PASSES.iter().map(|(kind, _)| *kind)
}

/// The pass that [`Pass::spec`] described, of this crate or of one of these kinds: folded over the same rows it gives the same
/// state, to the last bit.
///
/// # Errors
/// When there is no such kind, or its spec does not hold what a pass of it needs.
pub fn pass_from_spec(spec: &StepSpec, kinds: &Registry) -> Result<Box<dyn Pass>> {
    let known = PASSES.iter().find(|(kind, _)| *kind == spec.kind);
    if let Some((_, rebuild)) = known {
        return rebuild(spec, kinds);
    }
    let mut of_encoders = kinds.encoders().iter().map(|kind| kind.pass(spec));
    let mut of_models = kinds.models().iter().map(|kind| kind.pass(spec));
    let its_own = of_encoders
        .find_map(|pass| pass)
        .or_else(|| of_models.find_map(|pass| pass));
    its_own.unwrap_or_else(|| Err(spec.bad("there is no pass of this kind")))
}
