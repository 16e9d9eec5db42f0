//! Folds a pass in three ways, which must give the same bytes: whole; divided as its grain says; and divided, with each piece
//! rebuilt from the bytes of its spec, and its state sent back as bytes, as between processes.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use gristmill_learn::Result;
use gristmill_learn::contract::pass::{Grain, Pass};
use gristmill_learn::contract::spec::StepSpec;
use gristmill_learn::passes::pass_from_spec;

use crate::kinds;

/// The state of a pass over the batches, which is the same in all three ways.
pub(crate) fn fold(pass: &dyn Pass, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let whole = whole(pass, batches);
    for shipped in [false, true] {
        match (&whole, divided(pass, batches, shipped)) {
            (Ok(whole), Ok(divided)) => {
                // Arrow compares floats by their bits.
                assert_eq!(*whole, divided, "{}, shipped: {shipped}", pass.spec().kind);
            }
            (Err(whole), Err(divided)) => assert_eq!(whole.to_string(), divided.to_string()),
            (whole, divided) => panic!("{}: {whole:?} and {divided:?}", pass.spec().kind),
        }
    }
    whole
}

/// One after the other, in this process.
fn whole(pass: &dyn Pass, batches: &[RecordBatch]) -> Result<RecordBatch> {
    match pass.grain() {
        Grain::Rows(rows) => merged(pass, batches, rows, &|piece| piece_state(pass, piece)),
        Grain::Results(_) | Grain::Ordered => piece_state(pass, batches),
    }
}

/// By workers, which see rows in batches of other sizes.
fn divided(pass: &dyn Pass, batches: &[RecordBatch], shipped: bool) -> Result<RecordBatch> {
    let work = |rows: &[RecordBatch]| {
        let rows = recut(rows, 700);
        if !shipped {
            return piece_state(pass, &rows);
        }
        let spec = StepSpec::from_bytes(&pass.spec().to_bytes()?)?;
        let rebuilt = pass_from_spec(&spec, &kinds())?;
        assert_eq!(rebuilt.grain(), pass.grain(), "{}", spec.kind);
        returned(&piece_state(rebuilt.as_ref(), &rows)?)
    };
    match pass.grain() {
        Grain::Rows(rows) => merged(pass, batches, rows, &work),
        Grain::Ordered => work(batches),
        Grain::Results(parts) => {
            let parts = (0..parts).map(|part| divided(pass.part(part)?.as_ref(), batches, shipped));
            let states = parts.collect::<Result<Vec<_>>>()?;
            assert!(pass.part(states.len()).is_err(), "{}", pass.spec().kind);
            pass.join(states)
        }
    }
}

fn piece_state(pass: &dyn Pass, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let mut accumulator = pass.start();
    batches.iter().try_for_each(|batch| accumulator.update(batch))?;
    accumulator.state()
}

/// The states of pieces of so many rows, merged in their order.
fn merged(
    pass: &dyn Pass,
    batches: &[RecordBatch],
    rows: usize,
    work: &dyn Fn(&[RecordBatch]) -> Result<RecordBatch>,
) -> Result<RecordBatch> {
    let mut total = pass.start();
    for piece in recut(batches, rows) {
        total.merge(&work(&[piece])?)?;
    }
    total.state()
}

/// The same rows in batches of so many.
fn recut(batches: &[RecordBatch], rows: usize) -> Vec<RecordBatch> {
    let Some(first) = batches.first() else {
        return Vec::new();
    };
    let all = concat_batches(&first.schema(), batches).unwrap();
    let starts = (0..all.num_rows()).step_by(rows);
    starts
        .map(|start| all.slice(start, rows.min(all.num_rows() - start)))
        .collect()
}

/// A state as it comes from another process.
fn returned(state: &RecordBatch) -> Result<RecordBatch> {
    let mut writer = StreamWriter::try_new(Vec::new(), &state.schema())?;
    writer.write(state)?;
    let bytes = writer.into_inner()?;
    let mut reader = StreamReader::try_new(bytes.as_slice(), None)?;
    Ok(reader.next().unwrap()?)
}
