//! A transaction that only reads, on a snapshot that other connections can join.

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::error::{Error, Result};
use crate::source::postgres::errors::{query_error, server_message};

/// Text forms that read back as the same value, whatever the server's defaults. Each batch is planned anew, and compiling
/// so many plans costs more than it saves.
const SETTINGS: &str = "SET LOCAL datestyle = 'ISO'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL jit = off";

/// The limits that are lifted when the connection is opened, for those who do not let that through. Not every server knows
/// all.
const NO_LIMITS: &str = "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', \
    'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// Rows that a policy hides from the role are an error, as in `pg_dump`, unless the URL's `options` say otherwise: they would be
/// missing from the dataset without a word.
const NO_HIDDEN_ROWS: &str = "SELECT set_config(name, 'off', true) FROM pg_settings \
    WHERE name = 'row_security' AND source <> 'client'";

/// How far a standby has come; null elsewhere.
const REPLAYED: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text";

/// Which server this is, in which of its histories, and since when it runs: a copy that was restored or promoted, and a log
/// that was reset, count transactions that have the numbers of others.
const SERVER: &str = "SELECT (SELECT system_identifier FROM pg_control_system()) || ', timeline ' || CASE \
    WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())::text \
    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END || ', started ' || extract(epoch FROM pg_postmaster_start_time())";

/// Which database of which server this is.
pub(crate) const DATABASE: &str = "SELECT pg_postmaster_start_time() || ' ' || oid FROM pg_database WHERE datname = \
    current_database()";

/// The snapshot of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// What is visible in it. The same text says the same as long as nothing was committed.
    pub(super) name: String,
    /// What another transaction joins it by, as long as this one lasts.
    exported: String,
}

/// Begins the transaction, on a snapshot of its own or on that of `join`.
pub(super) async fn begin(client: &Client, url: &str, join: Option<&Snapshot>) -> Result<Snapshot> {
    let failed = |error| query_error(url, &error);
    // Not every account may ask.
    let server = values(client, SERVER)
        .await
        .ok()
        .and_then(|found| found.into_iter().next()?);
    let before = values(client, REPLAYED).await.map_err(failed)?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(failed)?;
    if let Some(snapshot) = join {
        // No statement that takes parameters can say this. The server made the text: digits, letters and dashes.
        let id: String = snapshot
            .exported
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        let joined = client
            .batch_execute(&format!("SET TRANSACTION SNAPSHOT '{id}'"))
            .await;
        joined.map_err(|error| match error.as_db_error() {
            Some(server) if is_gone(server) => Error::SnapshotGone {
                url: url.to_owned(),
                why: server_message(server, ""),
            },
            _ => failed(error),
        })?;
    }
    client.batch_execute(SETTINGS).await.map_err(failed)?;
    client.simple_query(NO_LIMITS).await.map_err(failed)?;
    client.simple_query(NO_HIDDEN_ROWS).await.map_err(failed)?;
    let names =
        "SELECT pg_export_snapshot(), pg_current_snapshot(), pg_backend_pid() || ' ' || clock_timestamp()";
    let names = values(client, names).await.map_err(failed)?;
    let after = values(client, REPLAYED).await.map_err(failed)?;
    let [Some(exported), Some(name), Some(unique)] = &names[..] else {
        return Err(Error::Query {
            why: "the server did not name its snapshot".to_owned(),
        });
    };
    let name = match (join, server, before.first(), after.first()) {
        (Some(joined), ..) => joined.name.clone(),
        // The snapshot of a standby does not list the transactions that were under way: that it names is not enough.
        (None, Some(server), Some(Some(before)), Some(Some(after))) if before == after => {
            format!("{name} at {after} of {server}")
        }
        (None, Some(server), Some(None), Some(None)) => format!("{name} of {server}"),
        _ => format!("{name} of {unique}"),
    };
    let exported = exported.clone();
    Ok(Snapshot { name, exported })
}

/// The relations that this transaction has locked, but for the catalogue's.
pub(super) async fn relations(client: &Client, url: &str) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(DISTINCT relation::text, ' ' ORDER BY relation::text), '') FROM pg_locks \
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384";
    let found = values(client, sql)
        .await
        .map_err(|error| query_error(url, &error))?;
    Ok(found.into_iter().flatten().next().unwrap_or_default())
}

/// Relations by names that no other database has; none where the account may not ask which database this is.
pub(super) async fn tables(client: &Client, relations: &str) -> Vec<String> {
    let database = values(client, DATABASE).await.ok();
    let database = database.and_then(|found| found.into_iter().next()?);
    let named = |database: String| {
        let relations = relations.split(' ').filter(|oid| !oid.is_empty());
        relations.map(|oid| format!("{database} {oid}")).collect()
    };
    database.map(named).unwrap_or_default()
}

/// The values of the one row that a query gives.
async fn values(client: &Client, sql: &str) -> Result<Vec<Option<String>>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.map_or_else(Vec::new, |row| {
        (0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()
    }))
}

/// Whether a snapshot could not be joined because the transaction it belongs to has ended.
fn is_gone(server: &DbError) -> bool {
    [
        SqlState::INVALID_PARAMETER_VALUE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ]
    .contains(server.code())
}
