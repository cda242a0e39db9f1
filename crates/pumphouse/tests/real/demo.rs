//! The demo as a user starts it: it ends by itself, its count holds through kills, and it sees what it must see.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use pumphouse_clickhouse::{Client, ClientSettings};
use serde_json::Value;

fn started(time: &str) -> (Child, BufReader<ChildStderr>) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
        .args(["demo", "--json", "--rate", "5000", "--for", time])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let stderr = BufReader::new(demo.stderr.take().expect("piped"));
    (demo, stderr)
}

/// Reads until a line holds `wanted`; the demo's end is the end of the lines.
fn line_with(lines: &mut BufReader<ChildStderr>, wanted: &str) -> String {
    let mut all = String::new();
    while !all.contains(wanted) {
        let read = lines.read_line(&mut all).expect("text");
        assert!(read > 0, "the demo ended without saying `{wanted}`:\n{all}");
    }
    all.lines().last().unwrap_or_default().to_owned()
}

/// What the demo says to its end, its count and its exit code.
fn ended((mut demo, mut lines): (Child, BufReader<ChildStderr>)) -> (String, Value, Option<i32>) {
    let (mut said, mut count) = (String::new(), String::new());
    lines.read_to_string(&mut said).expect("text");
    demo.stdout.take().expect("piped").read_to_string(&mut count).expect("text");
    let code = demo.wait().expect("an end").code();
    (said, serde_json::from_str(&count).unwrap_or(Value::Null), code)
}

fn sum(count: &Value, figure: &str) -> u64 {
    let partitions = count["partitions"].as_array().map_or(&[][..], Vec::as_slice);
    partitions.iter().filter_map(|partition| partition[figure].as_u64()).sum()
}

fn client(url: &str) -> Client {
    // Another test of this process may have been first.
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

#[test]
fn the_demos_count_holds_through_kills() {
    let (said, count, code) = ended(started("15s"));
    assert_eq!((code, &count["holds"]), (Some(0), &Value::Bool(true)), "{said}\n{count:#}");
    assert!(count["kills"].as_u64() >= Some(1), "{said}");
    assert!(sum(&count, "dead_letters") > 0);
    assert_eq!(sum(&count, "produced"), sum(&count, "rows") + sum(&count, "dead_letters"));
    assert_eq!(count["rollup_rows"].as_u64(), Some(sum(&count, "rows")));
}

#[test]
fn one_row_that_is_doubled_behind_the_demos_back_makes_it_fail() {
    let (demo, mut lines) = started("6s");
    let line = line_with(&mut lines, "ClickHouse is at ");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    line_with(&mut lines, "the first rows are in ClickHouse");
    let doubled = "INSERT INTO demo.requests SELECT * FROM demo.requests LIMIT 1";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(client(url).execute(doubled)).expect("inserted");
    let (said, count, code) = ended((demo, lines));
    assert_eq!((code, &count["holds"]), (Some(1), &Value::Bool(false)), "{said}\n{count:#}");
    assert_eq!((sum(&count, "doubled"), sum(&count, "missing")), (1, 0), "{count:#}");
    assert!(said.contains("PH-0210"), "{said}");
}
