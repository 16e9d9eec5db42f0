//! All rows of a PostgreSQL query by one statement.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::error::Result;
use crate::source::BatchStream;
use crate::source::once::Whole;
use crate::source::postgres::Postgres;
use crate::source::postgres::order::Order;
use crate::source::stability::Stability;

impl Whole for Arc<Postgres> {
    fn stability(&self) -> &Stability {
        &self.query.stability
    }

    fn key(&self) -> &[usize] {
        &self.query.key
    }

    fn all(&self) -> BoxFuture<'_, Result<BatchStream>> {
        self.copy(Some("true".to_owned()), &[], Order::ByKey).boxed()
    }
}
