//! Cleaning: what `[clean]` does to the rows of one batch.
//!
//! In this order: white space (Unicode) is trimmed from both ends of text, empty text becomes null, rows with a null in a
//! required column are dropped, rows for which the filter is not true are dropped, and of equal rows one is kept. A row that
//! could be dropped for two reasons counts for the first. The key is never altered, for the database ordered and
//! compared it as it is; text inside lists and structs is not altered either.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{and, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use serde::{Deserialize, Serialize};

use crate::budget::Held;
use crate::error::{Error, Result};
use crate::prepare::CanonicalOrder;
use crate::settings::{CleanSettings, KeyColumns};
use crate::sql_words::plain;

/// `[clean]`, checked against the columns of the dataset.
pub struct Cleaner {
    schema: SchemaRef,
    key: Vec<usize>,
    text: TextRules,
    distinct: bool,
    required: Vec<usize>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// What is done to text: in the dataset, and again in the rows that a model is given for prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRules {
    trim: bool,
    empty_as_null: bool,
}

/// How many rows were dropped, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// A null in a required column.
    pub null: u64,
    /// The filter was false or null.
    pub filter: u64,
    /// Equal to a row that was kept.
    pub duplicate: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.null + self.filter + self.duplicate
    }
}

impl std::ops::AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.null += other.null;
        self.filter += other.filter;
        self.duplicate += other.duplicate;
    }
}

impl Cleaner {
    /// Checks the settings against the columns. In the filter, columns are written as they are named, upper and lower case
    /// being different, with or without double quotes; a function whose answer changes from run to run is refused.
    pub fn new(settings: &CleanSettings, schema: SchemaRef, key: &KeyColumns) -> Result<Self> {
        let required = settings
            .require
            .iter()
            .map(|name| position(&schema, name, "require"))
            .collect::<Result<_>>()?;
        let filter = settings
            .filter
            .as_ref()
            .map(|sql| predicate(sql, &schema))
            .transpose()?;
        Ok(Self {
            key: key
                .iter()
                .map(|name| position(&schema, name, "key"))
                .collect::<Result<_>>()?,
            text: TextRules::of(settings),
            distinct: settings.distinct,
            required,
            filter,
            schema,
        })
    }

    /// Cleans some rows of a batch, up to dropping duplicates. What it drops is added to `dropped`.
    pub fn rows(&self, rows: &RecordBatch, dropped: &mut Dropped) -> Result<RecordBatch> {
        let mut rows = self.text.tidy(rows, &self.key)?;
        let mut complete: Option<BooleanArray> = None;
        for &column in self
            .required
            .iter()
            .filter(|&&column| rows.column(column).null_count() > 0)
        {
            let present = is_not_null(rows.column(column))?;
            complete = Some(match complete {
                Some(others) => and(&others, &present)?,
                None => present,
            });
        }
        if let Some(complete) = complete {
            dropped.null += keep(&mut rows, &complete)?;
        }
        if let Some(filter) = &self.filter {
            let verdict = filter
                .evaluate(&rows)
                .and_then(|value| value.into_array(rows.num_rows()));
            dropped.filter += keep(&mut rows, verdict.map_err(refused)?.as_boolean())?;
        }
        Ok(rows)
    }

    /// What puts the cleaned rows of a batch into canonical order, of equal rows keeping one if so asked.
    pub fn order(&self, held: Held) -> CanonicalOrder {
        CanonicalOrder::new(self.key.clone(), self.distinct, held)
    }

    /// The columns of the dataset.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl TextRules {
    /// What `[clean]` does to text.
    pub fn of(settings: &CleanSettings) -> Self {
        Self {
            trim: settings.trim,
            empty_as_null: settings.empty_as_null,
        }
    }

    /// Whether empty text stays empty text.
    pub fn keeps_empty(self) -> bool {
        !self.empty_as_null
    }

    /// Tidies every text column but those at `except`.
    pub fn tidy(self, rows: &RecordBatch, except: &[usize]) -> Result<RecordBatch> {
        let columns = rows.columns().iter().enumerate();
        let columns = columns.map(|(index, column)| match column.data_type() {
            DataType::Utf8 if !except.contains(&index) => self.column(column),
            _ => column.clone(),
        });
        Ok(RecordBatch::try_new(rows.schema(), columns.collect())?)
    }

    /// Tidies a column of text.
    pub fn column(self, column: &ArrayRef) -> ArrayRef {
        let tidy = |text| {
            let text = if self.trim { str::trim(text) } else { text };
            (!(self.empty_as_null && text.is_empty())).then_some(text)
        };
        let texts = column.as_string::<i32>();
        if texts.iter().flatten().all(|text| tidy(text) == Some(text)) {
            return column.clone();
        }
        Arc::new(
            texts
                .iter()
                .map(|text| text.and_then(tidy))
                .collect::<StringArray>(),
        )
    }
}

/// Keeps the rows whose flag is true (not false, not null), and says how many were dropped.
fn keep(rows: &mut RecordBatch, flags: &BooleanArray) -> Result<u64> {
    let before = rows.num_rows();
    if flags.true_count() < before {
        *rows = filter_record_batch(rows, flags)?;
    }
    Ok((before - rows.num_rows()) as u64)
}

fn position(schema: &SchemaRef, column: &str, setting: &'static str) -> Result<usize> {
    schema.index_of(column).map_err(|_| {
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        Error::Clean {
            setting,
            why: format!(
                "there is no column `{column}`; the columns are: {}",
                names.join(", ")
            ),
        }
    })
}

fn predicate(sql: &str, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let context = SessionContext::new_with_config(config);
    let columns = DFSchema::try_from(schema.as_ref().clone()).map_err(refused)?;
    let expr = context.parse_sql_expr(sql, &columns).map_err(refused)?;
    if let Some(function) = unsteady(&expr)? {
        return Err(Error::Clean {
            setting: "filter",
            why: format!(
                "{function}() changes from run to run, so the same rows would not make the same dataset; write its value, or filter in source.query"
            ),
        });
    }
    let kind = expr.get_type(&columns).map_err(refused)?;
    if kind != DataType::Boolean {
        return Err(Error::Clean {
            setting: "filter",
            why: format!("it is of type {kind}; expected a predicate, such as country <> 'unknown'"),
        });
    }
    context.create_physical_expr(expr, &columns).map_err(refused)
}

/// The first function in `expr` that may answer differently for the same row.
fn unsteady(expr: &Expr) -> Result<Option<String>> {
    let mut found = None;
    expr.apply(|node| {
        if let Expr::ScalarFunction(call) = node
            && call.func.signature().volatility != Volatility::Immutable
        {
            found = Some(call.func.name().to_owned());
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })
    .map_err(refused)?;
    Ok(found)
}

fn refused(error: DataFusionError) -> Error {
    Error::Clean {
        setting: "filter",
        why: plain(&error),
    }
}
