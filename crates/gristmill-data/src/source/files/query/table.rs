//! The files as a table of DataFusion, read column by column.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::TryStreamExt;

use crate::source::files::input::Input;
use crate::source::produced::on_thread;

/// The files as DataFusion reads them.
#[derive(Debug)]
pub(super) struct Table(pub(super) Arc<Input>);

/// Some columns of them.
#[derive(Debug)]
struct Columns {
    input: Arc<Input>,
    places: Vec<usize>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let places = match projection {
            Some(places) => places.clone(),
            None => (0..self.0.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.0.schema.project(&places)?);
        let columns = Arc::new(Columns {
            input: self.0.clone(),
            places,
            schema: schema.clone(),
        });
        let scan = StreamingTableExec::try_new(schema, vec![columns], None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

impl PartitionStream for Columns {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.input.scan(self.places.clone());
        let rows = on_thread(format!("reading {}", self.input.url), move |taker| {
            for batch in batches {
                if !taker.give_blocking(batch?) {
                    break;
                }
            }
            Ok(())
        });
        let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}
