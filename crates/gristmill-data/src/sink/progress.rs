//! What is noted of a writing, in a table beside the one that is written: in the transaction of each batch, which batch it is.

use chrono::{DateTime, NaiveDateTime};

use crate::error::Result;
use crate::sink::database::{Database, Name, Value};
use crate::sink::{IfExists, PROGRESS_TABLE};

/// How the time is written.
const TIME: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// How far a writing has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Batches that are in the table.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// What the writer noted of the last of them, to go on after it.
    pub position: Option<String>,
    /// When the writing was begun: microseconds since 1970.
    pub begun: i64,
}

/// The states of a writing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// There may be more batches.
    Writing,
    /// All batches are in a new table, which takes the place of the old one.
    Replacing,
    /// All is in the table.
    Complete,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Replacing => "replacing",
            Self::Complete => "complete",
        }
    }
}

/// The notes of one writing.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    /// The table of all notes.
    table: Name,
    /// The table that is written, and the writing.
    of: [Value; 2],
}

impl Notes {
    /// Those of the writing `identity` of a table; makes their table if need be.
    pub(super) async fn of(database: &mut dyn Database, target: &Name, identity: &str) -> Result<Self> {
        let table = target.beside(PROGRESS_TABLE);
        let name = database.table(&table);
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {name} (target VARCHAR(200) NOT NULL, identity VARCHAR(64) NOT NULL, \
             mode VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL, batches BIGINT NOT NULL, rows_written BIGINT NOT NULL, \
             position TEXT, predicted_at VARCHAR(32) NOT NULL, PRIMARY KEY (target, identity)){}",
            database.table_options()
        );
        if database.columns(&table).await?.is_none()
            && let Err(error) = database.execute(&sql, &[]).await
        {
            // Two may make it at the same time.
            if database.columns(&table).await?.is_none() {
                return Err(error);
            }
        }
        Ok(Self {
            table,
            of: [target.table.as_str().into(), identity.into()],
        })
    }

    /// What is noted.
    pub(super) async fn read(&self, database: &mut dyn Database) -> Result<Option<(State, Progress)>> {
        let sql = format!(
            "SELECT state, batches, rows_written, position, predicted_at FROM {} WHERE target = ? AND identity = ?",
            database.table(&self.table)
        );
        let Some(row) = database.row(&sql, &self.of).await? else {
            return Ok(None);
        };
        let states = [State::Writing, State::Replacing, State::Complete];
        let state = states.into_iter().find(|state| state.name() == row[0].text());
        let begun = NaiveDateTime::parse_from_str(row[4].text(), TIME);
        let progress = Progress {
            batches: row[1].number(),
            rows: row[2].number(),
            position: Some(row[3].text().to_owned()).filter(|text| !text.is_empty()),
            begun: begun.map_or(0, |time| time.and_utc().timestamp_micros()),
        };
        Ok(Some((state.unwrap_or(State::Writing), progress)))
    }

    /// Notes that a writing begins, in the place of what was noted of it before; says whether it is still that.
    pub(super) async fn begin(
        &self,
        database: &mut dyn Database,
        before: Option<&(State, Progress)>,
        mode: IfExists,
        now: i64,
    ) -> Result<bool> {
        let table = database.table(&self.table);
        if let Some((state, progress)) = before {
            let sql = format!(
                "DELETE FROM {table} WHERE target = ? AND identity = ? AND state = ? AND batches = ?"
            );
            let [target, identity] = self.of.clone();
            let values = [target, identity, state.name().into(), progress.batches.into()];
            if database.execute(&sql, &values).await? != 1 {
                return Ok(false);
            }
        }
        if mode == IfExists::Upsert {
            // What others wrote is about to be mixed with this.
            self.forget_others(database).await?;
        }
        let time = DateTime::from_timestamp_micros(now).unwrap_or_default();
        let time = time.naive_utc().format(TIME).to_string();
        let sql = format!(
            "INSERT INTO {table} (target, identity, mode, state, batches, rows_written, position, predicted_at) \
             VALUES (?, ?, ?, 'writing', 0, 0, NULL, ?)"
        );
        let [target, identity] = self.of.clone();
        let values = [target, identity, mode.name().into(), time.as_str().into()];
        database.execute(&sql, &values).await?;
        Ok(true)
    }

    /// Takes the next batch, so that no other transaction can; says whether it is the next, of a writing that goes on.
    pub(super) async fn take(&self, database: &mut dyn Database, batch: u64) -> Result<bool> {
        let sql = format!(
            "UPDATE {} SET batches = ? WHERE target = ? AND identity = ? AND state = 'writing' AND batches = ?",
            database.table(&self.table)
        );
        let [target, identity] = self.of.clone();
        let values = [(batch + 1).into(), target, identity, batch.into()];
        Ok(database.execute(&sql, &values).await? == 1)
    }

    /// Notes what is in the table with the batch that was taken.
    pub(super) async fn note(
        &self,
        database: &mut dyn Database,
        rows: u64,
        position: Option<&str>,
    ) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET rows_written = ?, position = ? WHERE target = ? AND identity = ?",
            database.table(&self.table)
        );
        let [target, identity] = self.of.clone();
        let position = position.map_or(Value::Null, Value::from);
        let values = [rows.into(), position, target, identity];
        database.execute(&sql, &values).await.map(drop)
    }

    /// Notes the state of a writing of so many batches.
    pub(super) async fn set(&self, database: &mut dyn Database, state: State) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET state = ? WHERE target = ? AND identity = ?",
            database.table(&self.table)
        );
        let [target, identity] = self.of.clone();
        let values = [state.name().into(), target, identity];
        database.execute(&sql, &values).await.map(drop)
    }

    /// Removes what is noted of a writing of so many batches that is not complete; says whether it was there.
    pub(super) async fn forget(&self, database: &mut dyn Database, batches: u64) -> Result<bool> {
        let sql = format!(
            "DELETE FROM {} WHERE target = ? AND identity = ? AND batches = ? AND state <> 'complete'",
            database.table(&self.table)
        );
        let [target, identity] = self.of.clone();
        Ok(database
            .execute(&sql, &[target, identity, batches.into()])
            .await?
            == 1)
    }

    /// Notes that the rows of all other writings are no longer what they were: they were replaced, or are about to be.
    pub(super) async fn forget_others(&self, database: &mut dyn Database) -> Result<()> {
        let table = database.table(&self.table);
        for which in ["mode <> 'replace'", "state = 'complete'"] {
            let sql = format!("DELETE FROM {table} WHERE target = ? AND identity <> ? AND {which}");
            database.execute(&sql, &self.of).await?;
        }
        Ok(())
    }
}
