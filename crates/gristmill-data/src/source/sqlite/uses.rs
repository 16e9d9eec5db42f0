//! What a query uses, also behind its views, as SQLite asks leave for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// What a query uses.
#[derive(Default)]
pub(super) struct Uses {
    /// Columns of tables: database, table, column.
    pub(super) columns: BTreeSet<(String, String, String)>,
    /// Functions, in lower case.
    pub(super) functions: BTreeSet<String>,
    /// Names by which it reads them: views, and tables of its own `WITH`.
    pub(super) accessors: BTreeSet<String>,
}

/// Has SQLite prepare the query, and looks on.
pub(super) fn uses(connection: &Connection, query: &str) -> rusqlite::Result<Uses> {
    let uses = Arc::new(Mutex::new(Uses::default()));
    let seen = uses.clone();
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match (context.action, context.database_name) {
            (
                AuthAction::Read {
                    table_name,
                    column_name,
                },
                Some(database),
            ) if !column_name.is_empty() => {
                let read = (database.to_owned(), table_name.to_owned(), column_name.to_owned());
                seen.columns.insert(read);
            }
            (AuthAction::Function { function_name }, _) => {
                seen.functions.insert(function_name.to_ascii_lowercase());
            }
            _ => {}
        }
        seen.accessors.extend(context.accessor.map(str::to_owned));
        Authorization::Allow
    }))?;
    let prepared = connection.prepare(query).map(drop);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    prepared?;
    let mut uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *uses))
}
