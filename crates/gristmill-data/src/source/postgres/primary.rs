//! The primary keys of the tables that a query reads.

use crate::error::Result;
use crate::settings::SourceSettings;
use crate::source::names::OwnKey;
use crate::source::postgres::{Postgres, Query, query_error};

impl Postgres {
    /// The first column of the query that by itself is the primary key of a table.
    pub(in crate::source) async fn own_key(settings: &SourceSettings) -> Result<OwnKey> {
        let url = settings.url.to_string();
        let (connected, _) = Self::begin(settings).await?;
        let query = Query::prepare(&connected.client, settings, url.clone()).await;
        let query = query.map_err(|error| connected.told(&url, error))?;
        let tables: Vec<u32> = (query.columns.iter())
            .filter_map(|column| column.origin.map(|(table, _)| table))
            .collect();
        let keys = connected
            .client
            .query(
                "SELECT indrelid, indkey[0] FROM pg_index WHERE indisprimary AND indnatts = 1 AND indrelid = ANY($1::oid[])",
                &[&tables],
            )
            .await
            .map_err(|error| query_error(&url, &error))?;
        let is_key = |origin: (u32, i16)| {
            keys.iter()
                .any(|key| (key.get::<_, u32>(0), key.get::<_, i16>(1)) == origin)
        };
        let key = query
            .columns
            .iter()
            .find(|column| column.origin.is_some_and(is_key));
        Ok(OwnKey {
            key: key.map(|column| column.name.clone()),
            columns: query.columns.iter().map(|column| column.name.clone()).collect(),
        })
    }
}
