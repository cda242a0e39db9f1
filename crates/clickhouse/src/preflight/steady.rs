//! Whether what refuses a row today has refused it before and will again: the table's definition is older than the
//! row's first insert, and the expressions in question are pure functions of the row.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::live::{Catalogue, TableName};
use super::purity;
use crate::client::{Client, QueryError};

/// What refuses a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusing {
    /// A `CONSTRAINT … CHECK` and nothing else.
    Constraints,
    /// Any expression of the table: a default, a constraint, a key, an index.
    Anything,
}

#[derive(Deserialize)]
struct Definition {
    changed_at: i64,
    create_table_query: String,
}

#[derive(Deserialize)]
struct Constraint {
    expression: String,
}

/// Whether the table refuses the same rows at any time since `since_ms` (milliseconds since 1970-01-01 UTC).
///
/// # Errors
/// When the server does not answer, or the user may not read its catalogue.
pub async fn is_steady(
    client: &Client,
    url_index: usize,
    (database, table): (&str, &str),
    sent: &BTreeSet<String>,
    (refusing, since_ms): (Refusing, i64),
) -> Result<bool, QueryError> {
    let catalogue = Catalogue::open(client, url_index).await?;
    let name = TableName::new(database, table);
    let sql = "SELECT toInt64(toUnixTimestamp(metadata_modification_time)) AS changed_at, create_table_query \
               FROM system.tables WHERE database = {database:String} AND name = {table:String}";
    let found = catalogue.of_table::<Definition>(sql, &name).await?;
    let [definition] = found.as_slice() else { return Ok(false) };
    // The time is in whole seconds: what changed in the second of the claim may be younger than it.
    if (definition.changed_at + 1) * 1_000 > since_ms {
        return Ok(false);
    }
    let impure = &catalogue.impure_functions;
    if refusing == Refusing::Anything {
        return Ok(purity::impure_call(&definition.create_table_query, impure).is_none());
    }
    let sql = "SELECT expression FROM system.constraints \
               WHERE database = {database:String} AND table = {table:String}";
    let constraints = catalogue.of_table::<Constraint>(sql, &name).await?;
    let columns = catalogue.columns(&name).await?;
    let pure =
        |constraint: &Constraint| purity::impurity(&constraint.expression, &columns, sent, impure).is_none();
    Ok(!constraints.is_empty() && constraints.iter().all(pure))
}
