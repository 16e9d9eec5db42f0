//! What the server and the driver say, as errors of this crate: what may pass, what broke off, what cannot be understood.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use tokio_postgres::error::{DbError, SqlState};

use crate::error::Error;

/// Why a connection was lost, where that is known.
pub(crate) fn with_last_words(last_words: &LastWords, url: &str, error: Error) -> Error {
    let url = url.to_owned();
    match (error, last_words.get()) {
        (Error::Lost { .. }, Some(End::Said(why))) => Error::Unavailable {
            url,
            why: why.clone(),
        },
        (Error::Lost { .. }, Some(End::NotUnderstood(why))) => Error::Answer {
            url,
            why: why.clone(),
        },
        (error, _) => error,
    }
}

/// What the server or the connection said.
pub(crate) fn query_error(url: &str, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if !may_pass(server) => Error::Query {
            why: server_message(server, ""),
        },
        Some(server) => Error::Unavailable {
            url: url.to_owned(),
            why: server_message(server, ""),
        },
        None if broke_off(error) => Error::Lost {
            url: url.to_owned(),
            why: chain(error),
        },
        None => Error::Answer {
            url: url.to_owned(),
            why: chain(error),
        },
    }
}

/// A server's message with all that it adds to it.
pub(super) fn server_message(server: &DbError, position: &str) -> String {
    let mut message = format!("{}{position}", server.message());
    for (name, more) in [("detail", server.detail()), ("hint", server.hint())] {
        if let Some(more) = more {
            message.push_str(&format!("; {name}: {more}"));
        }
    }
    // In a database that knows nothing of its encoding.
    if *server.code() == SqlState::CHARACTER_NOT_IN_REPERTOIRE {
        message.push_str("; with the encoding that the text has, write ");
        message.push_str(
            "convert_from(convert(convert_to(column, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'SQL_ASCII') in source.query",
        );
    }
    if *server.code() == SqlState::INSUFFICIENT_PRIVILEGE && server.routine() == Some("check_enable_rls") {
        message.push_str(
            "; rows that it hides would be missing from the dataset: read as a role with BYPASSRLS, or add \
             ?options=-c%20row_security%3Don to the URL for the rows that this role sees",
        );
    }
    message
}

/// An error with its causes: the driver's own words alone are only `db error` or `error connecting to server`.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        // Some causes are already part of the text of what they caused.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
/// Whether what the server says may be otherwise the next time it is asked, on a new connection.
pub(super) fn may_pass(server: &DbError) -> bool {
    let code = server.code();
    // Connection exceptions; too little of something for now; an operator's intervention; another transaction in the way;
    // the transaction was ended by a limit or an error before.
    code.code().starts_with("08")
        || [
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::OUT_OF_MEMORY,
            SqlState::QUERY_CANCELED,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IN_FAILED_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
        || ["57P05", "25P04"].contains(&code.code())
}

/// Whether the connection broke off, or none came about: not what was said on it is at fault, but that it ended.
pub(super) fn broke_off(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).map(|cause| cause.downcast_ref::<std::io::Error>());
    match cause {
        // So the driver calls a message that is cut short, or of impossible length.
        Some(Some(cause)) => {
            let misread = [ErrorKind::InvalidInput, ErrorKind::InvalidData];
            let parsing = error.to_string().contains("parsing");
            !parsing
                && !misread.contains(&cause.kind())
                && cause.get_ref().is_none_or(|cause| !cause.is::<rustls::Error>())
        }
        Some(None) => false,
        None => error.is_closed(),
    }
}

/// Why a connection ended.
pub(crate) type LastWords = Arc<OnceLock<End>>;

/// The end of a connection that the client did not ask for.
#[derive(Debug)]
pub(crate) enum End {
    /// What the server said, which ended it of its own accord.
    Said(String),
    /// What it said could not be understood.
    NotUnderstood(String),
}
