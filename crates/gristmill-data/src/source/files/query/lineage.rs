//! Which columns of the files each column of a query is, through other names, subqueries and whatever only chooses rows.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::table::Table;
use crate::source::files::told::Origin;

/// The columns of a query by name, each with its origin.
pub(super) fn origins(plan: &LogicalPlan) -> Vec<(String, Origin)> {
    let names = plan.schema().fields().iter().map(|field| field.name().clone());
    names.zip(of_plan(plan)).collect()
}

/// The origin of each column of a plan.
fn of_plan(plan: &LogicalPlan) -> Vec<Origin> {
    let width = plan.schema().fields().len();
    let found = match plan {
        LogicalPlan::TableScan(scan) => {
            let is_files = source_as_provider(&scan.source).is_ok_and(|table| table.is::<Table>());
            let place = |at: usize| match &scan.projection {
                _ if !is_files => None,
                Some(places) => places.get(at).copied(),
                None => Some(at),
            };
            (0..width)
                .map(|at| Origin {
                    places: place(at).into_iter().collect(),
                    made: false,
                })
                .collect()
        }
        LogicalPlan::Projection(projection) => of_exprs(&projection.expr, &projection.input),
        LogicalPlan::Aggregate(aggregate) => {
            let exprs: Vec<Expr> = aggregate
                .group_expr
                .iter()
                .flat_map(|expr| match expr {
                    Expr::GroupingSet(set) => set.distinct_expr().into_iter().cloned().collect(),
                    expr => vec![expr.clone()],
                })
                .collect();
            let mut found = of_exprs(&exprs, &aggregate.input);
            if exprs.len() < aggregate.group_expr_len().unwrap_or_default() {
                found.push(Origin::default());
            }
            found.extend(of_exprs(&aggregate.aggr_expr, &aggregate.input));
            found
        }
        LogicalPlan::Window(window) => {
            let mut found = of_plan(&window.input);
            found.extend(of_exprs(&window.window_expr, &window.input));
            found
        }
        LogicalPlan::Distinct(Distinct::On(on)) => of_exprs(&on.select_expr, &on.input),
        LogicalPlan::Join(join) => {
            let (mut found, right) = (of_plan(&join.left), of_plan(&join.right));
            match width {
                _ if width == found.len() + right.len() => found.extend(right),
                _ if width == right.len() && width != found.len() => found = right,
                _ => {}
            }
            found
        }
        LogicalPlan::Union(union) => together(union.inputs.iter().map(|input| of_plan(input))),
        LogicalPlan::RecursiveQuery(query) => {
            together([of_plan(&query.static_term), of_plan(&query.recursive_term)])
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => match plan.inputs()[..] {
            [input] => of_plan(input),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if found.len() == width {
        return found;
    }
    // Whatever else there is may make anything of all that it reads.
    let all = plan.inputs().into_iter().flat_map(of_plan);
    let made = Origin {
        places: all.flat_map(|origin| origin.places).collect(),
        made: true,
    };
    vec![made; width]
}

fn of_exprs(exprs: &[Expr], input: &LogicalPlan) -> Vec<Origin> {
    let columns = of_plan(input);
    exprs
        .iter()
        .map(|expr| of_expr(expr, input.schema(), &columns))
        .collect()
}

fn of_expr(expr: &Expr, schema: &DFSchema, columns: &[Origin]) -> Origin {
    let of_column = |column| {
        let place = schema.index_of_column(column).ok();
        place
            .and_then(|place| columns.get(place))
            .cloned()
            .unwrap_or_default()
    };
    match expr {
        Expr::Alias(alias) => of_expr(&alias.expr, schema, columns),
        Expr::Column(column) => of_column(column),
        // Text stays as it is.
        Expr::Cast(cast) if cast.field.data_type().is_string() => of_expr(&cast.expr, schema, columns),
        Expr::TryCast(cast) if cast.field.data_type().is_string() => of_expr(&cast.expr, schema, columns),
        expr => {
            let read = expr.column_refs().into_iter().map(of_column);
            let mut places: BTreeSet<usize> = read.flat_map(|origin| origin.places).collect();
            let mut queries = Vec::new();
            let looked = expr.apply(|expr| {
                if let Expr::ScalarSubquery(query) = expr {
                    queries.extend(of_plan(&query.subquery));
                }
                Ok(TreeNodeRecursion::Continue)
            });
            debug_assert!(looked.is_ok());
            places.extend(queries.into_iter().flat_map(|origin| origin.places));
            Origin {
                made: !places.is_empty(),
                places,
            }
        }
    }
}

/// The columns of rows that come from several plans.
fn together(plans: impl IntoIterator<Item = Vec<Origin>>) -> Vec<Origin> {
    let mut plans = plans.into_iter();
    let mut all = plans.next().unwrap_or_default();
    for plan in plans {
        for (column, other) in all.iter_mut().zip(plan) {
            column.places.extend(other.places);
            column.made |= other.made;
        }
    }
    all
}
