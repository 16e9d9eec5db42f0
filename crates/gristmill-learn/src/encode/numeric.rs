//! Numbers: missing ones imputed, then transformed, then scaled, as Spark ML's `Imputer` and scalers do.

use arrow::array::{Float64Array, RecordBatch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contract::encoder::{Encoder, EncoderKind, Estimator, Feature, FittedTo, Input, Negative};
use crate::contract::pass::Pass;
use crate::contract::reads::Reads;
use crate::contract::spec::read_settings;
use crate::contract::step::{SparseBlock, StepSpec};
use crate::error::{Error, Result};
use crate::settings::{Key, Preset, Values};
use crate::statistics::column::numbers;
use crate::statistics::{
    Derived, Extremes, ExtremesState, Many, Moments, MomentsState, Quantiles, Sorted, Transform,
};

const KIND: &str = "numeric";

/// The relative rounding of a value of the features, which is a single-precision number.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;
/// Values that are not scaled may be rounded by so much of their standard deviation. Scaled ones are by 2^-24.
const COARSEST: f64 = 1.0 / 4096.0;
/// And one in so many of the different ones may become one with another: of 65,536 that lie anywhere between 1 and 2 one in 130
/// does.
const MERGED_PART: u64 = 16;

/// `encode = "numeric"`.
pub(super) struct Numeric;

impl EncoderKind for Numeric {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "A number is imputed, then transformed, then scaled: Spark ML's `Imputer` and `StandardScaler` with centring, or one of\n\
         scikit-learn's scalers. Reads integers, floats, decimals, booleans (false is 0, true 1), dates (days) and timestamps (seconds\n\
         since 1970). Numbers beyond those of the training rows are scaled as all others, beyond the range of `\"min_max\"` too. A column\n\
         may have several numeric features, each with another `transform`."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "impute",
                values: Values::WordOrNumber(&["mean", "median"]),
                default: Preset::Word("mean"),
                doc: "What stands for null and NaN: a statistic of the training rows, or this number.",
            },
            Key {
                name: "missing_indicator",
                values: Values::Boolean,
                default: Preset::Boolean(false),
                doc: "One more column is 1 where the number is null or NaN, and else 0.",
            },
            Key {
                name: "transform",
                values: Values::Words(&["log1p", "sqrt", "none"]),
                default: Preset::Word("none"),
                doc: "`ln(1 + x)` or the square root; of numbers below 0 minus that of `-x`, so that order and sign stay.",
            },
            Key {
                name: "scale",
                values: Values::Words(&["standard", "min_max", "max_abs", "robust", "none"]),
                default: Preset::Word("standard"),
                doc: "`\"standard\"`: minus the mean, over the standard deviation. `\"min_max\"`: minus the minimum, over the range. \
                      `\"max_abs\"`: over the largest absolute value. `\"robust\"`: minus the median, over the distance of the quartiles \
                      (1 where that is 0), interpolated linearly; of more than 65,536 different values they are within 0.013 %. A constant column \
                      is 0. `\"none\"`: as it is.",
            },
        ]
    }

    fn feature(&self, mut settings: Value) -> Result<Feature> {
        if let Some(impute) = settings.get_mut("impute").filter(|impute| impute.is_number()) {
            *impute = json!({"constant": impute});
        }
        read_settings::<NumericSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(NumericEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "numeric"`: Spark ML's `Imputer`, then a function, then a scaler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumericSettings {
    /// The column: any integer, float, decimal, boolean, date or timestamp.
    pub column: String,
    /// What stands for null and NaN. Default `mean`.
    pub impute: Impute,
    /// Whether one more column tells where it is missing. Default false.
    #[serde(default)]
    pub missing_indicator: bool,
    /// What is done to the number before it is scaled. Default none.
    #[serde(default)]
    pub transform: Transform,
    /// Default `standard`.
    pub scale: Scaling,
}

/// How a number is brought to a common size. What is constant in training becomes 0, unless it is not scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Minus the mean, over the (unbiased) standard deviation.
    Standard,
    /// Minus the minimum, over the range.
    MinMax,
    /// Over the largest absolute value.
    MaxAbs,
    /// Minus the median, over the distance of the quartiles, or 1 where that is 0.
    Robust,
    /// As it is.
    None,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impute {
    /// The mean of the training rows.
    Mean,
    /// Their median (the lower one of two).
    Median,
    /// This number.
    Constant(f64),
}

/// A number becomes one column, `(transform(x) - mean) / std`; null and NaN are `fill` first.
#[derive(Debug, Clone)]
pub struct NumericEncoder {
    described: Described,
    fill: f64,
    mean: f64,
    /// 0 makes every value 0.
    std: f64,
}

/// The settings of a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Described {
    column: String,
    #[serde(default, skip_serializing_if = "Transform::is_none")]
    transform: Transform,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    missing_indicator: bool,
}

impl Estimator for NumericSettings {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn columns(&self) -> &[String] {
        std::slice::from_ref(&self.column)
    }

    fn settings(&self) -> Value {
        json!(self)
    }

    fn reads(&self) -> Reads {
        Reads::Number
    }

    fn negative(&self) -> Option<Negative> {
        let (setting, effect) = match self.scale {
            Scaling::Standard => ("scale = \"standard\"", "scaled to mean 0"),
            Scaling::Robust => ("scale = \"robust\"", "scaled to median 0"),
            Scaling::MinMax | Scaling::MaxAbs | Scaling::None => return None,
        };
        Some(Negative {
            setting,
            effect,
            instead: "scale = \"none\"",
        })
    }

    fn variant(&self) -> String {
        self.transform.named("")
    }

    fn pass(&self) -> Box<dyn Pass> {
        let mut passes: Vec<Box<dyn Pass>> = vec![Box::new(Moments::new(&self.column))];
        if self.needs_quantiles() {
            passes.push(Box::new(Quantiles::new(&self.column)));
        }
        if !self.transform.is_none() {
            let derived = Derived::Number(self.transform);
            passes.push(Box::new(Moments::derived(&self.column, derived, KIND)));
        }
        if self.needs_extremes() {
            passes.push(Box::new(Extremes::new(&self.column)));
        }
        Box::new(Many::new(passes))
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let mut states = Many::states(state)?.into_iter();
        let mut next = || states.next().ok_or_else(missing_state);
        let moments = MomentsState::from_state(&next()?)?;
        let quantiles = self.needs_quantiles().then(&mut next).transpose()?;
        let transformed = match self.transform {
            Transform::None => moments,
            Transform::Log1p | Transform::Sqrt => MomentsState::from_state(&next()?)?,
        };
        let extremes = self.needs_extremes().then(&mut next).transpose()?;
        let fill = match (self.impute, &quantiles) {
            (Impute::Constant(constant), _) => Some(constant),
            (Impute::Mean, _) => (moments.count > 0).then_some(moments.mean),
            (Impute::Median, Some(quantiles)) => Quantiles::median(quantiles)?,
            (Impute::Median, None) => return Err(missing_state()),
        };
        let (fill, mean, std) = match fill.filter(|_| moments.rows > 0) {
            Some(fill) => {
                let all = transformed.imputed(self.transform.of(fill));
                let (mean, std) = match (self.scale, &quantiles, &extremes) {
                    (Scaling::None, ..) => (0.0, 1.0),
                    (Scaling::Standard, ..) => (all.mean, all.std()),
                    (Scaling::Robust, Some(quantiles), _) => {
                        let sorted = Sorted::imputed(quantiles, fill, moments.rows - moments.count)?;
                        let quantile = |share| sorted.quantile(share, |x| self.transform.of(x));
                        let distance = quantile(0.75) - quantile(0.25);
                        let constant = sorted.quantile(0.0, |x| x) == sorted.quantile(1.0, |x| x);
                        (
                            quantile(0.5),
                            if distance > 0.0 || constant { distance } else { 1.0 },
                        )
                    }
                    (Scaling::MinMax | Scaling::MaxAbs, _, Some(extremes)) => {
                        let (least, most) = ExtremesState::from_state(extremes)?.imputed(fill);
                        let (least, most) = (self.transform.of(least), self.transform.of(most));
                        match self.scale {
                            Scaling::MinMax => (least, most - least),
                            _ => (0.0, least.abs().max(most.abs())),
                        }
                    }
                    _ => return Err(missing_state()),
                };
                (fill, mean, std)
            }
            // A column that is null tonight should not end the run of every night.
            None => (0.0, 0.0, 0.0),
        };
        self.check_precision(&transformed)?;
        // Numbers of two sizes deviate much from their mean, and may be equal nevertheless.
        if let Some(quantiles) = quantiles.filter(|_| self.counts_merged())
            && let Some((distinct, merged)) = Quantiles::merged(&quantiles)?
            && merged * MERGED_PART > distinct
        {
            return Err(Error::Merged {
                column: self.column.clone(),
                distinct,
                merged,
            });
        }
        Ok(Box::new(NumericEncoder {
            described: Described {
                column: self.column.clone(),
                transform: self.transform,
                missing_indicator: self.missing_indicator,
            },
            fill,
            mean,
            std,
        }))
    }
}

impl NumericSettings {
    fn needs_quantiles(&self) -> bool {
        self.impute == Impute::Median || self.scale == Scaling::Robust || self.counts_merged()
    }

    /// Whether it is counted which values become one with another: those that stay as they are.
    fn counts_merged(&self) -> bool {
        self.scale == Scaling::None && self.transform.is_none()
    }

    fn needs_extremes(&self) -> bool {
        matches!(self.scale, Scaling::MinMax | Scaling::MaxAbs)
    }

    /// Refuses numbers that would hardly differ in single precision, where nothing is taken off them.
    fn check_precision(&self, moments: &MomentsState) -> Result<()> {
        if !matches!(self.scale, Scaling::None | Scaling::MaxAbs) {
            return Ok(());
        }
        let (mean, deviation) = (moments.mean, moments.std());
        // The deviation of equal values is what rounding leaves of it.
        let differ = deviation > mean.abs() * 1e-15;
        if differ && mean.abs() * ROUNDING > deviation * COARSEST {
            return Err(Error::Precision {
                column: self.column.clone(),
                mean,
                deviation,
            });
        }
        Ok(())
    }
}

fn missing_state() -> Error {
    Error::State {
        pass: KIND,
        why: "it holds too few states".to_owned(),
    }
}

impl NumericEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        let described = spec.settings()?;
        match &spec.array::<Float64Array>("fill_mean_std")?.values()[..] {
            &[fill, mean, std] if fill.is_finite() && mean.is_finite() && std.is_finite() => Ok(Self {
                described,
                fill,
                mean,
                std,
            }),
            _ => Err(spec.bad("`fill_mean_std` does not hold three finite numbers")),
        }
    }
}

impl Encoder for NumericEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        StepSpec::new(KIND, json!(self.described)).with(
            "fill_mean_std",
            Float64Array::from(vec![self.fill, self.mean, self.std]),
        )
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.described.column,
            reads: Reads::Number,
        }]
    }

    fn width(&self) -> u32 {
        1 + u32::from(self.described.missing_indicator)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.described.column.capacity()
    }

    fn name(&self, index: u32) -> String {
        let number = self.described.transform.named(&self.described.column);
        match index {
            0 => number,
            _ => format!("{number} (missing)"),
        }
    }

    fn meaning(&self) -> Value {
        let Described {
            column, transform, ..
        } = &self.described;
        json!({"column": column, "transform": transform})
    }

    fn uninformative(&self) -> Option<&'static str> {
        (self.std == 0.0 && !self.described.missing_indicator)
            .then_some("all training rows have the same number in it, or none at all")
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let Described {
            column,
            transform,
            missing_indicator,
        } = &self.described;
        let values = numbers(batch, column, KIND)?;
        let mut block = SparseBlock::with_capacity(values.len());
        for given in &values {
            let value = given.unwrap_or(self.fill);
            let scaled = if self.std == 0.0 {
                0.0
            } else {
                (transform.of(value) - self.mean) / self.std
            } as f32;
            if !scaled.is_finite() {
                return Err(Error::NotFinite {
                    column: column.clone(),
                    step: KIND.to_owned(),
                    value,
                });
            }
            if scaled != 0.0 {
                block.push(0, scaled);
            }
            if *missing_indicator && given.is_none() {
                block.push(1, 1.0);
            }
            block.end_row();
        }
        Ok(block)
    }
}
