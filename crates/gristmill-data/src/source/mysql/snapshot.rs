//! A transaction that only reads, and the name of what it sees.
//!
//! MariaDB tells the place in its binary log that belongs to the snapshot, which names what was committed before, as long as
//! everything is logged and nobody begins the log anew. So the name holds besides which server this is, since when it runs, and
//! how many transactions InnoDB has begun to change anything: that number grows with what is not logged too, and
//! `RESET MASTER` does not bring it back. Where the log leaves out databases, or it cannot be seen whether it does, and for
//! MySQL, the transaction itself is named, and no other is the same.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as MyError};

/// Times that the transaction is begun anew because somebody changed something in just that moment.
const TRIES: usize = 5;

const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The snapshot of a transaction.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// What it is called.
    pub(super) name: String,
    /// Whether another of this name is the same.
    pub(super) is_place: bool,
}

/// Begins the transaction.
pub(super) async fn begin(connection: &mut Conn) -> mysql_async::Result<Snapshot> {
    for _ in 0..TRIES {
        let before = server(connection).await?;
        connection.query_drop(BEGIN).await?;
        let Some(before) = before else {
            break;
        };
        let place = place(connection).await?;
        let after = server(connection).await?;
        if let Some(place) = place
            && after.as_ref() == Some(&before)
        {
            return Ok(Snapshot {
                name: format!("{place} of {before}"),
                is_place: true,
            });
        }
    }
    let named: Option<(u64, String, u16, String)> = connection
        .query_first("SELECT CONNECTION_ID(), @@hostname, @@port, CAST(NOW(6) AS CHAR)")
        .await?;
    let (id, host, port, now) = named.unwrap_or_default();
    Ok(Snapshot {
        name: format!("connection {id} of {host}:{port} at {now}"),
        is_place: false,
    })
}

/// The place in the binary log that belongs to the snapshot.
async fn place(connection: &mut Conn) -> mysql_async::Result<Option<String>> {
    let found: Vec<(String, String)> = connection.query("SHOW STATUS LIKE 'Binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let found = found.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let file = value("Binlog_snapshot_file");
    let position = value("Binlog_snapshot_position");
    Ok(file
        .zip(position)
        .map(|(file, position)| format!("{file}:{position}")))
}

/// Which server this is, since when, and how far it has come; `None` where a place in its log does not tell all.
async fn server(connection: &mut Conn) -> mysql_async::Result<Option<String>> {
    // The uptime is counted up to the beginning of the statement, as is the time of day.
    let server: Option<(String, String, u16, u32)> = connection
        .query_first("SELECT VERSION(), @@hostname, @@port, @@server_id")
        .await?;
    let (version, host, port, id) = server.unwrap_or_default();
    if !version.contains("MariaDB") {
        return Ok(None);
    }
    let all: Option<bool> = connection
        .query_first("SELECT @@log_bin AND (@@log_slave_updates OR @@gtid_slave_pos = '')")
        .await?;
    if all != Some(true) || !logs_all_databases(connection).await? {
        return Ok(None);
    }
    let started: Option<String> = connection
        .query_first(
            "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS INTEGER) FROM information_schema.GLOBAL_STATUS \
             WHERE VARIABLE_NAME = 'UPTIME'",
        )
        .await?;
    let uid: Option<(String, String)> = connection.query_first("SHOW VARIABLES LIKE 'server_uid'").await?;
    let changes: Option<(String, String)> = connection
        .query_first("SHOW GLOBAL STATUS LIKE 'Innodb_max_trx_id'")
        .await?;
    let uid = uid.map_or_else(String::new, |(_, uid)| format!(" {uid}"));
    Ok(started.zip(changes).map(|(started, (_, changes))| {
        format!("{host}:{port}, server {id}{uid} started {started}, change {changes}")
    }))
}

/// Whether the log is known to leave no database out.
async fn logs_all_databases(connection: &mut Conn) -> mysql_async::Result<bool> {
    type Status = (String, u64, String, String);
    match connection.query_first::<Status, _>("SHOW MASTER STATUS").await {
        Ok(status) => Ok(status.is_some_and(|(_, _, only, ignored)| only.is_empty() && ignored.is_empty())),
        // The account may not know.
        Err(MyError::Server(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
