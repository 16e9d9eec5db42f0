//! `source.query` over the files: DataFusion plans it, and sorts its rows by the key within a fixed budget of memory.

mod lineage;
mod table;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::SessionConfig;

use crate::budget::RowBudget;
use crate::error::{Error, Result};
use crate::source::files::input::Input;
use crate::source::files::told::Origin;
use crate::source::sql::skipped;
use crate::source::stability::words;
use crate::sql_words::plain;
use table::Table;

/// The name of the files in the query.
pub(in crate::source) const TABLE: &str = "input";

/// A query that was planned.
pub(super) struct Query {
    /// Its columns, with the types that it gives them.
    pub(super) schema: SchemaRef,
    /// The columns of the files that it gives on as they are, all rows of them, where it does no more than that.
    pub(super) plain: Option<Vec<usize>>,
    /// Its columns by name, and which columns of the files each is.
    pub(super) origins: Vec<(String, Origin)>,
    plan: LogicalPlan,
    pub(super) memory: RowBudget,
}

impl Query {
    /// Plans a query. It may only read, and must give the same rows each time.
    pub(super) async fn plan(sql: &str, input: &Arc<Input>, memory: RowBudget) -> Result<Self> {
        // The parser knows it, and the planner passes over it.
        if words(sql, skipped)
            .iter()
            .any(|word| word.eq_ignore_ascii_case("tablesample"))
        {
            return Err(query_error(
                "TABLESAMPLE is not supported; choose rows by a value of their own, such as WHERE id % 10 = 0".to_owned(),
            ));
        }
        let context = context(input, memory, None)?;
        let state = context.state();
        let plan = state.create_logical_plan(sql).await.map_err(failed)?;
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        options.verify_plan(&plan).map_err(failed)?;
        refuse_what_changes(&plan)?;
        let parameters = plan.get_parameter_names().map_err(failed)?;
        if let Some(parameter) = parameters.iter().next() {
            return Err(Error::FileQuery {
                why: format!("it has parameters ({parameter}); write the values out"),
            });
        }
        let optimized = state.optimize(&plan).map_err(failed)?;
        let fields = plan.schema().as_arrow().fields();
        let fields = fields
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            plain: plain_columns(&optimized),
            origins: lineage::origins(&plan),
            plan,
            memory,
        })
    }

    /// The rows in the order of the column at `key`, those without a key last. Sorting spills to `folder`.
    pub(super) async fn sorted(
        &self,
        input: &Arc<Input>,
        key: usize,
        folder: &Path,
    ) -> Result<SendableRecordBatchStream> {
        let context = context(input, self.memory, Some(folder))?;
        // The plan was made in a session of its own; the table it reads is the same.
        let frame = DataFrame::new(context.state(), self.plan.clone());
        let key = Expr::Column(Column::from(frame.schema().qualified_field(key)));
        let sorted = frame.sort(vec![key.sort(true, false)]).map_err(failed)?;
        sorted.execute_stream().await.map_err(failed)
    }
}

/// What sorting and grouping may take is bounded; sorting goes on over the disk beyond it.
fn context(input: &Arc<Input>, memory: RowBudget, folder: Option<&Path>) -> Result<SessionContext> {
    // One partition: what a query makes of many rows must not depend on how they are divided.
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_batch_size(input.batch_rows())
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let mut runtime = RuntimeEnvBuilder::new().with_memory_limit(memory.sorting() as usize, 1.0);
    if let Some(folder) = folder {
        runtime = runtime.with_temp_file_path(folder);
    }
    let context = SessionContext::new_with_config_rt(config, runtime.build_arc().map_err(failed)?);
    let table = Arc::new(Table(input.clone()));
    context.register_table(TABLE, table).map_err(failed)?;
    Ok(context)
}

/// The columns of the files, where the plan is nothing but these.
fn plain_columns(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => Some(
            scan.projection
                .clone()
                .unwrap_or_else(|| (0..scan.projected_schema.fields().len()).collect()),
        ),
        LogicalPlan::SubqueryAlias(alias) => plain_columns(&alias.input),
        LogicalPlan::Projection(projection) => {
            let below = plain_columns(&projection.input)?;
            let place = |expr: &Expr| match expr.clone().unalias() {
                Expr::Column(column) => {
                    let place = projection.input.schema().index_of_column(&column).ok()?;
                    below.get(place).copied()
                }
                _ => None,
            };
            projection.expr.iter().map(place).collect()
        }
        _ => None,
    }
}

/// Refuses a function whose answer is another one in the next run.
fn refuse_what_changes(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found = Some(call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(failed)?;
    match found {
        Some(function) => Err(Error::FileQuery {
            why: format!(
                "{function}() changes from run to run, so the same files would not make the same dataset; write its value"
            ),
        }),
        None => Ok(()),
    }
}

/// Our own error where it is one that DataFusion handed through.
pub(super) fn failed(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => failed(*inner),
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => failed(*inner),
                Err(inner) => query_error(inner.to_string()),
            },
        },
        DataFusionError::Shared(inner) => query_error(plain(&inner)),
        DataFusionError::IoError(error) => crate::durable::io(&crate::scratch::base())(error),
        DataFusionError::ResourcesExhausted(why) => query_error(format!(
            "it needs more memory than sorting and grouping may take ({why}); raise run.memory, or prepare the rows with \
             another tool"
        )),
        error => query_error(plain(&error)),
    }
}

fn query_error(why: String) -> Error {
    Error::FileQuery { why }
}
