//! An insert of what a query makes, on the server: the statement, the token and the three answers of any insert.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::{Client, QueryError, causes, was_not_sent};
use crate::exception::DEADLINE_MARK;
use crate::insert::{Doubt, InsertAnswer, Refusal, exact_settings, judge};
use crate::quote;

/// What is to be inserted.
#[derive(Clone, Debug)]
pub struct InsertSelect<'a> {
    /// The table's database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// The query that makes the rows; its columns have the names of the table's.
    pub select: &'a str,
    /// Columns that put the rows in an order which every attempt repeats, quoted.
    pub order_by: &'a [String],
    /// The deduplication token.
    pub token: &'a str,
    /// When ClickHouse, by its own clock, must refuse: seconds since 1970-01-01 UTC.
    pub deadline_unix_seconds: i64,
    /// Limit for the whole insert, answer included.
    pub timeout: Duration,
    /// The query id; one that no other attempt has.
    pub query_id: &'a str,
    /// Which of the client's servers.
    pub url_index: usize,
}

impl Client {
    /// Sends it once. The rows are one block, as those of any other insert.
    pub async fn insert_select(&self, insert: &InsertSelect<'_>) -> InsertAnswer {
        let known = match self.known_settings(insert.url_index).await {
            Ok(known) => known,
            Err(QueryError::Server(error)) => return InsertAnswer::Refused(Refusal::Server(error)),
            Err(error) => return InsertAnswer::Refused(Refusal::NotSent(error.to_string())),
        };
        let timeout = insert.timeout.as_secs().max(1).to_string();
        let own = [
            ("insert_deduplication_token", insert.token),
            ("max_execution_time", timeout.as_str()),
            ("query_id", insert.query_id),
        ];
        let mut pairs: BTreeMap<&str, &str> = exact_settings(&known).collect();
        pairs.extend(own);
        let address = self.address(insert.url_index, pairs);
        let request = self.http().post(address).timeout(insert.timeout).body(statement(insert));
        match request.send().await {
            // A view may hang on the table: only errors from before the first row prove anything.
            Ok(response) => judge(response, true).await,
            Err(error) if was_not_sent(&error) => InsertAnswer::Refused(Refusal::NotSent(causes(&error))),
            Err(error) => InsertAnswer::Unknown(Doubt::Lost(causes(&error))),
        }
    }
}

fn statement(insert: &InsertSelect<'_>) -> String {
    format!(
        "INSERT INTO {} SELECT * FROM ({}) \
         WHERE NOT throwIf(nowInBlock('UTC') > toDateTime({}, 'UTC'), '{DEADLINE_MARK}') ORDER BY {}",
        quote::table(insert.database, insert.table),
        insert.select,
        insert.deadline_unix_seconds,
        insert.order_by.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_come_in_one_order_and_before_a_deadline() {
        let order_by = ["service".to_owned(), "ts".to_owned()];
        let insert = InsertSelect {
            database: "d",
            table: "t_per_minute",
            select: "SELECT 1",
            order_by: &order_by,
            token: "ph1:1/d.t/per_minute/g1",
            deadline_unix_seconds: 1_795_000_000,
            timeout: Duration::from_secs(1),
            query_id: "a",
            url_index: 0,
        };
        assert_eq!(
            statement(&insert),
            "INSERT INTO d.t_per_minute SELECT * FROM (SELECT 1) WHERE NOT \
             throwIf(nowInBlock('UTC') > toDateTime(1795000000, 'UTC'), 'PH_DEADLINE') ORDER BY service, ts"
        );
    }
}
