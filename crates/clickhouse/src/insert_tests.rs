//! Answers of a server that is none: each connection gets one canned reply.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::Bytes;

use super::*;
use crate::arrow_stream::Compression;
use crate::client::ClientSettings;

/// What the canned server does with the insert, after it answered the question for known settings.
#[derive(Clone, Copy)]
enum Reply {
    Text(&'static str),
    Hang,
    Close,
}

const CLICKHOUSE: &str = "X-ClickHouse-Summary: {}\r\nX-ClickHouse-Query-Id: q\r\nConnection: close\r\n";

fn serve(reply: Reply) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut known, _) = listener.accept().expect("the question for settings");
        read_request(&mut known);
        let row = "{\"name\":\"deduplicate_insert\"}\n";
        let head = format!("HTTP/1.1 200 OK\r\n{CLICKHOUSE}Content-Length: {}\r\n\r\n", row.len());
        known.write_all(format!("{head}{row}").as_bytes()).expect("written");
        drop(known);
        let (mut insert, _) = listener.accept().expect("the insert");
        read_request(&mut insert);
        match reply {
            Reply::Text(text) => insert.write_all(text.as_bytes()).expect("written"),
            Reply::Hang => drop(listener.accept()),
            Reply::Close => {}
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).expect("read");
        seen.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&seen);
        let Some(head_end) = text.find("\r\n\r\n") else { continue };
        let length = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
            .and_then(|length| length.trim().parse::<usize>().ok())
            .expect("a request with a length");
        if seen.len() >= head_end + 4 + length || read == 0 {
            return;
        }
    }
}

fn client(url: &str) -> Client {
    // A second installation is refused, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(&ClientSettings {
        urls: vec![url.to_owned()],
        user: "default".to_owned(),
        password: String::new(),
        connect_timeout: Duration::from_mins(1),
        query_timeout: Duration::from_mins(1),
    })
    .expect("a client")
}

fn columns() -> Vec<(String, String)> {
    vec![("a".to_owned(), "UInt8".to_owned()), ("ts".to_owned(), "DateTime64(3, 'UTC')".to_owned())]
}

async fn insert_at(url: &str, timeout: Duration) -> InsertAnswer {
    let body = Body { bytes: Bytes::from_static(b"rows"), compression: Compression::None };
    let insert = Insert {
        database: "d",
        table: "t",
        columns: &columns(),
        token: "ph1:0/d.t",
        deadline_unix_seconds: 4_000_000_000,
        timeout,
        body: &body,
        query_id: None,
        settings: &BTreeMap::new(),
        url_index: 0,
        has_views: false,
    };
    client(url).insert(&insert).await
}

#[tokio::test]
async fn only_clickhouses_own_success_is_done() {
    let minute = Duration::from_mins(1);
    let done = format!("HTTP/1.1 200 OK\r\n{CLICKHOUSE}Content-Length: 0\r\n\r\n").leak();
    assert_eq!(insert_at(&serve(Reply::Text(done)), minute).await, InsertAnswer::Done);
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = insert_at(&serve(Reply::Text(text)), minute).await;
        assert!(matches!(answer, InsertAnswer::Unknown(Doubt::Answer(_))), "{text} {answer:?}");
    }
}

#[tokio::test]
async fn a_lost_or_cut_reply_is_unknown() {
    let minute = Duration::from_mins(1);
    let cut = format!("HTTP/1.1 200 OK\r\n{CLICKHOUSE}Content-Length: 400\r\n\r\nCode").leak();
    for (reply, timeout) in [
        (Reply::Close, minute),
        (Reply::Text(cut), minute),
        (Reply::Text("HTTP/1.1 200 O"), minute),
        (Reply::Hang, Duration::from_millis(300)),
    ] {
        let answer = insert_at(&serve(reply), timeout).await;
        assert!(matches!(answer, InsertAnswer::Unknown(Doubt::Lost(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn an_exception_after_status_200_is_no_success() {
    let body =
        "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1)\n";
    let text = format!("HTTP/1.1 200 OK\r\n{CLICKHOUSE}Content-Length: {}\r\n\r\n{body}", body.len()).leak();
    let answer = insert_at(&serve(Reply::Text(text)), Duration::from_mins(1)).await;
    assert!(
        matches!(&answer, InsertAnswer::Unknown(Doubt::Server(error)) if error.code == 241),
        "{answer:?}"
    );
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    for url in [format!("http://127.0.0.1:{port}"), "http://no-such-host.invalid:8123".to_owned()] {
        let answer = insert_at(&url, Duration::from_mins(1)).await;
        assert!(matches!(answer, InsertAnswer::Refused(Refusal::NotSent(_))), "{url} {answer:?}");
    }
}

#[test]
fn a_statement_quotes_names_and_types_and_carries_its_deadline() {
    let body = Body { bytes: Bytes::new(), compression: Compression::None };
    let columns = [("a`b".to_owned(), "DateTime('UTC')".to_owned())];
    let settings = BTreeMap::from([("async_insert".to_owned(), "1".to_owned())]);
    let insert = Insert {
        database: "my db",
        table: "t'x",
        columns: &columns,
        token: "ph1:0/t",
        deadline_unix_seconds: 1_795_252_704,
        timeout: Duration::from_millis(1_500),
        body: &body,
        query_id: None,
        settings: &settings,
        url_index: 0,
        has_views: false,
    };
    assert_eq!(
        statement(&insert),
        "INSERT INTO `my db`.`t'x` (`a\\`b`) SELECT `a\\`b` FROM input('`a\\\\`b` DateTime(\\'UTC\\')') \
         WHERE NOT throwIf(nowInBlock('UTC') > toDateTime(1795252704, 'UTC'), 'PH_DEADLINE') FORMAT ArrowStream"
    );
    let sent = effective_settings(&insert, &BTreeSet::from(["deduplicate_insert".to_owned()]));
    assert_eq!(sent["async_insert"], "0", "ours win");
    assert_eq!(sent["deduplicate_insert"], "enable");
    assert!(!sent.contains_key("deduplicate_insert_select"), "a server that does not know it would refuse");
    assert_eq!(sent["max_execution_time"], "1");
}
