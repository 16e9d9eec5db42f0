//! Text as a value of a type: one parser for each type, for the cells of files that have no types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit};

use crate::convert::moment::Moment;
use crate::convert::{Logical, Misfit, number};

/// Days from 0001-01-01 to 1970-01-01, as `chrono` counts them.
const EPOCH: i32 = 719_163;

/// The values that texts are; null where there is none. White space around a value that is not text says nothing.
pub(super) fn parse(texts: &StringArray, to: &Logical) -> Result<ArrayRef, Misfit> {
    Ok(match &to.data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(values(texts, to, boolean)?)),
        DataType::Int8 => integers::<Int8Type>(texts, to)?,
        DataType::Int16 => integers::<Int16Type>(texts, to)?,
        DataType::Int32 => integers::<Int32Type>(texts, to)?,
        DataType::Int64 => integers::<Int64Type>(texts, to)?,
        DataType::Float32 => Arc::new(Float32Array::from(values(texts, to, number::float)?)),
        DataType::Float64 => Arc::new(Float64Array::from(values(texts, to, number::float)?)),
        DataType::Decimal128(precision, scale) => {
            let values = values(texts, to, |text| number::decimal(text, *precision, *scale))?;
            let decimals = Decimal128Array::from(values).with_precision_and_scale(*precision, *scale);
            Arc::new(decimals.map_err(|error| unknown(to, &error))?)
        }
        DataType::Date32 => Arc::new(Date32Array::from(values(texts, to, date)?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = match zone {
                None => |text: &str| exact_micros(Moment::parse(text)?.without_zone()?),
                Some(_) => |text: &str| exact_micros(Moment::parse(text)?.utc()?),
            };
            let values = TimestampMicrosecondArray::from(values(texts, to, micros)?);
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let written: Result<StringArray, Misfit> = texts
                .iter()
                .enumerate()
                .map(
                    |(row, text)| match text.map(|text| (text, to.form.canonical(text))) {
                        None => Ok(None),
                        Some((_, Some(written))) => Ok(Some(written)),
                        Some((text, None)) => Err(misfit(row, text, to)),
                    },
                )
                .collect();
            Arc::new(written?)
        }
        other => return Err(unknown(to, &format!("no text is of type {other}"))),
    })
}

/// What a value that does not fit is told with.
pub(super) fn misfit(row: usize, text: &str, to: &Logical) -> Misfit {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().nth(SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    Misfit {
        row: Some(row),
        why: to.expected(&format!("{shown:?}{more}")),
    }
}

fn values<T>(
    texts: &StringArray,
    to: &Logical,
    value: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, Misfit> {
    let rows = texts.iter().enumerate();
    rows.map(|(row, text)| match text {
        None => Ok(None),
        Some(text) => match value(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(misfit(row, text, to)),
        },
    })
    .collect()
}

fn integers<T: ArrowPrimitiveType>(texts: &StringArray, to: &Logical) -> Result<ArrayRef, Misfit>
where
    T::Native: TryFrom<i128>,
{
    let values = values(texts, to, |text| T::Native::try_from(number::integer(text)?).ok())?;
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>()))
}

/// As PostgreSQL reads it; also `1.0` and the like, as a nullable column of 0 and 1 is often written.
fn boolean(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 10] = [
        ("true", true),
        ("false", false),
        ("t", true),
        ("f", false),
        ("yes", true),
        ("no", false),
        ("y", true),
        ("n", false),
        ("on", true),
        ("off", false),
    ];
    let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    match (word, number::integer(text)) {
        (Some((_, value)), _) => Some(*value),
        (None, Some(0)) => Some(false),
        (None, Some(1)) => Some(true),
        (None, _) => None,
    }
}

/// A date, or the midnight that it begins with.
fn date(text: &str) -> Option<i32> {
    let local = Moment::parse(text)?.without_zone()?;
    let midnight = local.time() == chrono::NaiveTime::MIN;
    midnight.then(|| chrono::Datelike::num_days_from_ce(&local.date()) - EPOCH)
}

/// Microseconds since 1970-01-01, unless that would cut off nanoseconds.
fn exact_micros(moment: chrono::NaiveDateTime) -> Option<i64> {
    let whole = chrono::Timelike::nanosecond(&moment).is_multiple_of(1_000);
    whole.then(|| moment.and_utc().timestamp_micros())
}

fn unknown(to: &Logical, why: &impl ToString) -> Misfit {
    Misfit {
        row: None,
        why: format!("{} is not read from text ({})", to.words(), why.to_string()),
    }
}
