//! Whether the settings that inserts rely on take effect on the server, sent the same way as an insert sends them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Expected, Finding, Severity};
use crate::client::{Client, QueryError};
use crate::exception::Kind;
use crate::insert::{exact_settings, json_settings};
use crate::{quote, wire_type};

#[derive(Deserialize)]
struct Effective {
    name: String,
    value: String,
}

/// A finding for each setting that is not as sent, or one for a server that refuses them.
pub(super) async fn ineffective(
    client: &Client,
    url_index: usize,
    expected: &Expected<'_>,
) -> Result<Vec<Finding>, QueryError> {
    let known = client.known_settings(url_index).await?;
    let mut exact: BTreeMap<_, _> = exact_settings(&known).collect();
    if expected.columns.iter().any(|(_, column_type)| wire_type::holds_json(column_type)) {
        exact.extend(json_settings(&known));
    }
    let names: Vec<_> = exact.keys().map(|name| quote::text(name)).collect();
    let sql = format!("SELECT name, value FROM system.settings WHERE name IN ({})", names.join(", "));
    let mut query = client.query(&sql).at(url_index);
    for (name, value) in expected.settings.iter().filter(|(name, _)| !exact.contains_key(name.as_str())) {
        query = query.setting(name, value);
    }
    for (name, value) in exact.iter().filter(|(name, _)| **name != "wait_end_of_query") {
        query = query.setting(name, value);
    }
    match query.rows::<Effective>().await {
        Ok(rows) => {
            let differs =
                |row: &Effective| exact.get(row.name.as_str()).is_some_and(|sent| *sent != row.value);
            Ok(rows.into_iter().filter(differs).map(|row| changed(&row, exact[row.name.as_str()])).collect())
        }
        Err(QueryError::Server(error)) if matches!(error.kind, Kind::Setting | Kind::Access) => {
            Ok(vec![refused(&error.to_string())])
        }
        Err(error) => Err(error),
    }
}

fn changed(row: &Effective, sent: &str) -> Finding {
    Finding {
        code: "PH-0046",
        severity: Severity::Refuse,
        what: format!("setting {} is {} on the server, sent as {sent}", row.name, row.value),
        why: "inserts rely on it to be exact; something between overrides it".to_owned(),
        mend: "let the user's profile, and any proxy, leave this setting alone".to_owned(),
    }
}

fn refused(error: &str) -> Finding {
    Finding {
        code: "PH-0046",
        severity: Severity::Refuse,
        what: format!("the server refuses the settings of an insert: {error}"),
        why: "without them an insert is not exact".to_owned(),
        mend: "lift the constraint in the user's profile, or remove the setting from `clickhouse.settings`"
            .to_owned(),
    }
}
