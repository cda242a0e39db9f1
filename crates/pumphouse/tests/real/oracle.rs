//! ClickHouse as the oracle of types: for generated values of each type, what arrives through pumphouse is what
//! `JSONEachRow` would store when it is asked to be careful, or both refuse. Where they differ, the difference is
//! declared, with a reason, and told in `docs/guide/types.md`.

mod compare;
mod differences;
mod digits;
mod generate;
mod moments;
mod value;

use std::collections::BTreeMap;

use pumphouse::config;
use pumphouse_clickhouse::Client;

use self::compare::{Bench, Verdict};
use self::differences::{Case, DIFFERENCES, Side};
use crate::wire::client;

/// Values of each type, unless `PUMPHOUSE_ORACLE_VALUES` says otherwise.
const VALUES: usize = 400;
/// Undeclared differences that a failure shows of each type.
const SHOWN: usize = 12;

/// The types, and what a bare number means in them.
const TYPES: &[(&str, Option<&str>)] = &[
    ("Bool", None),
    ("Int8", None),
    ("Int16", None),
    ("Int32", None),
    ("Int64", None),
    ("UInt8", None),
    ("UInt16", None),
    ("UInt32", None),
    ("UInt64", None),
    ("Float32", None),
    ("Float64", None),
    ("Decimal(9, 2)", None),
    ("Decimal(18, 18)", None),
    ("Decimal(18, 0)", None),
    ("Decimal(38, 10)", None),
    ("Decimal(76, 38)", None),
    ("String", None),
    ("UUID", None),
    ("Date", None),
    ("Date", Some("seconds")),
    ("DateTime", None),
    ("DateTime", Some("seconds")),
    ("DateTime('Europe/Berlin')", None),
    ("DateTime('America/Sao_Paulo')", None),
    ("DateTime64(0)", None),
    ("DateTime64(3)", None),
    ("DateTime64(3)", Some("milliseconds")),
    ("DateTime64(4)", None),
    ("DateTime64(6, 'America/New_York')", None),
    ("DateTime64(9)", None),
    ("DateTime64(3, 'Australia/Lord_Howe')", None),
    ("DateTime64(3, 'Asia/Kathmandu')", None),
    ("LowCardinality(String)", None),
    ("LowCardinality(Nullable(String))", None),
    ("Nullable(UInt8)", None),
    ("Nullable(Int64)", None),
    ("Nullable(Float64)", None),
    ("Nullable(Decimal(18, 4))", None),
    ("Nullable(String)", None),
    ("Nullable(UUID)", None),
    ("Nullable(Bool)", None),
    ("Nullable(DateTime64(3))", None),
    ("Array(Int32)", None),
    ("Array(Nullable(String))", None),
    ("Array(LowCardinality(String))", None),
    ("Array(Array(UInt8))", None),
    ("Array(DateTime64(3))", None),
    ("Map(String, Int64)", None),
    ("Map(LowCardinality(String), Array(Float64))", None),
    ("Map(UInt64, String)", None),
    ("Map(Date, Nullable(Bool))", None),
    ("Map(UUID, Map(String, UInt8))", None),
    ("Array(Map(String, Array(Nullable(Decimal(9, 2)))))", None),
];

/// How many values of a type became what.
#[derive(Default)]
struct Counts {
    values: usize,
    both_store: usize,
    both_refuse: usize,
    only_ours_refuses: usize,
    only_theirs_refuses: usize,
    differ: usize,
}

/// Compares thousands of values, and fails for a difference that is not declared, or declared and not there.
pub(crate) async fn generated_values_arrive_as_clickhouse_itself_would_store_them(url: &str, database: &str) {
    let client = client(url);
    let values =
        std::env::var("PUMPHOUSE_ORACLE_VALUES").ok().map_or(VALUES, |count| count.parse().expect("a count"));
    let only = std::env::var("PUMPHOUSE_ORACLE_TYPE").unwrap_or_default();
    let (mut undeclared, mut occurred) = (Vec::new(), BTreeMap::<&str, usize>::new());
    println!(
        "{:<52} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "type", "values", "same", "neither", "theirs", "ours", "differ"
    );
    for (number, (of, epoch)) in (0_u64..).zip(TYPES).filter(|(_, (of, _))| of.contains(&only)) {
        let counts =
            subject(&client, database, number, (*of, *epoch), values, &mut undeclared, &mut occurred).await;
        let Counts { values, both_store, both_refuse, only_ours_refuses, only_theirs_refuses, differ } =
            counts;
        let unit = epoch.map(|unit| format!(", {unit}")).unwrap_or_default();
        println!(
            "{:<52} {values:>6} {both_store:>6} {both_refuse:>6} {only_ours_refuses:>6} {only_theirs_refuses:>6} {differ:>6}",
            format!("{of}{unit}")
        );
    }
    for difference in DIFFERENCES {
        println!("{:>6} {}", occurred.get(difference.name).copied().unwrap_or(0), difference.name);
    }
    assert!(undeclared.is_empty(), "{} undeclared\n{}", undeclared.len(), undeclared.join("\n"));
    let missing: Vec<_> =
        DIFFERENCES.iter().filter(|one| !occurred.contains_key(one.name)).map(|one| one.name).collect();
    assert!(missing.is_empty() || !only.is_empty(), "declared, and never seen: {missing:#?}");
}

async fn subject(
    client: &Client,
    database: &str,
    number: u64,
    (of, epoch): (&str, Option<&str>),
    count: usize,
    undeclared: &mut Vec<String>,
    occurred: &mut BTreeMap<&'static str, usize>,
) -> Counts {
    let settings = settings(database, of, epoch);
    let stream = &settings.streams["oracle"];
    let column_type = &stream.columns[0].column_type;
    let bench = Bench { client, database, stream, name: &format!("t{number}") };
    bench.prepare().await;
    let generated = generate::values(number, column_type, count);
    let written: Vec<String> = generated.iter().map(value::Json::written).collect();
    let (ours, theirs) = (bench.ours(&written).await, bench.theirs(&written).await);
    let mut counts = Counts { values: written.len(), ..Counts::default() };
    let mut shown = 0;
    for (at, json) in generated.iter().enumerate() {
        let side = match (&ours[at], &theirs[at]) {
            (Verdict::Stored(ours), Verdict::Stored(theirs)) if ours == theirs => {
                counts.both_store += 1;
                continue;
            }
            (Verdict::Refused(_), Verdict::Refused(_)) => {
                counts.both_refuse += 1;
                continue;
            }
            (Verdict::Refused(_), Verdict::Stored(_)) => {
                counts.only_ours_refuses += 1;
                Side::OnlyPumphouseRefuses
            }
            (Verdict::Stored(_), Verdict::Refused(_)) => {
                counts.only_theirs_refuses += 1;
                Side::OnlyClickHouseRefuses
            }
            (Verdict::Stored(_), Verdict::Stored(_)) => {
                counts.differ += 1;
                Side::StoredDifferently
            }
        };
        let case =
            Case { of: column_type, has_unit: epoch.is_some(), json, ours: &ours[at], theirs: &theirs[at] };
        match DIFFERENCES.iter().find(|one| one.side == side && one.holds(&case)) {
            Some(difference) => *occurred.entry(difference.name).or_default() += 1,
            None => {
                shown += 1;
                if shown <= SHOWN || count > 100_000 {
                    undeclared.push(format!(
                        "{of} {side:?} {:.200}\n    pumphouse {:?}\n    ClickHouse {:?}",
                        written[at], ours[at], theirs[at]
                    ));
                }
            }
        }
    }
    counts
}

/// A stream with one column `v`.
fn settings(database: &str, of: &str, epoch: Option<&str>) -> config::settings::Settings {
    let unit = epoch.map(|unit| format!(", epoch: {unit}")).unwrap_or_default();
    let text = format!(
        "clickhouse: {{ url: \"http://localhost:8123\", database: {database} }}\n\
         kafka: {{ brokers: \"localhost:9092\" }}\n\
         streams:\n  oracle:\n    from: {{ topic: oracle, format: json }}\n    columns:\n      \
         v: {{ type: {}{unit} }}\n    table: {{ order_by: [_offset] }}\n",
        value::quoted(of)
    );
    config::parse("pumphouse.yaml", &text, &|_| None).unwrap_or_else(|mistakes| panic!("{of}: {mistakes}"))
}
