//! The writing of a table, batch by batch: each in one transaction with the note that it is there.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use xxhash_rust::xxh3::xxh3_64;

use crate::count::counted;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::guard::caught_async;
use crate::sink::database::{Database, Name, Target, Value};
use crate::sink::exact::{fitted, plain};
use crate::sink::progress::{Notes, Progress, State};
use crate::sink::{IfExists, TableSettings, mysql, of_output, postgres, sqlite};

/// What depends on a table, as far as a message names it.
const SHOWN_DEPENDENTS: usize = 5;

/// A table that is to be written.
pub enum Opened {
    /// An earlier process wrote all of it.
    Complete(Progress),
    /// There is more to write.
    Open(Box<TableWriter>),
}

/// Writes the rows of a table, after those that are noted as written.
pub struct TableWriter {
    database: Box<dyn Database>,
    settings: TableSettings,
    notes: Notes,
    /// The table that the rows are for.
    table: Name,
    /// The table that they are written to, which differs where another is replaced.
    target: Target,
    progress: Progress,
    /// Whether a transaction is under way, and the rows in it.
    batch: Option<u64>,
    /// Whether this process began the table, or wrote a batch of it.
    is_ours: bool,
}

impl TableWriter {
    /// Connects, and begins the table or goes on with it. `columns` are those of the rows, `now` is the time in microseconds
    /// since 1970.
    ///
    /// # Errors
    /// When the database cannot be reached, the table is there and not to be written to, or a column does not fit.
    pub async fn open(settings: TableSettings, columns: &Schema, now: i64) -> Result<Opened> {
        settings
            .url
            .usable()
            .map_err(|error| of_output(&settings.url.to_string(), error))?;
        let what = format!("writing to {}", settings.url);
        caught_async(&what, open(settings, columns, now)).await
    }

    /// How far it has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Adds rows to the batch that is under way, or begins one.
    ///
    /// # Errors
    /// When the database refuses them, a value does not fit into its column, or another process writes the same.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let number = self.progress.rows + self.batch.unwrap_or_default();
        let (url, table) = (self.database.url().to_owned(), self.settings.table.clone());
        let wrong = |(row, why): (usize, String)| Error::Write {
            url: url.clone(),
            why: format!("table `{table}`, row {}: {why}", number + row as u64 + 1),
        };
        let rows = fitted(rows, &self.target.columns).map_err(wrong)?;
        for column in self.target.upsert.iter().flatten() {
            let keys = rows.column_by_name(column).filter(|keys| keys.null_count() > 0);
            if let Some(row) = keys.and_then(|keys| (0..keys.len()).find(|row| keys.is_null(*row))) {
                return Err(wrong((
                    row,
                    format!("the key `{column}` is null, by which no row is found again"),
                )));
            }
        }
        if self.batch.is_none() {
            self.begin_batch().await?;
        }
        self.database.send(&self.target, &rows).await?;
        *self.batch.get_or_insert(0) += rows.num_rows() as u64;
        Ok(())
    }

    /// Rows of the batch that is under way.
    pub fn rows_of_batch(&self) -> u64 {
        self.batch.unwrap_or_default()
    }

    /// Ends a batch: its rows are in the table, and it is noted that they are. `position` tells a later process where to go on.
    ///
    /// # Errors
    /// When the database fails; then none of the batch is there.
    pub async fn commit(&mut self, position: Option<&str>) -> Result<()> {
        if self.batch.is_none() {
            self.begin_batch().await?;
        }
        let rows = self.progress.rows + self.batch.unwrap_or_default();
        self.database.end_rows(&self.target).await?;
        self.notes.note(self.database.as_mut(), rows, position).await?;
        failpoint::hit("rows-written");
        self.database.commit().await?;
        failpoint::hit("rows-committed");
        self.batch = None;
        self.is_ours = true;
        self.progress.rows = rows;
        self.progress.batches += 1;
        self.progress.position = position.map(str::to_owned);
        Ok(())
    }

    /// Ends the table; returns what is in it by this writing.
    ///
    /// # Errors
    /// When the database fails, or the table cannot take the place of another.
    pub async fn finish(mut self) -> Result<Progress> {
        match self.end().await {
            Ok(()) => Ok(self.progress),
            Err(error) => {
                if !error.may_pass() {
                    // What failed before is what is told.
                    let _failed = self.abandon().await;
                }
                Err(error)
            }
        }
    }

    async fn end(&mut self) -> Result<()> {
        if self.batch.is_some() {
            self.commit(None).await?;
        }
        if self.settings.if_exists == IfExists::Replace {
            self.notes.set(self.database.as_mut(), State::Replacing).await?;
            failpoint::hit("table-replacing");
            replace(
                self.database.as_mut(),
                &self.notes,
                &self.target.table,
                &self.table,
            )
            .await?;
        } else {
            self.notes.set(self.database.as_mut(), State::Complete).await?;
        }
        failpoint::hit("table-complete");
        Ok(())
    }

    /// Gives up. Of a table that was to take the place of another nothing is left; other tables keep what was committed, from which
    /// another process goes on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn abandon(mut self) -> Result<()> {
        if self.settings.if_exists != IfExists::Replace || !self.is_ours {
            return Ok(());
        }
        let database = self.database.as_mut();
        // There may be no transaction to end.
        let _ended = database.rollback().await;
        let drop = format!("DROP TABLE IF EXISTS {}", database.table(&self.target.table));
        database.begin().await?;
        // Unless another process has gone on with it meanwhile.
        if !self.notes.forget(database, self.progress.batches).await? {
            return database.rollback().await;
        }
        database.execute(&drop, &[]).await?;
        database.commit().await
    }

    async fn begin_batch(&mut self) -> Result<()> {
        self.database.begin().await?;
        let taken = self
            .notes
            .take(self.database.as_mut(), self.progress.batches)
            .await?;
        if !taken {
            self.database.rollback().await?;
            return Err(busy(&self.settings));
        }
        self.database.begin_rows(&self.target).await?;
        self.batch = Some(0);
        Ok(())
    }
}

async fn open(settings: TableSettings, columns: &Schema, now: i64) -> Result<Opened> {
    let mut database = connect(&settings).await?;
    let database_mut = database.as_mut();
    let table = database_mut.name(&settings.table);
    let notes = Notes::of(database_mut, &table, &settings.identity).await?;
    // No other writing has its new table under this name.
    let name = format!("{} {}", settings.table, settings.identity);
    let new = table.beside(&format!("gristmill_new_{:016x}", xxh3_64(name.as_bytes())));
    let is_replaced = settings.if_exists == IfExists::Replace;
    let written = if is_replaced { &new } else { &table };
    let is_there = database_mut.columns(&table).await?.is_some();
    let noted = notes.read(database_mut).await?;
    let mut is_ours = false;
    let progress = match &noted {
        Some((State::Complete, progress)) if is_there && !settings.fresh => {
            check_there(database_mut, &settings, &table, progress).await?;
            return Ok(Opened::Complete(progress.clone()));
        }
        Some((State::Replacing, progress)) => {
            replace(database_mut, &notes, &new, &table).await?;
            return Ok(Opened::Complete(progress.clone()));
        }
        Some((State::Writing, progress)) if database_mut.columns(written).await?.is_some() => {
            progress.clone()
        }
        _ => {
            if is_there && settings.if_exists == IfExists::Fail {
                return Err(is_there_already(&settings));
            }
            if is_there && is_replaced {
                check_replaceable(database_mut, &settings, &table).await?;
            }
            if is_there && !is_replaced {
                // Before it is noted that a writing began.
                target_of(database_mut, &settings, &table, columns).await?;
            }
            database_mut.begin().await?;
            let begun = notes
                .begin(database_mut, noted.as_ref(), settings.if_exists, now)
                .await;
            if !matches!(begun, Ok(true)) {
                database_mut.rollback().await?;
                let before = noted.as_ref().map(|(_, progress)| progress);
                let after = notes.read(database_mut).await?;
                // Another process was first.
                if begun.is_ok() || after.as_ref().map(|(_, progress)| progress) != before {
                    return Err(busy(&settings));
                }
                begun?;
            }
            if is_replaced {
                let drop = format!("DROP TABLE IF EXISTS {}", database_mut.table(&new));
                database_mut.execute(&drop, &[]).await?;
            }
            if is_replaced || !is_there {
                let sql = create(database_mut, &settings, written, columns)?;
                database_mut.execute(&sql, &[]).await?;
            }
            database_mut.commit().await?;
            failpoint::hit("table-begun");
            is_ours = true;
            Progress {
                batches: 0,
                rows: 0,
                position: None,
                begun: now,
            }
        }
    };
    let target = target_of(database_mut, &settings, written, columns).await?;
    Ok(Opened::Open(Box::new(TableWriter {
        database,
        settings,
        notes,
        table,
        target,
        progress,
        batch: None,
        is_ours,
    })))
}

/// Refuses to replace a table that is read for that, or that others depend on: in the end it could not be dropped.
async fn check_replaceable(
    database: &mut dyn Database,
    settings: &TableSettings,
    table: &Name,
) -> Result<()> {
    if !settings.reads_tables.is_empty()
        && let Some(identity) = database.identity(table).await?
        && settings.reads_tables.contains(&identity)
    {
        return Err(unfit(
            settings,
            "the query reads it, so that it cannot be replaced by what is made of it; give another --table"
                .to_owned(),
        ));
    }
    let dependents = database.dependents(table).await?;
    if dependents.is_empty() {
        return Ok(());
    }
    let more = dependents.len().saturating_sub(SHOWN_DEPENDENTS);
    let shown = dependents[..dependents.len() - more].join(", ");
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(unfit(
        settings,
        format!(
            "it cannot be replaced, for others depend on it: {shown}{more}; drop them, or keep the table and its columns with \
             --if-exists append or upsert"
        ),
    ))
}

/// Refuses a table that lost rows since they were written. An upsert may write fewer than it is given.
async fn check_there(
    database: &mut dyn Database,
    settings: &TableSettings,
    table: &Name,
    progress: &Progress,
) -> Result<()> {
    let count = format!("SELECT count(*) FROM {}", database.table(table));
    let there = database.row(&count, &[]).await?;
    let there = there
        .and_then(|row| row.first().map(Value::number))
        .unwrap_or_default();
    let least = match settings.if_exists {
        IfExists::Upsert => progress.rows.min(1),
        _ => progress.rows,
    };
    if there >= least {
        return Ok(());
    }
    Err(unfit(
        settings,
        format!(
            "it has {}, and {} of this prediction were written to it: others removed some since; to write them again, give \
             --fresh with --if-exists append, upsert or replace",
            counted(there, "row"),
            counted(progress.rows, "row"),
        ),
    ))
}

async fn connect(settings: &TableSettings) -> Result<Box<dyn Database>> {
    let url = settings.url.to_string();
    let connected: Result<Box<dyn Database>> = match settings.url.scheme() {
        "sqlite" => sqlite::Sqlite::open(settings).map(|database| Box::new(database) as _),
        "postgres" | "postgresql" => {
            let database = postgres::Postgres::connect(&settings.url).await;
            database.map(|database| Box::new(database) as _)
        }
        "mysql" | "mariadb" => {
            let database = mysql::MySql::connect(&settings.url).await;
            database.map(|database| Box::new(database) as _)
        }
        _ => Err(settings.url.wrong("no table can be written to it".to_owned())),
    };
    connected.map_err(|error| of_output(&url, error))
}

/// Puts a table in the place of another, which is dropped; or finds that this was done.
async fn replace(database: &mut dyn Database, notes: &Notes, new: &Name, table: &Name) -> Result<()> {
    let old = table.beside(&new.table.replacen("gristmill_new_", "gristmill_old_", 1));
    let drop =
        |database: &dyn Database, table: &Name| format!("DROP TABLE IF EXISTS {}", database.table(table));
    let transactional = database.has_transactional_tables();
    let is_made = database.columns(new).await?.is_some();
    if is_made && !transactional {
        // One statement, which does both or none.
        let mut renames = database.rename(new, table);
        if database.columns(table).await?.is_some() {
            renames = format!(
                "{}, {} TO {}",
                database.rename(table, &old),
                database.table(new),
                database.table(table)
            );
        }
        database.execute(&renames, &[]).await?;
        failpoint::hit("table-replaced");
    }
    if !transactional {
        let sql = drop(database, &old);
        database.execute(&sql, &[]).await?;
    }
    database.begin().await?;
    if is_made && transactional {
        let sql = drop(database, table);
        database.execute(&sql, &[]).await?;
        let sql = database.rename(new, table);
        database.execute(&sql, &[]).await?;
    }
    notes.forget_others(database).await?;
    notes.set(database, State::Complete).await?;
    if transactional {
        failpoint::hit("table-replaced");
    }
    database.commit().await
}

fn create(
    database: &dyn Database,
    settings: &TableSettings,
    table: &Name,
    columns: &Schema,
) -> Result<String> {
    let is_key = |name: &String| settings.if_exists == IfExists::Upsert && settings.key.contains(name);
    let declared = columns.fields().iter().map(|field| {
        let mut kind = plain(field.data_type());
        let known = settings.types.iter().find(|(name, _)| name == field.name());
        if let (DataType::Utf8, Some((_, known))) = (&kind, known) {
            kind = known.clone();
        }
        let declared = database.declared(&kind, is_key(field.name()));
        let declared = declared.ok_or_else(|| no_type(settings, field.name(), field.data_type()))?;
        let not_null = if is_key(field.name()) { " NOT NULL" } else { "" };
        Ok(format!("{} {declared}{not_null}", database.quoted(field.name())))
    });
    let mut parts = declared.collect::<Result<Vec<String>>>()?;
    if settings.if_exists == IfExists::Upsert {
        let key: Vec<String> = settings.key.iter().map(|name| database.quoted(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(format!(
        "CREATE TABLE {} ({}){}",
        database.table(table),
        parts.join(", "),
        database.table_options()
    ))
}

/// The columns of a table that is there, as the rows are to have them.
async fn target_of(
    database: &mut dyn Database,
    settings: &TableSettings,
    table: &Name,
    columns: &Schema,
) -> Result<Target> {
    // It was there a moment ago: another process has given it its final name, or dropped it.
    let there = database.columns(table).await?.ok_or_else(|| busy(settings))?;
    let fields = columns.fields().iter().map(|field| {
        let column = there.iter().find(|column| column.name == *field.name());
        let Some(column) = column else {
            let names: Vec<&str> = there.iter().map(|column| column.name.as_str()).collect();
            return Err(unfit(
                settings,
                format!(
                    "it has no column `{}`; its columns are: {}",
                    field.name(),
                    names.join(", ")
                ),
            ));
        };
        match &column.takes {
            Ok(Some(values)) => Ok(Field::new(field.name(), values.clone(), true)),
            Ok(None) => Ok(Field::new(field.name(), plain(field.data_type()), true)),
            Err(kind) => Err(unfit(
                settings,
                format!(
                    "its column `{}` has type {kind}, which cannot be written here",
                    field.name()
                ),
            )),
        }
    });
    let target = Target {
        table: table.clone(),
        columns: fields.collect::<Result<_>>()?,
        upsert: (settings.if_exists == IfExists::Upsert).then(|| settings.key.clone()),
    };
    match database.refusal(&target).await? {
        Some(why) => Err(unfit(settings, why)),
        None => Ok(target),
    }
}

fn busy(settings: &TableSettings) -> Error {
    Error::Write {
        url: settings.url.to_string(),
        why: format!(
            "another process writes the same rows to table `{}`, or has begun to write others; wait for its end, and run again",
            settings.table
        ),
    }
}

fn unfit(settings: &TableSettings, why: String) -> Error {
    Error::Table {
        url: settings.url.to_string(),
        table: settings.table.clone(),
        why,
    }
}

fn is_there_already(settings: &TableSettings) -> Error {
    unfit(
        settings,
        "it is there already; --if-exists append adds rows, --if-exists upsert also replaces those with the same key, and \
         --if-exists replace puts a new table in its place"
            .to_owned(),
    )
}

fn no_type(settings: &TableSettings, column: &str, values: &DataType) -> Error {
    unfit(
        settings,
        format!(
            "there is no type of a column for `{column}`, which is {values}; leave it out, or make it text"
        ),
    )
}
