//! A query that is read once, by one statement, into a file of our own, which the batches are then read from.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::budget::RowBudget;
use crate::error::{Error, Result};
use crate::key::{Key, KeyRange};
use crate::settings::SourceSettings;
use crate::source::files::Files;
use crate::source::stability::Stability;
use crate::source::{BatchStream, ColumnType, Estimate, KeyAccess, Source};

/// A database that can be asked for all rows of the query by one statement.
pub(super) trait Whole: Source {
    /// How the rows may be read.
    fn stability(&self) -> &Stability;

    /// The places of the columns of the key.
    fn key(&self) -> &[usize];

    /// All rows, in the order of the key, those without a key at one of the ends.
    fn all(&self) -> BoxFuture<'_, Result<BatchStream>>;
}

/// The rows of one statement.
#[derive(Clone)]
struct Once {
    shared: Arc<Shared>,
}

struct Shared {
    source: Box<dyn Whole>,
    why: String,
    key: usize,
    memory: RowBudget,
    rows: OnceCell<Files>,
}

/// The source itself where ranges may be read from it, and else one that reads it once.
///
/// # Errors
/// When it gives other rows in each run, or has a key of several columns and is to be read once.
pub(super) fn readable(source: impl Whole + 'static, settings: &SourceSettings) -> Result<Box<dyn Source>> {
    let Some(why) = source.stability().once()? else {
        return Ok(Box::new(source));
    };
    let [key] = *source.key() else {
        return Err(Error::Query {
            why: format!(
                "it has {why}, and so is read by one statement, which takes a source.key of one column; make one of several in \
                 the query, or write its result to a table and read that"
            ),
        });
    };
    Ok(Box::new(Once {
        shared: Arc::new(Shared {
            source: Box::new(source),
            why,
            key,
            memory: settings.memory,
            rows: OnceCell::new(),
        }),
    }))
}

impl Once {
    /// The rows, read at the first call of all connections.
    async fn rows(&self) -> Result<&Files> {
        let shared = &self.shared;
        shared.rows.get_or_try_init(|| shared.read()).await
    }
}

impl Shared {
    async fn read(&self) -> Result<Files> {
        Files::keep(
            &self.source.describe(),
            self.source.all().await?,
            self.source.column_types(),
            self.source.schema(),
            self.key,
            self.memory,
        )
        .await
    }
}

impl Source for Once {
    fn describe(&self) -> String {
        self.shared.source.describe()
    }

    fn schema(&self) -> SchemaRef {
        self.shared.source.schema()
    }

    fn column_types(&self) -> Vec<ColumnType> {
        self.shared.source.column_types()
    }

    fn tables(&self) -> Vec<String> {
        self.shared.source.tables()
    }

    fn snapshot(&self) -> String {
        self.shared.source.snapshot()
    }

    /// Another statement may choose other rows.
    fn resumes(&self) -> bool {
        false
    }

    fn fork(&self) -> BoxFuture<'_, Result<Option<Box<dyn Source>>>> {
        let fork: Box<dyn Source> = Box::new(self.clone());
        async { Ok(Some(fork)) }.boxed()
    }

    fn estimate(&self) -> BoxFuture<'_, Result<Estimate>> {
        self.shared.source.estimate()
    }

    fn key_access(&self, _rows: u64) -> BoxFuture<'_, Result<KeyAccess>> {
        async { Ok(KeyAccess::Once(self.shared.why.clone())) }.boxed()
    }

    fn boundary<'a>(&'a self, after: Option<&'a Key>, rows: u64) -> BoxFuture<'a, Result<Option<Key>>> {
        async move { self.rows().await?.boundary(after, rows).await }.boxed()
    }

    fn has_null_keys(&self) -> BoxFuture<'_, Result<bool>> {
        async { self.rows().await?.has_null_keys().await }.boxed()
    }

    fn read<'a>(&'a self, range: &'a KeyRange) -> BoxFuture<'a, Result<BatchStream>> {
        async move { self.rows().await?.read(range).await }.boxed()
    }
}
