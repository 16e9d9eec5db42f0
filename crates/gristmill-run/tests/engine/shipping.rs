//! An engine of workers to which everything is sent as bytes: the table, the pass or the step, and back the state. So a cluster works.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use gristmill_data::table::{PartWriter, TableVersion};
use gristmill_learn::contract::pass::{Grain, Pass};
use gristmill_learn::contract::spec::StepSpec;
use gristmill_learn::contract::step::{LeftOut, Transformed, Transformer};
use gristmill_learn::passes::pass_from_spec;
use gristmill_learn::registry::built_in;
use gristmill_run::engine::{Engine, FINGERPRINT, LEFT_OUT, Watch};
use gristmill_run::predict::step_from_spec;
use gristmill_run::{Error, Result};

use super::at_most;

/// Rows that a worker transforms at a time.
const MAPPED_ROWS: u64 = 20_000;

/// So many workers, each a thread that shares nothing with the others but the files of the table.
pub(crate) struct ShippingEngine {
    pub(crate) workers: usize,
}

/// A piece of the work: a pass over some rows.
struct Item {
    pass: Vec<u8>,
    rows: Range<u64>,
}

impl ShippingEngine {
    /// Does `work` for the numbers of all items, each worker the next that is left; the answers are in the order of the items.
    fn shared<T: Send>(&self, items: usize, work: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Option<Result<T>>>> = (0..items).map(|_| Mutex::new(None)).collect();
        thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(answer) = answers.get(number) else {
                            break;
                        };
                        *answer.lock().unwrap() = Some(work(number));
                    }
                });
            }
        });
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.into_inner().unwrap().unwrap())
            .collect()
    }

    /// The state of an undivided pass or of its pieces, merged in their order.
    fn fold_rows(&self, table: &TableVersion, pass: &dyn Pass, watch: Watch<'_>) -> Result<RecordBatch> {
        let grain = match pass.grain() {
            Grain::Rows(rows) => rows as u64,
            Grain::Results(parts) => {
                let parts = (0..parts).map(|part| self.fold_rows(table, pass.part(part)?.as_ref(), watch));
                return Ok(pass.join(parts.collect::<Result<_>>()?)?);
            }
            Grain::Ordered => table.rows.max(1),
        };
        let spec = pass.spec().to_bytes()?;
        let items: Vec<Item> = pieces(table.rows, grain)
            .map(|rows| Item {
                pass: spec.clone(),
                rows,
            })
            .collect();
        let table = table.to_bytes()?;
        let done = AtomicU64::new(0);
        let states = self.shared(items.len(), &|number| {
            let item = &items[number];
            let state = folded(&table, item)?;
            let rows = item.rows.end - item.rows.start;
            going_on(watch(done.fetch_add(rows, Ordering::Relaxed) + rows))?;
            Ok(state)
        })?;
        if let (Grain::Ordered, [state]) = (pass.grain(), states.as_slice()) {
            return received(state);
        }
        let mut total = pass.start();
        for state in &states {
            total.merge(&received(state)?)?;
        }
        Ok(total.state()?)
    }
}

impl Engine for ShippingEngine {
    fn fold(&self, table: &TableVersion, pass: &dyn Pass, watch: Watch<'_>) -> Result<RecordBatch> {
        pass.columns(&table.schema)?;
        self.fold_rows(table, pass, watch)
    }

    fn map(
        &self,
        table: &TableVersion,
        step: &dyn Transformer,
        into: &Path,
        fingerprint: &str,
        watch: Watch<'_>,
    ) -> Result<(TableVersion, LeftOut)> {
        let columns = step.columns(&table.schema)?;
        let mut writer = PartWriter::create(into, step.output_schema(&table.schema)?, 33_333)?;
        let mut left_out = LeftOut::default();
        let pieces: Vec<Range<u64>> = pieces(table.rows, MAPPED_ROWS).collect();
        let (bytes, shipped) = (table.to_bytes()?, step.spec().to_bytes()?);
        let mapped = self.shared(pieces.len(), &|number| {
            let table = TableVersion::from_bytes(&bytes)?;
            let step = step_from_spec(&StepSpec::from_bytes(&shipped)?, &built_in())?;
            let batches = rows_of(&table, &columns, pieces[number].clone());
            batches
                .map(|batch| Ok(step.transform(&batch?)?))
                .collect::<Result<Vec<Transformed>>>()
        })?;
        for (rows, transformed) in pieces.iter().zip(mapped) {
            for one in transformed {
                left_out += one.left_out;
                writer.write(&one.rows)?;
            }
            going_on(watch(rows.end))?;
        }
        let metadata = vec![
            (FINGERPRINT.to_owned(), fingerprint.to_owned()),
            (LEFT_OUT.to_owned(), serde_json::to_string(&left_out).unwrap()),
        ];
        Ok((writer.finish(metadata)?, left_out))
    }

    fn keep(&self, _table: &TableVersion, _bytes: u64) {}
}

/// What a worker does, knowing nothing but these bytes.
fn folded(table: &[u8], item: &Item) -> Result<Vec<u8>> {
    let table = TableVersion::from_bytes(table)?;
    let pass = pass_from_spec(&StepSpec::from_bytes(&item.pass)?, &built_in())?;
    let columns = pass.columns(&table.schema)?;
    let mut accumulator = pass.start();
    for batch in rows_of(&table, &columns, item.rows.clone()) {
        accumulator.update(&batch?)?;
    }
    let state = accumulator.state()?;
    let mut sent = StreamWriter::try_new(Vec::new(), &state.schema()).unwrap();
    sent.write(&state).unwrap();
    Ok(sent.into_inner().unwrap())
}

fn received(state: &[u8]) -> Result<RecordBatch> {
    Ok(StreamReader::try_new(state, None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap())
}

/// Some rows of a table, in batches of an odd size.
fn rows_of(
    table: &TableVersion,
    columns: &[String],
    rows: Range<u64>,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let mut start = 0;
    let batches = table.scan(Some(columns), at_most(4_999)).unwrap();
    batches.filter_map(move |batch| {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Some(Err(Error::from(error))),
        };
        let (first, end) = (start, start + batch.num_rows() as u64);
        start = end;
        let (from, to) = (rows.start.max(first), rows.end.min(end));
        (from < to).then(|| Ok(batch.slice((from - first) as usize, (to - from) as usize)))
    })
}

fn pieces(rows: u64, each: u64) -> impl Iterator<Item = Range<u64>> {
    (0..rows)
        .step_by(each as usize)
        .map(move |start| start..rows.min(start + each))
}

fn going_on(verdict: ControlFlow<()>) -> Result<()> {
    match verdict {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}
