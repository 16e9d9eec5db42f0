//! Columns of one Arrow type as those of another.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int64Type, TimeUnit};

use crate::convert::number::is_rounded;
use crate::convert::parse::{misfit, parse};
use crate::convert::{Logical, Misfit};

const DAY: i64 = 86_400_000_000;

/// The column as one of this type.
///
/// # Errors
/// When its type has no counterpart there, or the first value that has none.
pub fn convert(column: &ArrayRef, to: &Logical) -> Result<ArrayRef, Misfit> {
    use DataType as T;
    let from = column.data_type();
    match (from, &to.data_type) {
        (T::Dictionary(_, values), _) => convert(&arrow_cast(column, values, to)?, to),
        (T::RunEndEncoded(_, values), _) => convert(&arrow_cast(column, values.data_type(), to)?, to),
        (T::Null, wanted) => Ok(new_null_array(wanted, column.len())),
        (T::Utf8, T::Utf8) if to.form.name().is_none() => Ok(column.clone()),
        (T::LargeUtf8 | T::Utf8View, T::Utf8) if to.form.name().is_none() => arrow_cast(column, &T::Utf8, to),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, wanted) => {
            let text = arrow_cast(column, &T::Utf8, to)?;
            let texts = text.as_string::<i32>();
            if scale(wanted) == Some(0)
                && let Some(row) = texts.iter().position(|text| text.is_some_and(is_rounded))
            {
                return Err(ambiguous(row, texts.value(row), to));
            }
            parse(texts, to)
        }
        (from, wanted) if from == wanted => Ok(column.clone()),
        (from, T::Utf8) if to.form.takes(from) => parse(arrow_cast(column, &T::Utf8, to)?.as_string(), to),
        (T::Date32 | T::Date64 | T::Timestamp(..), T::Date32 | T::Timestamp(..)) => moments(column, to),
        (from, wanted) if is_number(from) && is_number(wanted) => numbers(column, to),
        (from, _) => Err(Misfit {
            row: None,
            why: to.expected(&format!("it has type {from}")),
        }),
    }
}

/// The digits after the point of an exact type.
fn scale(kind: &DataType) -> Option<i32> {
    match kind {
        DataType::Decimal128(_, scale) => Some(i32::from(*scale)),
        kind => kind.is_integer().then_some(0),
    }
}

/// The first float that stands for several numbers of an exact type: who wrote it had one of them, and nobody knows which.
fn first_ambiguous(column: &ArrayRef, scale: i32) -> Option<usize> {
    use DataType as T;
    let bits = match column.data_type() {
        T::Float64 => f64::MANTISSA_DIGITS,
        T::Float32 => f32::MANTISSA_DIGITS,
        T::Float16 => 11,
        _ => return None,
    };
    // From there on numbers with so many digits after the point are closer to each other than floats are.
    let first = 2_f64.powi(bits as i32) / 10_f64.powi(scale);
    let floats = cast(column, &T::Float64).ok()?;
    let floats = floats.as_primitive::<Float64Type>();
    floats
        .iter()
        .position(|x| x.is_some_and(|x| x.is_finite() && x.abs() >= first))
}

fn ambiguous(row: usize, shown: &str, to: &Logical) -> Misfit {
    Misfit {
        row: Some(row),
        why: format!(
            "{shown} is a float, and as a float several values of {} are this one, so that it is not known which of them it was; \
             write them as the source has them, as whole numbers, decimals or text",
            to.words()
        ),
    }
}

/// Whether the values of a type are numbers; true is 1.
fn is_number(kind: &DataType) -> bool {
    kind.is_numeric() || *kind == DataType::Boolean
}

fn numbers(column: &ArrayRef, to: &Logical) -> Result<ArrayRef, Misfit> {
    use DataType as T;
    let (from, wanted) = (column.data_type(), &to.data_type);
    if let Some(scale) = scale(wanted)
        && let Some(row) = first_ambiguous(column, scale)
    {
        return Err(ambiguous(row, &shown(column, row), to));
    }
    if from.is_integer() && wanted.is_integer()
        || from.is_floating() && *wanted == T::Float64
        || *from == T::Float16 && *wanted == T::Float32
    {
        let converted = arrow_cast(column, wanted, to)?;
        let lost = (0..column.len()).find(|row| converted.is_null(*row) && column.is_valid(*row));
        return match lost {
            None => Ok(converted),
            Some(row) => Err(misfit(row, &shown(column, row), to)),
        };
    }
    if *from == T::Float64 && wanted.is_integer() {
        // NaN is no integer: where they are as floats, it stands for null.
        let floats = column.as_primitive::<Float64Type>();
        let whole = |x: &f64| x.fract() == 0.0;
        let lost = floats
            .iter()
            .position(|x| x.is_some_and(|x| !x.is_nan() && !whole(&x)));
        if let Some(row) = lost {
            return Err(misfit(row, &shown(column, row), to));
        }
        let integers: Int64Array = floats.iter().map(|x| x.filter(whole).map(|x| x as i64)).collect();
        return numbers_or_same(Arc::new(integers), to);
    }
    if *from == T::Float64 && *wanted == T::Float32 {
        // What the shorter float holds is held, whatever its digits.
        let floats = column.as_primitive::<Float64Type>();
        let same = |x: f64| x.is_nan() || f64::from(x as f32) == x;
        if floats.iter().flatten().all(same) {
            return arrow_cast(column, wanted, to);
        }
    }
    parse(&texts(column, wanted, to)?, to)
}

fn numbers_or_same(column: ArrayRef, to: &Logical) -> Result<ArrayRef, Misfit> {
    if *column.data_type() == to.data_type {
        Ok(column)
    } else {
        numbers(&column, to)
    }
}

/// The shortest text that tells each number from all others of its type.
fn texts(column: &ArrayRef, wanted: &DataType, to: &Logical) -> Result<StringArray, Misfit> {
    use DataType as T;
    let keeps_nan = wanted.is_floating();
    Ok(match column.data_type() {
        T::Float16 => return texts(&arrow_cast(column, &T::Float32, to)?, wanted, to),
        T::Float32 => {
            let floats = column.as_primitive::<Float32Type>().iter();
            floats
                .map(|x| x.filter(|x| keeps_nan || !x.is_nan()).map(|x| x.to_string()))
                .collect()
        }
        T::Float64 => {
            let floats = column.as_primitive::<Float64Type>().iter();
            floats
                .map(|x| x.filter(|x| keeps_nan || !x.is_nan()).map(|x| x.to_string()))
                .collect()
        }
        T::Boolean => {
            let flags = column.as_boolean().iter();
            flags
                .map(|flag| flag.map(|flag| if flag { "1" } else { "0" }))
                .collect()
        }
        _ => arrow_cast(column, &T::Utf8, to)?.as_string().clone(),
    })
}

fn moments(column: &ArrayRef, to: &Logical) -> Result<ArrayRef, Misfit> {
    use DataType as T;
    if let T::Timestamp(_, Some(zone)) = column.data_type()
        && !is_utc(zone)
        && !matches!(to.data_type, T::Timestamp(_, Some(_)))
    {
        return Err(Misfit {
            row: None,
            why: to.expected(&format!(
                "it has type timestamp of the zone {zone}, and would be another one in UTC"
            )),
        });
    }
    let micros = micros(column, to)?;
    let lost = |row| misfit(row, &shown(column, row), to);
    match &to.data_type {
        T::Date32 => {
            let days = micros.iter().enumerate().map(|(row, micros)| match micros {
                None => Ok(None),
                Some(micros) if micros % DAY == 0 => {
                    i32::try_from(micros / DAY).map(Some).map_err(|_| lost(row))
                }
                Some(_) => Err(lost(row)),
            });
            let days = days.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(arrow::array::Date32Array::from(days)))
        }
        T::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = micros.reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>();
            let values: TimestampMicrosecondArray = values;
            Ok(Arc::new(values.with_timezone_opt(zone.clone())))
        }
        other => Err(Misfit {
            row: None,
            why: format!("no column is of type {other}"),
        }),
    }
}

/// Microseconds since 1970-01-01 (UTC).
fn micros(column: &ArrayRef, to: &Logical) -> Result<Int64Array, Misfit> {
    use DataType as T;
    let (ticks, each, in_one): (Int64Array, i64, i64) = match column.data_type() {
        T::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            (days.iter().map(|day| day.map(i64::from)).collect(), DAY, 1)
        }
        T::Date64 => (
            column
                .as_primitive::<Date64Type>()
                .reinterpret_cast::<Int64Type>(),
            1_000,
            1,
        ),
        T::Timestamp(unit, _) => {
            let ticks = arrow_cast(column, &T::Int64, to)?
                .as_primitive::<Int64Type>()
                .clone();
            match unit {
                TimeUnit::Second => (ticks, 1_000_000, 1),
                TimeUnit::Millisecond => (ticks, 1_000, 1),
                TimeUnit::Microsecond => return Ok(ticks),
                TimeUnit::Nanosecond => (ticks, 1, 1_000),
            }
        }
        other => {
            return Err(Misfit {
                row: None,
                why: to.expected(&format!("it has type {other}")),
            });
        }
    };
    let micros = ticks.iter().enumerate().map(|(row, tick)| match tick {
        None => Ok(None),
        Some(tick) if tick % in_one == 0 => match (tick / in_one).checked_mul(each) {
            Some(micros) => Ok(Some(micros)),
            None => Err(misfit(row, &shown(column, row), to)),
        },
        Some(_) => Err(misfit(row, &shown(column, row), to)),
    });
    micros.collect()
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "Z", "GMT", "Etc/UTC", "+00:00", "+00", "-00:00", "Etc/GMT"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(zone))
}

/// A value as Arrow writes it; of a point in time that no calendar reaches, its number.
fn shown(column: &ArrayRef, row: usize) -> String {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let shown = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::new());
    let shown = shown.and_then(|format| format.value(row).try_to_string());
    if let Ok(shown) = shown {
        return shown;
    }
    let numbers = cast(&column.slice(row, 1), &DataType::Int64).ok();
    let number = numbers
        .as_ref()
        .and_then(|numbers| numbers.as_primitive_opt::<Int64Type>());
    let number = number.map_or_else(|| "a value".to_owned(), |number| number.value(0).to_string());
    format!("{number} as {}", column.data_type())
}

/// A cast that cannot lose anything but by null.
fn arrow_cast(column: &ArrayRef, to: &DataType, wanted: &Logical) -> Result<ArrayRef, Misfit> {
    cast(column, to).map_err(|error| Misfit {
        row: None,
        why: wanted.expected(&error.to_string()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Float64Array, StringArray};
    use arrow::compute::{CastOptions, cast_with_options};

    use super::*;
    use crate::convert::Form;

    fn column(values: &[&str], kind: &DataType) -> ArrayRef {
        let texts: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        cast_with_options(&texts, kind, &options).unwrap()
    }

    fn timestamp(unit: TimeUnit, zone: Option<&str>) -> DataType {
        DataType::Timestamp(unit, zone.map(Into::into))
    }

    fn micros(zone: Option<&str>) -> Logical {
        Logical::plain(timestamp(TimeUnit::Microsecond, zone))
    }

    /// A column, what it is to be, and the first row that is refused (`None`: all are, for their type).
    #[test]
    fn what_loses_something_is_refused() {
        use DataType as T;
        let plain = Logical::plain;
        let numbers = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let time = "2024-02-29T12:00:00";
        for (given, to, row) in [
            (numbers(&[2.0, f64::NAN, 2.5]), plain(T::Int64), Some(2)),
            (numbers(&[1.0, 300.0]), plain(T::Int8), Some(1)),
            (
                numbers(&[1.0, 9_223_372_036_854_775_808.0]),
                plain(T::Int64),
                Some(1),
            ),
            (numbers(&[1.5, 1.505]), plain(T::Decimal128(10, 2)), Some(1)),
            (numbers(&[0.1, 1e300]), plain(T::Float32), Some(1)),
            (numbers(&[0.0, 1.0, 2.0]), plain(T::Boolean), Some(2)),
            (numbers(&[7.0]), plain(T::Utf8), None),
            (numbers(&[7.0]), plain(T::Date32), None),
            (
                column(&["1", "9007199254740993"], &T::Int64),
                plain(T::Float64),
                Some(1),
            ),
            (column(&["1", "16777217"], &T::Int64), plain(T::Float32), Some(1)),
            (column(&["1"], &T::Int64), plain(T::Date32), None),
            (column(&["1"], &T::Int64), micros(None), None),
            (column(&["true"], &T::Boolean), plain(T::Utf8), None),
            (column(&["2024-02-29"], &T::Date32), plain(T::Utf8), None),
            (column(&["2024-02-29"], &T::Date32), plain(T::Int64), None),
            (column(&["2024-02-29"], &T::Date32), plain(T::Float64), None),
            (
                column(&["2024-02-29", time], &timestamp(TimeUnit::Second, None)),
                plain(T::Date32),
                Some(1),
            ),
            (
                column(
                    &[time, "2024-02-29T12:00:00.000000001"],
                    &timestamp(TimeUnit::Nanosecond, None),
                ),
                micros(None),
                Some(1),
            ),
            (
                column(&[time], &timestamp(TimeUnit::Second, Some("+02:00"))),
                micros(None),
                None,
            ),
            (
                column(&[time], &timestamp(TimeUnit::Second, Some("+02:00"))),
                plain(T::Date32),
                None,
            ),
            (
                column(&["2024-02-29", "29.02.2024"], &T::Utf8),
                plain(T::Date32),
                Some(1),
            ),
            (
                column(&["2024-02-29", "20240229"], &T::LargeUtf8),
                plain(T::Date32),
                Some(1),
            ),
            (
                column(&[time, "2024-02-29T12:00:00+02"], &T::Utf8View),
                micros(None),
                Some(1),
            ),
            (
                column(&["1", "yes", "maybe"], &T::Utf8),
                plain(T::Boolean),
                Some(2),
            ),
            (column(&["1", ""], &T::Utf8), plain(T::Int64), Some(1)),
            (column(&["1.5", "1,5"], &T::Utf8), plain(T::Float64), Some(1)),
            (
                column(&["1 day"], &T::Utf8),
                Logical {
                    data_type: T::Utf8,
                    form: Form::Interval,
                },
                Some(0),
            ),
            (
                column(&["5"], &T::Int64),
                Logical {
                    data_type: T::Utf8,
                    form: Form::Uuid,
                },
                None,
            ),
        ] {
            let misfit = convert(&given, &to).map_err(|misfit| misfit.row);
            assert_eq!(misfit.err(), Some(row), "{given:?} as {to:?}");
        }
    }

    /// Each float, and whether it stands for one number of the type only.
    #[test]
    fn a_float_that_stands_for_several_numbers_of_an_exact_type_is_refused() {
        use DataType as T;
        let last = 9_007_199_254_740_991.0_f64;
        let cents = T::Decimal128(20, 2);
        for (float, kind, is_one) in [
            (last, T::Int64, true),
            (last + 1.0, T::Int64, false),
            (-last, T::Int64, true),
            (-last - 1.0, T::Int64, false),
            (1e18, T::Int64, false),
            (last, T::Decimal128(20, 0), true),
            (last + 1.0, T::Decimal128(20, 0), false),
            (90_071_992_547_409.5, cents.clone(), true),
            (90_071_992_547_410.0, cents, false),
        ] {
            let given: ArrayRef = Arc::new(Float64Array::from(vec![0.0, float]));
            let row = convert(&given, &Logical::plain(kind.clone())).map_err(|misfit| misfit.row);
            assert_eq!(row.err(), (!is_one).then_some(Some(1)), "{float} as {kind}");
            if kind == T::Int64 {
                let text: ArrayRef = Arc::new(StringArray::from(vec![format!("{float:.1}")]));
                let as_text = convert(&text, &Logical::plain(kind));
                assert_eq!(as_text.is_ok(), is_one, "{float:.1} as text");
            }
        }
        let short: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![16_777_215.0, 16_777_216.0]));
        let row = convert(&short, &Logical::plain(T::Int32)).map_err(|misfit| misfit.row);
        assert_eq!(row.err(), Some(Some(1)));
        // What is whole is a float's, however large: only exact types have other numbers there.
        let whole: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
        assert!(convert(&whole, &Logical::plain(T::Float64)).is_ok());
    }

    #[test]
    fn a_point_in_time_that_no_calendar_reaches_is_shown_by_its_number() {
        let far: ArrayRef = Arc::new(arrow::array::TimestampSecondArray::from(vec![0, i64::MAX / 2]));
        let why = convert(&far, &micros(None)).unwrap_err();
        assert_eq!(why.row, Some(1));
        let shown = "\"4611686018427387903 as Timestamp(s)\"";
        assert!(why.why.starts_with(shown), "{}", why.why);
        let far: ArrayRef = Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![i64::MAX]));
        let why = convert(&far, &Logical::plain(DataType::Date32)).unwrap_err();
        assert!(
            why.why.contains("9223372036854775807 as Timestamp(µs)"),
            "{}",
            why.why
        );
    }

    /// A column of one type, what it is to be, and the values that it becomes.
    #[test]
    fn what_is_the_same_value_is_taken() {
        use DataType as T;
        let dictionary = T::Dictionary(Box::new(T::Int8), Box::new(T::Utf8));
        let same = |values: &[&str], from: DataType, to: Logical, expected: &[&str]| {
            let converted = convert(&column(values, &from), &to).unwrap();
            assert_eq!(*converted.data_type(), to.data_type, "{values:?}");
            let shown: Vec<String> = (0..converted.len()).map(|row| shown(&converted, row)).collect();
            assert_eq!(shown, expected, "{values:?}");
        };
        same(&["2", "-5"], T::Float64, Logical::plain(T::Int16), &["2", "-5"]);
        same(
            &["2.00", "1e3", " 7 ", "007"],
            T::Utf8,
            Logical::plain(T::Int64),
            &["2", "1000", "7", "7"],
        );
        same(
            &["1.5"],
            T::Float64,
            Logical::plain(T::Decimal128(10, 2)),
            &["1.50"],
        );
        same(
            &["1.50"],
            T::Decimal128(10, 2),
            Logical::plain(T::Float64),
            &["1.5"],
        );
        same(
            &["True", "f", "1", "0.0"],
            T::Utf8,
            Logical::plain(T::Boolean),
            &["true", "false", "true", "false"],
        );
        same(&["007", "7"], T::Utf8View, Logical::plain(T::Utf8), &["007", "7"]);
        same(&["a"], dictionary, Logical::plain(T::Utf8), &["a"]);
        same(&["7"], T::Int32, Logical::plain(T::Utf8), &["7"]);
        same(
            &["2024-02-29"],
            timestamp(TimeUnit::Nanosecond, Some("UTC")),
            Logical::plain(T::Date32),
            &["2024-02-29"],
        );
        same(&["2024-02-29"], T::Date32, micros(None), &["2024-02-29T00:00:00"]);
        same(
            &["2024-02-29T12:00:00"],
            timestamp(TimeUnit::Millisecond, None),
            micros(Some("UTC")),
            &["2024-02-29T12:00:00Z"],
        );
        same(
            &[
                "2024-02-29 12:00:00+00",
                "2024-02-29 14:00:00+02:00",
                "2024-02-29",
            ],
            T::Utf8,
            micros(Some("UTC")),
            &[
                "2024-02-29T12:00:00Z",
                "2024-02-29T12:00:00Z",
                "2024-02-29T00:00:00Z",
            ],
        );
    }
}
