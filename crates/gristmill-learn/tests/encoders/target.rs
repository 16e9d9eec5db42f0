//! A number as label: how it is read, what the features table holds of it, and what is refused.

use arrow::array::{AsArray, Decimal128Array, Int32Array};
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use gristmill_learn::contract::step::{LeftOut, Transformer};
use gristmill_learn::features::{Assembler, FitPipeline, Fitted};
use gristmill_learn::label::Label;
use gristmill_learn::{Error, Result};

use super::*;

fn fitted(label: &LabelSettings, rows: &RecordBatch) -> Result<Fitted> {
    let features = [Feature::new(one_hot("text"))];
    let pipeline = FitPipeline::new(&features, label, &split(), 3);
    pipeline.pass().columns(rows.schema_ref())?;
    pipeline.fitted(&state(pipeline.pass(), rows))
}

/// 300 rows whose numbers are eighths, null and NaN now and then.
fn numbers() -> RecordBatch {
    let row = |id: i64| Row {
        id: Some(id),
        text: Some(format!("t{}", id % 4)),
        number: match id % 25 {
            0 => None,
            1 => Some(f64::NAN),
            _ => Some(id as f64 / 8.0 - 10.0),
        },
        label: None,
    };
    batch(&(0..300).map(row).collect::<Vec<_>>())
}

#[test]
fn the_features_table_has_the_numbers_themselves() {
    let rows = numbers();
    let fitted = fitted(&number_label("number"), &rows).unwrap();
    assert_eq!((fitted.rare_classes, fitted.fewer_rows_than_folds), (0, None));
    assert_eq!(fitted.rows.iter().sum::<u64>(), 300);
    assert_eq!(fitted.null_label.iter().sum::<u64>(), 24, "NaN is no label");
    let schema = fitted.assembler.output_schema(rows.schema_ref()).unwrap();
    let transformed = fitted.assembler.transform(&rows).unwrap();
    assert_eq!(transformed.rows.schema(), schema);
    assert_eq!(
        transformed.left_out,
        LeftOut {
            null_label: 24,
            ..LeftOut::default()
        }
    );
    let labels = transformed.rows.column(0).as_primitive::<Float64Type>();
    let expected = (0..300).filter(|id| id % 25 > 1).map(|id| id as f64 / 8.0 - 10.0);
    assert_eq!(labels.values()[..], expected.collect::<Vec<_>>());

    let splits = transformed.rows.column_by_name("split").unwrap();
    let splits = splits.as_primitive::<arrow::datatypes::UInt8Type>();
    let training = labels.values().iter().zip(splits.values());
    let training: Vec<f64> = training.filter(|(_, s)| **s == 0).map(|(y, _)| *y).collect();
    let mean = training.iter().sum::<f64>() / training.len() as f64;
    let square = training.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>();
    let Label::Number(target) = fitted.assembler.label() else {
        panic!("classes")
    };
    assert!((target.mean() - mean).abs() < 1e-12);
    assert!((target.std() - (square / (training.len() - 1) as f64).sqrt()).abs() < 1e-12);

    let rebuilt = Assembler::from_specs(&fitted.assembler.specs(), &built_in()).unwrap();
    assert!(rebuilt.classes().is_empty());
    assert_eq!(rebuilt.transform(&rows).unwrap().rows, transformed.rows);
    let Label::Number(again) = rebuilt.label() else {
        panic!("classes")
    };
    assert_eq!(again, target);
    let mut spec = again.spec();
    spec.arrays.insert(
        "moments".to_owned(),
        Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0])),
    );
    assert!(matches!(Label::from_spec(&spec), Err(Error::Spec { .. })));
}

#[test]
fn only_quantities_are_labels_of_a_regression() {
    let rows = numbers();
    let integers = Arc::new(Int32Array::from_iter_values(0..300)) as ArrayRef;
    let decimals = Decimal128Array::from_iter_values(0..300).with_precision_and_scale(10, 2);
    for values in [integers, Arc::new(decimals.unwrap())] {
        let rows = with_column(&rows, "number", values);
        assert!(fitted(&number_label("number"), &rows).is_ok());
    }
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    let rows = with_column(&rows, "label", arrow::array::new_null_array(&moment, 300));
    for column in ["text", "flag", "day", "label"] {
        let error = fitted(&number_label(column), &rows).err().unwrap();
        assert!(
            matches!(&error, Error::ColumnType { column: at, .. } if at == column),
            "{error}"
        );
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    let rows = numbers();
    let nulls = with_nulls(&rows, "number");
    let error = fitted(&number_label("number"), &nulls).err().unwrap();
    assert!(matches!(error, Error::LabelAllNull { .. }), "{error}");
    let infinite = with_column(
        &rows,
        "number",
        Arc::new(Float64Array::from(vec![f64::INFINITY; 300])),
    );
    let label = number_label("number");
    let pipeline = FitPipeline::new(&[Feature::new(one_hot("text"))], &label, &split(), 3);
    let error = pipeline.pass().start().update(&infinite).err().unwrap();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
}
