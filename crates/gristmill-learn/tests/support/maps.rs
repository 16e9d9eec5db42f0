//! Transforms rows in three ways, which must give the same rows and counts: all at once; in batches; and in batches by the step
//! that is rebuilt from the bytes of its spec, as in another process.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use gristmill_learn::Result;
use gristmill_learn::contract::spec::StepSpec;
use gristmill_learn::contract::step::{LeftOut, Transformed, Transformer};

/// What a step makes of the rows, which is the same in all three ways.
pub(crate) fn map(
    step: &dyn Transformer,
    rows: &RecordBatch,
    rebuild: &dyn Fn(&StepSpec) -> Result<Box<dyn Transformer>>,
) -> Transformed {
    let whole = step.transform(rows).unwrap();
    let schema = step.output_schema(rows.schema_ref()).unwrap();
    assert_eq!(whole.rows.schema(), schema);
    let spec = StepSpec::from_bytes(&step.spec().to_bytes().unwrap()).unwrap();
    let rebuilt = rebuild(&spec).unwrap();
    assert_eq!(
        rebuilt.columns(rows.schema_ref()).unwrap(),
        step.columns(rows.schema_ref()).unwrap()
    );
    assert_eq!(
        rebuilt.spec().to_bytes().unwrap(),
        step.spec().to_bytes().unwrap()
    );
    for (step, size) in [
        (step, 70),
        (rebuilt.as_ref(), rows.num_rows()),
        (rebuilt.as_ref(), 33),
    ] {
        let mut batches = Vec::new();
        let mut left_out = LeftOut::default();
        for from in (0..rows.num_rows()).step_by(size) {
            let made = step
                .transform(&rows.slice(from, size.min(rows.num_rows() - from)))
                .unwrap();
            batches.push(made.rows);
            left_out += made.left_out;
        }
        // Arrow compares floats by their bits.
        assert_eq!(
            concat_batches(&schema, &batches).unwrap(),
            whole.rows,
            "{size} rows at a time"
        );
        assert_eq!(left_out, whole.left_out);
    }
    whole
}
