//! A connection to the servers: addresses, sign-in, queries with a time limit. Knows no table, and does not
//! decide whether a failed query is tried again.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exception::ServerError;
use crate::insert::versioned_settings;
use crate::quote;

/// Most bytes that an answer to a query may have.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How long an idle connection is kept: below the shortest `keep_alive_timeout` that servers had by default,
/// so that a request seldom meets a connection that is being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(8);

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientSettings {
    /// HTTP addresses of the servers, replicas of each other.
    pub urls: Vec<String>,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// Limit for opening a connection.
    pub connect_timeout: Duration,
    /// Limit for a query, answer included. An insert brings its own.
    pub query_timeout: Duration,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("urls", &self.urls)
            .field("user", &self.user)
            .field("password", &"[redacted]")
            .field("connect_timeout", &self.connect_timeout)
            .field("query_timeout", &self.query_timeout)
            .finish()
    }
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No address was given.
    #[error("no address of a ClickHouse server was given")]
    NoUrl,
    /// An address can't be used.
    #[error("`{url}` is not an HTTP address: {reason}")]
    Url {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP side could not be set up.
    #[error("the HTTP client can't be set up: {0}")]
    Http(String),
}

/// A query without an answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query never left: no connection.
    #[error("no connection: {0}")]
    NotSent(String),
    /// ClickHouse, or a proxy, refused it.
    #[error("{0}")]
    Server(ServerError),
    /// It was sent; no whole answer came.
    #[error("no whole answer: {0}")]
    Lost(String),
    /// The answer is not what was asked for.
    #[error("the answer can't be read: {0}")]
    Answer(String),
}

/// A connection to one or several servers that are replicas of each other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    urls: Vec<Url>,
    query_timeout: Duration,
    /// The server that queries without a chosen one go to first.
    preferred: AtomicUsize,
    /// Per server, which of the settings that depend on the version it knows.
    known_settings: Vec<Mutex<Option<Arc<BTreeSet<String>>>>>,
    query_id_prefix: String,
    query_ids: AtomicU64,
}

/// One query on its way.
#[derive(Debug)]
pub struct Query<'a> {
    client: &'a Client,
    sql: &'a str,
    pairs: Vec<(String, String)>,
    url_index: Option<usize>,
    timeout: Duration,
}

impl Client {
    /// Makes a client; connects to nothing yet. Needs the process's TLS provider installed, goes through no
    /// proxy of the environment and follows no redirect: an insert must reach the server that answers it.
    ///
    /// # Errors
    /// When an address can't be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let urls = settings.urls.iter().map(|url| parse_url(url)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(ClientError::NoUrl);
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .default_headers(sign_in(settings)?)
            .build()
            .map_err(|error| ClientError::Http(causes(&error)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                known_settings: urls.iter().map(|_| Mutex::default()).collect(),
                urls,
                query_timeout: settings.query_timeout,
                preferred: AtomicUsize::new(0),
                query_id_prefix: format!(
                    "pumphouse-{:016x}",
                    RandomState::new().hash_one(std::process::id())
                ),
                query_ids: AtomicU64::new(0),
            }),
        })
    }

    /// The number of servers; an index below it names one.
    #[must_use]
    pub fn url_count(&self) -> usize {
        self.inner.urls.len()
    }

    /// The address of a server, as the operator wrote it.
    #[must_use]
    pub fn url(&self, url_index: usize) -> &str {
        self.inner.urls[url_index].as_str().trim_end_matches('/')
    }

    /// Starts a query. It goes to the server that answered last, and to the next one where no connection can
    /// be made, unless [`Query::at`] chooses.
    #[must_use]
    pub fn query<'a>(&'a self, sql: &'a str) -> Query<'a> {
        let timeout = self.inner.query_timeout;
        Query { client: self, sql, pairs: Vec::new(), url_index: None, timeout }
    }

    /// Runs a statement that answers nothing.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn execute(&self, sql: &str) -> Result<(), QueryError> {
        self.query(sql).execute().await
    }

    /// Runs a query and reads its rows.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, QueryError> {
        self.query(sql).rows().await
    }

    /// Asks `SELECT 1`: the server is there and lets us in.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn select_one(&self) -> Result<(), QueryError> {
        #[derive(Deserialize)]
        struct One {
            one: u8,
        }
        match self.query("SELECT 1 AS one").row::<One>().await?.one {
            1 => Ok(()),
            other => Err(QueryError::Answer(format!("SELECT 1 gave {other}"))),
        }
    }

    /// The server's clock: milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn server_time_ms(&self) -> Result<i64, QueryError> {
        #[derive(Deserialize)]
        struct Now {
            ms: i64,
        }
        Ok(self.query("SELECT toUnixTimestamp64Milli(now64(3)) AS ms").row::<Now>().await?.ms)
    }

    /// The server's version: `26.7.2.1`.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn version(&self) -> Result<String, QueryError> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        Ok(self.query("SELECT version() AS version").row::<Version>().await?.version)
    }

    /// Which of the settings that depend on the version a server knows; asked once, until
    /// [`Client::forget_settings`].
    pub(crate) async fn known_settings(&self, url_index: usize) -> Result<Arc<BTreeSet<String>>, QueryError> {
        #[derive(Deserialize)]
        struct Setting {
            name: String,
        }
        let slot = &self.inner.known_settings[url_index];
        if let Some(known) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(known));
        }
        let names: Vec<_> = versioned_settings().map(quote::text).collect();
        let sql = format!("SELECT name FROM system.settings WHERE name IN ({})", names.join(", "));
        let rows = self.query(&sql).at(url_index).rows::<Setting>().await?;
        let known: Arc<BTreeSet<_>> = Arc::new(rows.into_iter().map(|row| row.name).collect());
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Forgets which settings a server knows: it may have been exchanged for another version.
    pub(crate) fn forget_settings(&self, url_index: usize) {
        *self.inner.known_settings[url_index].lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    /// The address of a request, with its query string.
    pub(crate) fn address<'a>(
        &self,
        url_index: usize,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Url {
        let mut url = self.inner.urls[url_index].clone();
        url.query_pairs_mut().extend_pairs(pairs);
        url
    }

    /// A query id that no other request has.
    pub(crate) fn next_query_id(&self) -> String {
        let number = self.inner.query_ids.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.inner.query_id_prefix)
    }
}

impl Query<'_> {
    /// Sends `value` for `{name:Type}` in the statement.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.pairs.push((format!("param_{name}"), quote::parameter(value)));
        self
    }

    /// Sends a setting with the statement.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Chooses the server.
    #[must_use]
    pub fn at(mut self, url_index: usize) -> Self {
        self.url_index = Some(url_index);
        self
    }

    /// Replaces the time limit of the client.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the statement, drops what it answers.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn execute(self) -> Result<(), QueryError> {
        self.send().await.map(drop)
    }

    /// Reads the only row.
    ///
    /// # Errors
    /// See [`QueryError`]; also when there is not exactly one row.
    pub async fn row<T: DeserializeOwned>(self) -> Result<T, QueryError> {
        let mut rows = self.rows().await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, more) => Err(QueryError::Answer(format!("one row expected, {} more", more.max(1)))),
        }
    }

    /// Reads the rows, as `serde` maps column names to fields.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn rows<T: DeserializeOwned>(self) -> Result<Vec<T>, QueryError> {
        let body = self.send().await?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).map_err(|error| QueryError::Answer(error.to_string())))
            .collect()
    }

    /// The answer as it came, in the format that the statement names.
    pub(crate) async fn bytes(self) -> Result<Vec<u8>, QueryError> {
        self.send().await
    }

    async fn send(self) -> Result<Vec<u8>, QueryError> {
        let inner = &self.client.inner;
        let count = inner.urls.len();
        let (first, tries) = match self.url_index {
            Some(chosen) => (chosen, 1),
            None => (inner.preferred.load(Ordering::Relaxed), count),
        };
        let mut answer = Err(QueryError::NotSent("no server was tried".to_owned()));
        for url_index in (first..first + tries).map(|index| index % count) {
            answer = self.send_to(url_index).await;
            if !matches!(answer, Err(QueryError::NotSent(_))) {
                if self.url_index.is_none() {
                    inner.preferred.store(url_index, Ordering::Relaxed);
                }
                break;
            }
        }
        answer
    }

    /// One attempt. The statement is the body, so a body is never empty: ClickHouse refuses those (411).
    async fn send_to(&self, url_index: usize) -> Result<Vec<u8>, QueryError> {
        let query_id = self.client.next_query_id();
        let own = [
            ("query_id", query_id.as_str()),
            ("default_format", "JSONEachRow"),
            ("output_format_json_quote_64bit_integers", "0"),
            ("wait_end_of_query", "1"),
        ];
        let given = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let address = self.client.address(url_index, own.into_iter().chain(given));
        let request = self.client.http().post(address).timeout(self.timeout).body(self.sql.to_owned());
        let response = request.send().await.map_err(|error| {
            let reason = causes(&error);
            if was_not_sent(&error) { QueryError::NotSent(reason) } else { QueryError::Lost(reason) }
        })?;
        let (status, code) = (response.status().as_u16(), exception_code(response.headers()));
        let (body, whole) = read_body(response, ANSWER_BYTES_MAX).await;
        if let Some(error) = ServerError::from_answer(status, code, &String::from_utf8_lossy(tail(&body))) {
            return Err(QueryError::Server(error));
        }
        match whole {
            Err(reason) => Err(QueryError::Lost(reason)),
            Ok(()) if status == 200 => Ok(body),
            Ok(()) => {
                Err(QueryError::Lost(format!("HTTP status {status} without an error code of ClickHouse")))
            }
        }
    }
}

/// The part of a body that can hold an exception: all of a short one, the end of a long one.
fn tail(body: &[u8]) -> &[u8] {
    const EXCEPTION_BYTES_MAX: usize = 32 << 10;
    &body[body.len().saturating_sub(EXCEPTION_BYTES_MAX)..]
}

/// Reads a body up to a limit; what was read, and whether it is all of it.
pub(crate) async fn read_body(mut response: Response, limit: usize) -> (Vec<u8>, Result<(), String>) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return (body, Err(format!("the answer is longer than {limit} bytes")));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, Ok(())),
            Err(error) => return (body, Err(causes(&error))),
        }
    }
}

/// ClickHouse's error code, as the header says it.
pub(crate) fn exception_code(headers: &HeaderMap) -> Option<i32> {
    headers.get("x-clickhouse-exception-code")?.to_str().ok()?.trim().parse().ok()
}

/// Whether a request certainly never reached the server: the connection was not made.
pub(crate) fn was_not_sent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder()
}

/// An error with everything beneath it, without the address: it holds the statement.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = match (error.is_timeout(), error.is_connect()) {
        (true, true) => "time limit for connecting reached".to_owned(),
        (true, false) => "time limit reached".to_owned(),
        (false, true) => "can't connect".to_owned(),
        (false, false) => "connection failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn parse_url(text: &str) -> Result<Url, ClientError> {
    let wrong = |reason: &str| ClientError::Url { url: text.to_owned(), reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
            Err(wrong("it must end before `?` or `#`; settings have a place of their own"))
        }
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(wrong("it must begin with http:// or https://")),
    }
}

fn sign_in(settings: &ClientSettings) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    for (name, text) in [("x-clickhouse-user", &settings.user), ("x-clickhouse-key", &settings.password)] {
        let mut value = reqwest::header::HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| ClientError::Http(format!("a control character in what `{name}` is to hold")))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}
