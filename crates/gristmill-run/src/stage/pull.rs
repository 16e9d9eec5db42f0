//! Pull: from the database to the complete dataset.

use std::path::Path;
use std::time::Instant;

use gristmill_data::pull::{BatchCost, Pace, Progress, Pulled, pull};
use gristmill_data::run_key::RunKey;
use gristmill_data::source::{ColumnType, Source};
use gristmill_data::table::{BatchRecord, DatasetIdentity, Ledger, compact};

use super::Teller;
use crate::error::Result;
use crate::event::{self, Detail, Event, Observe, StageResult, Warning};
use crate::settings::Pipeline;

/// The identity of the dataset that a pipeline makes from columns like these; `types` says what the source knows of them, and is
/// empty where it was not asked. `key` is that of the folder that the dataset is in.
pub(crate) fn identity(
    pipeline: &Pipeline,
    schema: &arrow::datatypes::Schema,
    types: &[ColumnType],
    key: Option<&RunKey>,
) -> Result<DatasetIdentity> {
    let source = &pipeline.source;
    let identity = DatasetIdentity::new(
        &source.url.to_string(),
        &source.query,
        &source.key,
        &pipeline.clean,
        schema,
    )?;
    let types = types
        .iter()
        .map(|column| (&*column.name, &*column.database_type, column.alike.as_ref()));
    Ok(identity.with_types(types).keyed(&source.url, key))
}

/// The dataset in `dir`, if it is complete and made by just this pipeline: then no database is needed.
pub(crate) fn complete(
    ledger: &Ledger,
    pipeline: &Pipeline,
    schema: &arrow::datatypes::Schema,
) -> Result<bool> {
    let key = RunKey::read(&pipeline.run.dir)?;
    let identity = identity(pipeline, schema, &[], key.as_ref())?;
    Ok(ledger.record.complete
        && identity.has_variables() <= key.is_some()
        && ledger.identity.difference(&identity).is_none())
}

fn pulled_batch(batch: &BatchRecord, cost: BatchCost) -> Detail {
    Detail::Batch {
        number: batch.number,
        range: batch.bounds.to_string(),
        rows_read: batch.rows_read,
        rows_kept: batch.rows_kept,
        seconds: cost.seconds,
        retries: cost.retries,
    }
}

/// Merges the small files of the complete dataset, where a run before was not killed after that.
pub(crate) async fn tidy(pipeline: &Pipeline, dir: &Path, observe: &dyn Observe) -> Result<()> {
    let started = Instant::now();
    let compacted = compact(dir, pipeline.target_file_size, pipeline.source.memory).await?;
    if compacted.into > 0 {
        observe.event(Event::Detail(Detail::Merged {
            from: compacted.from,
            into: compacted.into,
            seconds: started.elapsed().as_secs_f64(),
        }));
    }
    Ok(())
}

/// Brings the dataset to completion; returns it with the seconds that took.
pub(crate) async fn run(
    source: Box<dyn Source>,
    pipeline: &Pipeline,
    dir: &Path,
    observe: &dyn Observe,
) -> Result<(Pulled, f64)> {
    let rows = source.estimate().await?.rows;
    let teller = Teller::start(observe, "pull", "rows", rows);
    let access = source.key_access(pipeline.batch_rows).await?;
    if let Some(warning) = Warning::of_key(&access, rows, pipeline.batch_rows) {
        observe.event(Event::Warning(warning));
    }
    let mut bytes = 0;
    let types = source.column_types();
    let mut key = RunKey::read(&pipeline.run.dir)?;
    // A key made now could tell nothing of a dataset that is there.
    if identity(pipeline, &source.schema(), &types, None)?.has_variables()
        && Ledger::read(dir).await?.is_none()
    {
        key = Some(RunKey::read_or_make(&pipeline.run.dir)?);
    }
    let identity = identity(pipeline, &source.schema(), &types, key.as_ref())?;
    let mut tell = |progress: Progress<'_>| match progress {
        Progress::Resumed {
            totals,
            other_snapshot,
        } => {
            observe.event(Event::Detail(Detail::PullResumed {
                batches: totals.batches_read,
                rows: totals.rows_read,
            }));
            teller.resumed(totals.rows_read);
            if other_snapshot {
                observe.event(Event::Warning(Warning::LaterSnapshot));
            }
        }
        Progress::Anew { totals } => {
            let rows = totals.rows_kept;
            observe.event(Event::Warning(Warning::StartedAnew { rows }));
            teller.resumed(0);
        }
        Progress::Batch { batch, cost, totals } => {
            observe.event(Event::Detail(pulled_batch(batch, cost)));
            bytes += cost.bytes;
            let megabytes_per_second = bytes as f64 / 1e6 / teller.seconds().max(1e-9);
            // Whether to stop is asked all the while.
            let _ = teller.progress(totals.rows_read, event::Pace::Pull { megabytes_per_second });
        }
        Progress::Warning(why) => observe.event(Event::Warning(Warning::Connection { why })),
        Progress::Committed {
            version,
            batches,
            seconds,
        } => {
            observe.event(Event::Detail(Detail::Committed {
                version,
                batches,
                seconds,
            }));
        }
    };
    let pace = Pace::new(pipeline.batch_rows, pipeline.connections, pipeline.consistency);
    let pulled = pull(source, &pipeline.source, identity, dir, pace, &mut tell).await?;
    tidy(pipeline, dir, observe).await?;
    let seconds = teller.finish(StageResult::Pulled {
        rows_read: pulled.totals.rows_read,
        batches: pulled.totals.batches_read,
        rows_kept: pulled.totals.rows_kept,
    });
    Ok((pulled, seconds))
}
