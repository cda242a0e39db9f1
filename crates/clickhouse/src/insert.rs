//! One insert: the statement, the settings that make its token cover it as a whole, and its three answers.
//! Does not decide whether or when to try again, and knows neither batches nor offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_ENCODING;
use reqwest::{Response, Url};

use crate::arrow_stream::Body;
use crate::client::{Client, QueryError, causes, exception_code, read_body, was_not_sent};
use crate::exception::{DEADLINE_MARK, ServerError};
use crate::{quote, wire_type};

/// Most bytes read of an answer: an insert answers nothing, or an error.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What is to be inserted.
#[derive(Clone, Debug)]
pub struct Insert<'a> {
    /// The table's database; empty for a temporary table of the session that the settings name.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// Name and type of each column that is sent, in the order of the body.
    pub columns: &'a [(String, String)],
    /// The deduplication token.
    pub token: &'a str,
    /// When ClickHouse, by its own clock, must refuse: seconds since 1970-01-01 UTC.
    pub deadline_unix_seconds: i64,
    /// Limit for the whole insert, answer included.
    pub timeout: Duration,
    /// The encoded rows.
    pub body: &'a Body,
    /// The query id; one that no other attempt has.
    pub query_id: Option<&'a str>,
    /// Further settings; those that make the insert exact win over them.
    pub settings: &'a BTreeMap<String, String>,
    /// Which of the client's servers.
    pub url_index: usize,
    /// Whether materialized views hang on the table: then fewer errors prove that nothing landed.
    pub has_views: bool,
}

/// What is known after an insert. There is no fourth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertAnswer {
    /// The rows are in the table, by this insert or an earlier one with the same token.
    Done,
    /// No row of this attempt landed, and that is proven.
    Refused(Refusal),
    /// The rows may be in the table, all, some or none.
    Unknown(Doubt),
}

/// Why no row of an attempt landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was sent.
    NotSent(String),
    /// The server refused before it wrote anything; perhaps already the question for its settings.
    Server(ServerError),
}

/// Why it is not known whether rows landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// An error that may come after rows were written.
    Server(ServerError),
    /// Sending had begun; then the connection broke or the time limit was reached.
    Lost(String),
    /// An answer that ClickHouse does not give: of a proxy, or cut off.
    Answer(String),
}

impl Client {
    /// Sends an insert once.
    pub async fn insert(&self, insert: &Insert<'_>) -> InsertAnswer {
        let known = match self.known_settings(insert.url_index).await {
            Ok(known) => known,
            Err(QueryError::Server(error)) => return InsertAnswer::Refused(Refusal::Server(error)),
            Err(error) => return InsertAnswer::Refused(Refusal::NotSent(error.to_string())),
        };
        let address = self.insert_address(insert, &known);
        let mut request = self.http().post(address).timeout(insert.timeout).body(insert.body.bytes.clone());
        if let Some(encoding) = insert.body.compression.content_encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let answer = match request.send().await {
            Ok(response) => match judge(response, insert.has_views).await {
                // Grants on the table itself are looked at before anything is read.
                InsertAnswer::Unknown(Doubt::Server(error))
                    if error.denies_insert_into(insert.database, insert.table) =>
                {
                    InsertAnswer::Refused(Refusal::Server(error))
                }
                answer => answer,
            },
            Err(error) if was_not_sent(&error) => InsertAnswer::Refused(Refusal::NotSent(causes(&error))),
            Err(error) => InsertAnswer::Unknown(Doubt::Lost(causes(&error))),
        };
        if matches!(answer.server_error(), Some(error) if error.code == UNKNOWN_SETTING) {
            self.forget_settings(insert.url_index);
        }
        answer
    }

    /// The address of an insert: statement, identity and settings.
    pub(crate) fn insert_address(&self, insert: &Insert<'_>, known: &BTreeSet<String>) -> Url {
        let query_id = insert.query_id.map_or_else(|| self.next_query_id(), str::to_owned);
        let mut pairs = effective_settings(insert, known);
        pairs.insert("query".to_owned(), statement(insert));
        pairs.insert("query_id".to_owned(), query_id);
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.address(insert.url_index, pairs)
    }
}

/// ClickHouse's code for a setting that it does not know.
const UNKNOWN_SETTING: i32 = 115;

impl InsertAnswer {
    /// The server's error, whether it proves anything or not.
    #[must_use]
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Refused(Refusal::Server(error)) | Self::Unknown(Doubt::Server(error)) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(reason) => write!(f, "nothing was sent: {reason}"),
            Self::Server(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Lost(reason) => write!(f, "no whole answer: {reason}"),
            Self::Answer(what) => f.write_str(what),
        }
    }
}

/// The settings that only some versions know. An unknown one is an error, so they are asked for first.
pub(crate) const VERSIONED: [&str; 5] = [
    "deduplicate_insert",
    "deduplicate_insert_select",
    "input_format_arrow_allow_missing_columns",
    "max_insert_block_size_bytes",
    "max_insert_block_size_rows",
];

/// The settings that make an insert exact: tokens on, here and in the views; one block; nothing in the
/// background; no value replaced in silence. In the order of their names.
///
/// `deduplicate_insert_select` matters as much as `deduplicate_insert`: the statement selects from `input`, and
/// with `disable` in a user's profile the token is ignored (measured on 26.7: the retry doubled the rows).
/// `force_enable` refuses the insert where ClickHouse would rather switch deduplication off.
const EXACT: [(&str, &str); 22] = [
    ("async_insert", "0"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("deduplicate_insert", "enable"),
    ("deduplicate_insert_select", "force_enable"),
    ("input_format_arrow_allow_missing_columns", "0"),
    ("input_format_null_as_default", "0"),
    ("input_format_parallel_parsing", "0"),
    ("insert_deduplicate", "1"),
    ("insert_null_as_default", "0"),
    ("materialized_views_ignore_errors", "0"),
    ("max_insert_block_size", BLOCK_ROWS_MAX),
    ("max_insert_block_size_bytes", "0"),
    ("max_insert_block_size_rows", BLOCK_ROWS_MAX),
    ("max_insert_threads", "1"),
    ("max_partitions_per_insert_block", "0"),
    ("max_threads", "1"),
    ("min_insert_block_size_bytes", "0"),
    ("min_insert_block_size_rows", BLOCK_ROWS_MAX),
    ("read_overflow_mode", "throw"),
    ("send_progress_in_http_headers", "0"),
    ("timeout_overflow_mode", "throw"),
    ("wait_end_of_query", "1"),
];

/// Above any batch: the server must not cut an insert into blocks, as a retry could be cut elsewhere.
const BLOCK_ROWS_MAX: &str = "1000000000";

/// The settings of an insert: the given ones, then ours over them.
fn effective_settings(insert: &Insert<'_>, known: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut settings = insert.settings.clone();
    if insert.columns.iter().any(|(_, column_type)| wire_type::holds_json(column_type)) {
        settings.extend(json_settings(known).map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    settings.extend(exact_settings(known).map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings.insert("insert_deduplication_token".to_owned(), insert.token.to_owned());
    settings.insert("max_execution_time".to_owned(), insert.timeout.as_secs().max(1).to_string());
    settings
}

/// The settings that make an insert exact, as far as a server knows them.
pub(crate) fn exact_settings(known: &BTreeSet<String>) -> impl Iterator<Item = (&'static str, &'static str)> {
    EXACT.into_iter().filter(|(name, _)| !VERSIONED.contains(name) || known.contains(*name))
}

/// The settings of an insert with columns of type JSON, as far as a server knows them.
pub(crate) fn json_settings(known: &BTreeSet<String>) -> impl Iterator<Item = (&'static str, &'static str)> {
    wire_type::JSON_SETTINGS.into_iter().filter(|(name, _)| known.contains(*name))
}

/// The settings that a server is asked for: a version may not know them.
pub(crate) fn versioned_settings() -> impl Iterator<Item = &'static str> {
    VERSIONED.into_iter().chain(wire_type::JSON_SETTINGS.into_iter().map(|(name, _)| name))
}

/// The statement: ClickHouse itself refuses the block once the deadline has passed by its clock.
fn statement(insert: &Insert<'_>) -> String {
    let names: Vec<_> = insert.columns.iter().map(|(name, _)| quote::quoted_name(name)).collect();
    let names = names.join(", ");
    let sent = |(name, column_type): &(String, String)| (name.clone(), wire_type::sent_as(column_type));
    let sent: Vec<_> = insert.columns.iter().map(sent).collect();
    format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM input({}) \
         WHERE NOT throwIf(nowInBlock('UTC') > toDateTime({}, 'UTC'), '{DEADLINE_MARK}') FORMAT ArrowStream",
        into_table(insert),
        quote::text(&quote::structure(&sent)),
        insert.deadline_unix_seconds,
    )
}

fn into_table(insert: &Insert<'_>) -> String {
    let table = quote::quoted_name(insert.table);
    match insert.database {
        "" => table,
        database => format!("{}.{table}", quote::quoted_name(database)),
    }
}

/// What an answer proves. Success needs a sign that ClickHouse gave it: a proxy's empty 200 is none.
pub(crate) async fn judge(response: Response, has_views: bool) -> InsertAnswer {
    let status = response.status().as_u16();
    let code = exception_code(response.headers());
    let signed = ["x-clickhouse-summary", "x-clickhouse-query-id"]
        .iter()
        .any(|name| response.headers().contains_key(*name));
    let (body, whole) = read_body(response, ANSWER_BYTES_MAX).await;
    let text = String::from_utf8_lossy(&body);
    match (ServerError::from_answer(status, code, &text), whole) {
        (Some(error), _) if error.proves_nothing_landed(has_views) => {
            InsertAnswer::Refused(Refusal::Server(error))
        }
        (Some(error), _) => InsertAnswer::Unknown(Doubt::Server(error)),
        (None, Err(reason)) => InsertAnswer::Unknown(Doubt::Lost(reason)),
        (None, Ok(())) if status == 200 && signed && text.trim().is_empty() => InsertAnswer::Done,
        (None, Ok(())) if status == 200 && !signed => InsertAnswer::Unknown(Doubt::Answer(
            "success without ClickHouse's headers: not its answer".to_owned(),
        )),
        (None, Ok(())) if status == 200 => {
            InsertAnswer::Unknown(Doubt::Answer("success with an answer where none belongs".to_owned()))
        }
        (None, Ok(())) => InsertAnswer::Unknown(Doubt::Answer(format!(
            "HTTP status {status} without an error code of ClickHouse: a proxy may have passed the insert on"
        ))),
    }
}

#[cfg(test)]
#[path = "insert_tests.rs"]
mod tests;
