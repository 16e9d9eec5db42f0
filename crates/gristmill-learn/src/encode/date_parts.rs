//! Parts of dates and times: year and elapsed days as numbers, month, weekday and hour as places on a circle.

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
use crate::statistics::calendar::{Parts, turn};
use crate::statistics::{Derived, Many, Moments, MomentsState};

const KIND: &str = "date_parts";

/// `encode = "date_parts"`.
pub(super) struct DateParts;

impl EncoderKind for DateParts {
    fn name(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "The parts of a date or timestamp, in UTC and the Gregorian calendar. `year` and `elapsed` (days, with their fraction) are\n\
         numbers, minus the mean of the training rows, over their standard deviation. `month`, `weekday` and `hour` lie on a circle, on\n\
         which December is beside January: part `k` of `n` is `sin(2πk/n)` and `cos(2πk/n)`, two columns, where January, Monday and midnight\n\
         are 0. Null is 0 in all of them. A date has the hour 0."
    }

    fn keys(&self) -> &'static [Key] {
        &[
            Key {
                name: "parts",
                values: Values::Subset(&["year", "month", "weekday", "hour", "elapsed"]),
                default: Preset::Words(&["year", "month", "weekday"]),
                doc: "Which parts.",
            },
            Key {
                name: "missing_indicator",
                values: Values::Boolean,
                default: Preset::Boolean(false),
                doc: "One more column is 1 where the date is null, and else 0.",
            },
        ]
    }

    fn feature(&self, settings: Value) -> Result<Feature> {
        read_settings::<DatePartsSettings>(KIND, settings).map(Feature::new)
    }

    fn rebuild(&self, spec: &StepSpec) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(DatePartsEncoder::from_spec(spec)?))
    }
}

/// Settings of `encode = "date_parts"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatePartsSettings {
    /// The column: a date or a timestamp.
    pub column: String,
    /// Which parts, each once. Default year, month and weekday.
    pub parts: Vec<DatePart>,
    /// Whether one more column tells where it is null. Default false.
    pub missing_indicator: bool,
}

/// A part of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year, scaled.
    Year,
    /// The month, on a circle.
    Month,
    /// The day of the week, on a circle.
    Weekday,
    /// The hour of the day, on a circle.
    Hour,
    /// Days, scaled.
    Elapsed,
}

impl DatePart {
    /// What is scaled for it; `None` of a part on a circle.
    fn number(self) -> Option<Derived> {
        match self {
            Self::Year => Some(Derived::Year),
            Self::Elapsed => Some(Derived::Days),
            Self::Month | Self::Weekday | Self::Hour => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Weekday => "weekday",
            Self::Hour => "hour",
            Self::Elapsed => "elapsed",
        }
    }
}

/// An instant becomes a number or a place on a circle for each of its parts.
#[derive(Debug, Clone)]
pub struct DatePartsEncoder {
    settings: DatePartsSettings,
    /// Mean and deviation of each part that is a number, in their order; a deviation of 0 makes every value 0.
    scales: Vec<(f64, f64)>,
}

impl Estimator for DatePartsSettings {
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
        Reads::Moment
    }

    fn negative(&self) -> Option<Negative> {
        Some(Negative {
            setting: "encode = \"date_parts\"",
            effect: "scaled to mean 0, or on a circle around 0",
            instead: "encode = \"bucket\"",
        })
    }

    fn pass(&self) -> Box<dyn Pass> {
        // One of them at least, so that the column is read and checked.
        let numbers = self.parts.iter().filter_map(|part| part.number());
        let mut passes: Vec<Box<dyn Pass>> = numbers
            .map(|number| Box::new(Moments::derived(&self.column, number, KIND)) as _)
            .collect();
        if passes.is_empty() {
            passes.push(Box::new(Moments::derived(&self.column, Derived::Year, KIND)));
        }
        Box::new(Many::new(passes))
    }

    fn fitted(&self, state: &RecordBatch, _to: &FittedTo<'_>) -> Result<Box<dyn Encoder>> {
        let states = Many::states(state)?;
        let numbers = self.parts.iter().filter_map(|part| part.number()).count();
        if states.len() != numbers.max(1) {
            return Err(Error::State {
                pass: KIND,
                why: format!("it holds {} states", states.len()),
            });
        }
        let scale = |state: &RecordBatch| -> Result<(f64, f64)> {
            let moments = MomentsState::from_state(state)?;
            Ok((moments.mean, moments.std()))
        };
        Ok(Box::new(DatePartsEncoder {
            settings: self.clone(),
            scales: states.iter().take(numbers).map(scale).collect::<Result<_>>()?,
        }))
    }
}

impl DatePartsEncoder {
    fn from_spec(spec: &StepSpec) -> Result<Self> {
        let settings: DatePartsSettings = spec.settings()?;
        let scales = spec.array::<Float64Array>("mean_std")?.values();
        let numbers = settings.parts.iter().filter_map(|part| part.number()).count();
        if scales.len() != 2 * numbers || scales.iter().any(|number| !number.is_finite()) {
            return Err(spec.bad(format!("`mean_std` does not hold {} finite numbers", 2 * numbers)));
        }
        let repeated = |place: usize| settings.parts[..place].contains(&settings.parts[place]);
        if settings.parts.is_empty() || (0..settings.parts.len()).any(repeated) {
            return Err(spec.bad("it has no parts, or one of them twice"));
        }
        let scales = scales.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok(Self { settings, scales })
    }

    /// The values of an instant, in the order of the columns.
    fn values(&self, seconds: f64) -> impl Iterator<Item = f64> {
        let parts = Parts::of(seconds.floor() as i64);
        let mut scales = self.scales.iter();
        let mut scaled = move |number: f64| match scales.next() {
            Some((mean, std)) if *std > 0.0 => (number - mean) / std,
            _ => 0.0,
        };
        self.settings
            .parts
            .iter()
            .flat_map(move |part| {
                let circle = match part {
                    DatePart::Year => return [Some(scaled(parts.year as f64)), None],
                    DatePart::Elapsed => return [Some(scaled(Derived::days(seconds))), None],
                    DatePart::Month => turn(parts.month, 12),
                    DatePart::Weekday => turn(parts.weekday, 7),
                    DatePart::Hour => turn(parts.hour, 24),
                };
                [Some(circle.0), Some(circle.1)]
            })
            .flatten()
    }
}

impl Encoder for DatePartsEncoder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn spec(&self) -> StepSpec {
        let scales = self.scales.iter().flat_map(|(mean, std)| [*mean, *std]);
        StepSpec::new(KIND, json!(self.settings)).with("mean_std", Float64Array::from_iter_values(scales))
    }

    fn inputs(&self) -> Vec<Input<'_>> {
        vec![Input {
            column: &self.settings.column,
            reads: Reads::Moment,
        }]
    }

    fn width(&self) -> u32 {
        let parts = self.settings.parts.iter();
        let columns: u32 = parts
            .map(|part| if part.number().is_some() { 1 } else { 2 })
            .sum();
        columns + u32::from(self.settings.missing_indicator)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.settings.column.capacity() + size_of_val(self.scales.as_slice())
    }

    fn name(&self, index: u32) -> String {
        let column = &self.settings.column;
        let names = self.settings.parts.iter().flat_map(|part| match part.number() {
            Some(_) => vec![format!("{}({column})", part.name())],
            None => vec![
                format!("sin {}({column})", part.name()),
                format!("cos {}({column})", part.name()),
            ],
        });
        let mut names = names.skip(index as usize);
        names.next().unwrap_or_else(|| format!("{column} (missing)"))
    }

    fn meaning(&self) -> Value {
        json!({"column": self.settings.column})
    }

    fn encode(&self, batch: &RecordBatch) -> Result<SparseBlock> {
        let seconds = Derived::seconds(batch, &self.settings.column, KIND)?;
        let mut block = SparseBlock::with_capacity(seconds.len());
        for seconds in &seconds {
            match seconds {
                Some(seconds) => {
                    for (index, value) in (0..).zip(self.values(seconds)) {
                        let value = value as f32;
                        if !value.is_finite() {
                            return Err(Error::NotFinite {
                                column: self.settings.column.clone(),
                                step: KIND.to_owned(),
                                value: seconds,
                            });
                        }
                        if value != 0.0 {
                            block.push(index, value);
                        }
                    }
                }
                None if self.settings.missing_indicator => block.push(self.width() - 1, 1.0),
                None => {}
            }
            block.end_row();
        }
        Ok(block)
    }
}
