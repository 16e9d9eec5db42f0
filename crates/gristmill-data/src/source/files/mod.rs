//! Files as a source: Parquet, CSV and Delta tables, through a DataFusion query, in the order of the key.
//!
//! Files have no index. Parquet that is in the order of the key is read in place; everything else is sorted once, into a
//! temporary Parquet file with small row groups. After that, planning and reading a range touch a few row groups.

mod batches;
mod csv;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;
mod guess;
mod input;
mod keys;
mod latin1;
mod location;
mod parquet;
mod query;
mod raw;
mod sorted;
mod told;
mod types;
mod unify;

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::spawn_blocking;

use crate::budget::RowBudget;
use crate::durable::{io, write_failed};
use crate::error::{Error, Result};
use crate::guard::{caught, stopped};
use crate::key::{Key, KeyRange};
use crate::scratch::{self, Scratch};
use crate::settings::SourceSettings;
use crate::source::names::{OwnKey, find_key};
use crate::source::produced::on_thread;
use crate::source::{BatchStream, ColumnType, Estimate, KeyAccess, Notice, Source};
use crate::table::{Listing, list_files};
use input::Input;
use location::{Format, Location};
use query::Query;
use sorted::Sorted;
use told::ToldColumns;

pub(super) use query::TABLE;
pub use raw::{FileRows, TextFormat};

/// Record batches that may wait to be taken.
const BATCHES_AHEAD: usize = 2;

/// Row groups of the sorted copy: small, for each range decodes parts of those at its ends in vain; but not tiny, for what
/// the file says of each is held in memory.
const GROUP_ROWS: usize = 32_768;
const GROUP_BYTES: usize = 16 << 20;

/// A query on files.
#[derive(Clone)]
pub(super) struct Files {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    input: Arc<Input>,
    query: Query,
    columns: Vec<ColumnType>,
    schema: SchemaRef,
    /// Which column is the key.
    key: usize,
    prepared: OnceCell<Arc<Prepared>>,
}

/// The rows in the order of the key.
struct Prepared {
    sorted: Sorted,
}

impl Files {
    /// `rest` is what follows `scheme:` in the URL.
    pub(super) async fn connect(scheme: &str, rest: &str, settings: &SourceSettings) -> Result<Self> {
        let (location, input, query) = opened(scheme, rest, settings).await?;
        let names: Vec<String> = query
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let key = find_key(&names, &settings.key, str::eq).map_err(|error| match error {
            Error::Query { why } => Error::FileQuery { why },
            other => other,
        })?;
        let [key] = key[..] else {
            return Err(Error::FileQuery {
                why: "files take a source.key of one column; make one of several in the query".to_owned(),
            });
        };
        let schema = types::held_schema(&query.schema)?;
        keys::check_key(schema.field(key), query.schema.field(key).data_type())?;
        let columns = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(place, field)| ColumnType {
                name: field.name().clone(),
                database_type: match &query.plain {
                    Some(places) => input.types[places[place]].clone(),
                    None => query.schema.field(place).data_type().to_string(),
                },
                arrow_type: field.data_type().clone(),
                alike: None,
            });
        Ok(Self {
            shared: Arc::new(Shared {
                columns: columns.collect(),
                url: location.url,
                input,
                query,
                schema,
                key,
                prepared: OnceCell::new(),
            }),
        })
    }

    /// The columns of the query. Files have no key of their own.
    pub(super) async fn own_key(scheme: &str, rest: &str, settings: &SourceSettings) -> Result<OwnKey> {
        let (_, _, query) = opened(scheme, rest, settings).await?;
        let columns = query.schema.fields().iter().map(|field| field.name().clone());
        Ok(OwnKey {
            key: None,
            columns: columns.collect(),
        })
    }

    /// What would be read now.
    pub(super) async fn current_snapshot(
        scheme: &str,
        rest: &str,
        settings: &SourceSettings,
    ) -> Result<String> {
        let (location, listing) = listed(scheme, rest, settings).await?;
        blocking("looking at the files", move || {
            input::snapshot(&location, listing.as_ref())
        })
        .await
    }

    /// Rows that come once, as a source: they are kept in a file of our own, which nobody else can open.
    ///
    /// `key` is the place of the key among the columns.
    pub(super) async fn keep(
        url: &str,
        rows: BatchStream,
        columns: Vec<ColumnType>,
        schema: SchemaRef,
        key: usize,
        memory: RowBudget,
    ) -> Result<Self> {
        let input = kept("keeping the rows", schema.clone(), rows).await?;
        let input = Arc::new(input);
        let query = Query::plan(&format!("SELECT * FROM {TABLE}"), &input, memory).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                url: url.to_owned(),
                input,
                query,
                columns,
                schema,
                key,
                prepared: OnceCell::new(),
            }),
        })
    }

    /// The rows in the order of the key, sorted at the first call of all connections.
    async fn prepared(&self) -> Result<Arc<Prepared>> {
        let shared = &self.shared;
        shared
            .prepared
            .get_or_try_init(|| shared.prepare())
            .await
            .cloned()
    }
}

impl Shared {
    async fn prepare(&self) -> Result<Arc<Prepared>> {
        if let (Some(columns), input::Kind::Parquet(_)) = (&self.query.plain, &self.input.kind) {
            let (input, columns, schema, key) =
                (self.input.clone(), columns.clone(), self.schema.clone(), self.key);
            let index = move || {
                let sorted = Sorted::index(input, columns, schema, key)?;
                if let Some(sorted) = &sorted {
                    sorted.unchanged()?;
                }
                Ok(sorted)
            };
            if let Some(sorted) = blocking("reading the keys", index).await? {
                return Ok(Arc::new(Prepared { sorted }));
            }
        }
        let prepared = self.copy().await;
        // Of files that were changed meanwhile, nothing is what it says.
        self.input.unchanged()?;
        prepared.map(Arc::new)
    }

    /// Writes the rows, sorted, into a file of our own, which nobody else can open.
    async fn copy(&self) -> Result<Prepared> {
        // What the sort spills over the disk is no longer needed once its last row is written.
        let spilled = Scratch::new()?;
        let rows = self.query.sorted(&self.input, self.key, spilled.path()).await?;
        let (schema, key) = (self.schema.clone(), self.key);
        let rows = rows.map(move |batch| {
            let batch = batch.map_err(query::failed)?;
            types::to_held(&batch, &schema, |row| sorted::row_name(&batch, &schema, key, row))
        });
        let copy = Arc::new(kept("writing the sorted copy", self.schema.clone(), rows.boxed()).await?);
        let schema = self.schema.clone();
        let columns = (0..schema.fields().len()).collect();
        let sorted = blocking("reading the keys", move || {
            Sorted::index(copy, columns, schema, key)
        })
        .await?;
        let sorted = sorted.ok_or_else(|| Error::Stopped {
            what: "sorting by the key".to_owned(),
            why: "the rows are not in its order".to_owned(),
        })?;
        Ok(Prepared { sorted })
    }
}

impl Source for Files {
    fn describe(&self) -> String {
        self.shared.url.clone()
    }

    fn schema(&self) -> SchemaRef {
        self.shared.schema.clone()
    }

    fn column_types(&self) -> Vec<ColumnType> {
        self.shared.columns.clone()
    }

    fn notices(&self) -> Vec<Notice> {
        self.shared.input.notices()
    }

    fn snapshot(&self) -> String {
        self.shared.input.snapshot.clone()
    }

    /// All read the same files, or the same sorted copy.
    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        let fork: Box<dyn Source> = Box::new(self.clone());
        async { Ok(Some(fork)) }.boxed()
    }

    /// Exact: of a query that is more than columns, by carrying it out.
    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>> {
        async {
            let rows = match self.shared.query.plain {
                Some(_) => self.shared.input.rows,
                None => self.prepared().await?.sorted.rows(),
            };
            Ok(Estimate {
                rows: Some(rows),
                bytes: None,
            })
        }
        .boxed()
    }

    fn key_access(&self, _rows: u64) -> BoxFuture<'_, Result<KeyAccess>> {
        async { Ok(KeyAccess::Files) }.boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move {
            let (prepared, after) = (self.prepared().await?, after.cloned());
            blocking("planning", move || {
                let found = prepared.sorted.boundary(after.as_ref(), rows);
                prepared.sorted.unchanged()?;
                found
            })
            .await
        }
        .boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async { Ok(self.prepared().await?.sorted.has_nulls()) }.boxed()
    }

    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>> {
        async move {
            let (prepared, bounds) = (self.prepared().await?, range.bounds.clone());
            let memory = self.shared.query.memory;
            let what = format!("reading {} ({bounds})", self.shared.url);
            Ok(on_thread(what, move |taker| {
                let sorted = &prepared.sorted;
                let read = sorted
                    .span(&bounds)
                    .and_then(|span| sorted.read(&span, memory, |batch| taker.give_blocking(batch)));
                // The batch counts as read when its end comes, and that must not be so if it was of changed files.
                sorted.unchanged().and(read)
            }))
        }
        .boxed()
    }
}

/// The files of a URL, opened, and the query on them.
async fn opened(
    scheme: &str,
    rest: &str,
    settings: &SourceSettings,
) -> Result<(Location, Arc<Input>, Query)> {
    let (location, listing) = listed(scheme, rest, settings).await?;
    let (input, query) = planned(&location, listing, settings).await?;
    Ok((location, input, query))
}

/// The files, and the query over them. What the settings say of columns of the query is told of those of the files that they are.
///
/// Which these are is known when the query is planned, for which the files must be read. So it goes by the names at first, which
/// most queries keep; the files are read again where that was wrong.
async fn planned(
    location: &Location,
    listing: Option<Listing>,
    settings: &SourceSettings,
) -> Result<(Arc<Input>, Query)> {
    let mut told = ToldColumns::by_name(&settings.text);
    let mut failed: Option<(ToldColumns, Error)> = None;
    let mut traced = !matches!(location.format, Format::Csv(_));
    loop {
        let (place, listing, telling) = (location.clone(), listing.clone(), told.clone());
        let open = move || Input::open(&place, listing, telling);
        let input = Arc::new(blocking("opening the files", open).await?);
        let query = match Query::plan(&settings.query, &input, settings.memory).await {
            Ok(query) => query,
            // It may fail for what was told of a column that only has the name.
            Err(error) if !traced && !told.columns.is_empty() => {
                let nothing = told.nothing();
                failed = Some((std::mem::replace(&mut told, nothing), error));
                continue;
            }
            Err(error) => return Err(error),
        };
        if traced {
            return Ok((input, query));
        }
        let names: Vec<String> = input
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let of_query = ToldColumns::by_origin(&settings.text, &query.origins, &names);
        if let Some((_, error)) = failed.take_if(|(failed, _)| failed.is_same(&of_query, &names)) {
            return Err(error);
        }
        if told.is_same(&of_query, &names) {
            return Ok((input, query));
        }
        told = of_query;
        traced = true;
    }
}

/// Where the files of a URL are, with those of a Delta table.
async fn listed(scheme: &str, rest: &str, settings: &SourceSettings) -> Result<(Location, Option<Listing>)> {
    let location = Location::parse(&settings.url.to_string(), scheme, rest)?;
    let listing = match &location.format {
        Format::Delta { version } if location.path().is_dir() => {
            Some(list_files(location.path(), *version).await?)
        }
        Format::Delta { .. } => {
            return Err(location.failed(format!("there is no folder {}", location.path().display())));
        }
        _ => None,
    };
    Ok((location, listing))
}

/// Rows, written into a Parquet file of our own, which nobody else can open.
async fn kept(what: &str, schema: SchemaRef, mut rows: BatchStream) -> Result<Input> {
    let (sender, mut receiver) = mpsc::channel::<RecordBatch>(BATCHES_AHEAD);
    let writing = blocking(what, move || {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .build();
        // Where errors say that it is.
        let to = scratch::base();
        let file = scratch::unnamed()?;
        let read = file.try_clone().map_err(io(&to))?;
        let mut writer = ArrowWriter::try_new(file, schema, Some(properties))?;
        while let Some(batch) = receiver.blocking_recv() {
            writer.write(&batch).map_err(write_failed(&to))?;
            if writer.in_progress_size() > GROUP_BYTES {
                writer.flush().map_err(write_failed(&to))?;
            }
        }
        writer.close().map_err(write_failed(&to))?;
        Input::parquet("", vec![parquet::ParquetFile::unnamed(read, &to)?], None)
    });
    let reading = async move {
        while let Some(batch) = rows.next().await {
            // Nobody receives any more where writing failed.
            if sender.send(batch?).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let (read, written) = futures::join!(reading, writing);
    read.and(written)
}

async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match spawn_blocking(|| caught(work)).await {
        Ok(done) => done.unwrap_or_else(|panic| Err(stopped(what, panic))),
        Err(cancelled) => Err(stopped(what, cancelled)),
    }
}
