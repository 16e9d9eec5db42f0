//! The primary keys of the tables that a query reads.

use mysql_async::prelude::Queryable;

use crate::error::Result;
use crate::settings::SourceSettings;
use crate::source::mysql::{Begun, MySql, columns, query_error};
use crate::source::names::OwnKey;

impl MySql {
    /// The first column of the query that by itself is the primary key of a table.
    pub(in crate::source) async fn own_key(settings: &SourceSettings) -> Result<OwnKey> {
        let url = settings.url.to_string();
        let failed = |error| query_error(&url, &error);
        let mut connection = Begun::new(settings).await?.connection;
        let statement = connection.prep(&*settings.query).await.map_err(failed)?;
        let (columns, _) = columns(&statement, &[])?;
        let mut key = None;
        for column in &columns {
            let Some([schema, table, name]) = &column.origin else {
                continue;
            };
            let parts: Vec<String> = connection
                .exec(
                    "SELECT column_name FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? \
                     AND index_name = 'PRIMARY'",
                    (schema, table),
                )
                .await
                .map_err(failed)?;
            if matches!(&parts[..], [part] if part.eq_ignore_ascii_case(name)) {
                key = Some(column.name.clone());
                break;
            }
        }
        Ok(OwnKey {
            key,
            columns: columns.into_iter().map(|column| column.name).collect(),
        })
    }
}
