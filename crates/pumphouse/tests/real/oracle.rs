//! ClickHouse as the oracle of types: for generated values of each type, what arrives through pumphouse is what
//! `JSONEachRow` would store when it is asked to be careful, or both refuse. Where they differ, the difference is
//! declared, with a reason, and told in `docs/guide/types.md`.

mod compare;
mod differences;
mod digits;
mod documents;
mod generate;
mod kinds;
mod moments;
mod value;

use std::collections::BTreeMap;

use pumphouse::config::settings::{Column, EpochUnit, Numbers, Stream, Table};

use self::compare::{Bench, Verdict};
use self::differences::{Case, DIFFERENCES, Side};
use self::value::Json;
use crate::wire::client;

/// Values of each type, unless `PUMPHOUSE_ORACLE_VALUES` says otherwise.
const VALUES: usize = 400;
/// Undeclared differences that a failure shows of each type.
const SHOWN: usize = 12;

/// A type, how strictly numbers are read, and what a bare number means for a time.
type Subject = (&'static str, Numbers, Option<EpochUnit>);

/// Types whose numbers are also coerced.
const COERCED: &[&str] = &[
    "Bool",
    "Int8",
    "Int64",
    "UInt32",
    "UInt64",
    "Int128",
    "UInt256",
    "Float32",
    "Float64",
    "Decimal(9, 2)",
    "String",
    "FixedString(8)",
    "LowCardinality(String)",
    "UUID",
    "IPv4",
    "Enum8('a' = 1, 'b' = 2, '1' = 3)",
    "DateTime64(3)",
    "Nullable(Int32)",
    "Array(UInt8)",
    "Map(String, Float64)",
    "Map(UInt16, String)",
];

/// Types whose numbers have a declared unit.
const WITH_UNIT: &[(&str, EpochUnit)] = &[
    ("Date", EpochUnit::Seconds),
    ("Date32", EpochUnit::Seconds),
    ("DateTime", EpochUnit::Seconds),
    ("DateTime64(0)", EpochUnit::Seconds),
    ("DateTime64(3)", EpochUnit::Milliseconds),
    ("DateTime64(6)", EpochUnit::Microseconds),
];

/// The types.
const TYPES: &[&str] = &[
    "Bool",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "Float32",
    "Float64",
    "Decimal(9, 2)",
    "Decimal(18, 18)",
    "Decimal(18, 0)",
    "Decimal(38, 10)",
    "Decimal(76, 38)",
    "String",
    "FixedString(8)",
    "UUID",
    "IPv4",
    "IPv6",
    "Enum8('a' = 1, 'b' = 2, '1' = 3, '' = -4, 'é' = 5)",
    "Enum16('a' = 300, 'x y' = -300)",
    "Date",
    "Date32",
    "DateTime",
    "DateTime('Europe/Berlin')",
    "DateTime('America/Sao_Paulo')",
    "DateTime64(0)",
    "DateTime64(3)",
    "DateTime64(4)",
    "DateTime64(9)",
    "DateTime64(6, 'America/New_York')",
    "DateTime64(3, 'Australia/Lord_Howe')",
    "DateTime64(3, 'Asia/Kathmandu')",
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
    "Nullable(UInt8)",
    "Nullable(Int64)",
    "Nullable(Int256)",
    "Nullable(Float64)",
    "Nullable(Decimal(18, 4))",
    "Nullable(String)",
    "Nullable(FixedString(3))",
    "Nullable(UUID)",
    "Nullable(Bool)",
    "Nullable(IPv6)",
    "Nullable(Enum8('a' = 1))",
    "Nullable(Date32)",
    "Nullable(DateTime64(3))",
    "Array(Int32)",
    "Array(Nullable(String))",
    "Array(LowCardinality(String))",
    "Array(Array(UInt8))",
    "Array(DateTime64(3))",
    "Array(Nullable(Enum16('a' = 300)))",
    "Map(String, Int64)",
    "Map(LowCardinality(String), Array(Float64))",
    "Map(UInt64, String)",
    "Map(Date, Nullable(Bool))",
    "Map(UUID, Map(String, UInt8))",
    "Map(IPv4, Int128)",
    "Map(Enum8('a' = 1, 'b' = 2), IPv6)",
    "Array(Map(String, Array(Nullable(Decimal(9, 2)))))",
    "Array(Array(Array(Nullable(Int16))))",
    "LowCardinality(FixedString(4))",
    "LowCardinality(UUID)",
    "LowCardinality(Nullable(UUID))",
    "Array(LowCardinality(UUID))",
    "Tuple(a UInt8, b String)",
    "Tuple(UInt8, Nullable(String))",
    "Tuple(a Int64, b Nullable(DateTime64(3)), c Array(Float64))",
    "Tuple(a Tuple(b UInt8, c String), d Map(String, Int32))",
    "Tuple(a Array(Tuple(x UInt8, y IPv4)))",
    "Array(Tuple(a UInt16, b Nullable(String)))",
    "Map(String, Tuple(a UInt8, b LowCardinality(String)))",
    "Map(String, Array(Tuple(DateTime('Europe/Berlin'), Nullable(Enum8('a' = 1)))))",
    "Nested(a UInt8, b Nullable(String))",
    "Nested(a LowCardinality(String), b Array(Int32))",
    "Nested(at DateTime64(3, 'America/New_York'), price Decimal(18, 4))",
    "JSON",
    "JSON(max_dynamic_paths=2)",
    "Array(JSON)",
    "Map(String, JSON)",
    "Tuple(a UInt8, b JSON)",
];

/// What is compared, in the order of the report.
fn subjects() -> Vec<Subject> {
    let strict = TYPES.iter().map(|of| (*of, Numbers::Strict, None));
    let with_unit = WITH_UNIT.iter().map(|(of, unit)| (*of, Numbers::Strict, Some(*unit)));
    let coerced = COERCED.iter().map(|of| (*of, Numbers::Coerce, None));
    let both = WITH_UNIT.iter().map(|(of, unit)| (*of, Numbers::Coerce, Some(*unit)));
    strict.chain(with_unit).chain(coerced).chain(both).collect()
}

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

/// What a run found.
#[derive(Default)]
struct Findings {
    /// How often each declared difference occurred.
    occurred: BTreeMap<&'static str, usize>,
    undeclared: Vec<String>,
}

/// Compares thousands of values, and fails for a difference that is not declared, or declared and not there.
pub(crate) async fn generated_values_arrive_as_clickhouse_itself_would_store_them(url: &str, database: &str) {
    let client = client(url);
    let count = std::env::var("PUMPHOUSE_ORACLE_VALUES").ok();
    let count = count.map_or(VALUES, |count| count.parse().expect("a number of values"));
    let mut findings = Findings::default();
    println!("{HEAD}");
    for (number, subject) in (0..).zip(subjects()) {
        let stream = stream(&subject);
        let bench = Bench { client: &client, database, stream: &stream, name: &format!("t{number}") };
        let counts = compare(&bench, subject, count, &mut findings).await;
        println!("{}", counts.line(&subject));
    }
    for difference in DIFFERENCES {
        let times = findings.occurred.get(difference.name).copied().unwrap_or(0);
        println!("{times:>7}  {:?}: {}", difference.side, difference.name);
    }
    let Findings { occurred, undeclared } = findings;
    assert!(undeclared.is_empty(), "{} not declared\n{}", undeclared.len(), undeclared.join("\n"));
    let never: Vec<_> =
        DIFFERENCES.iter().map(|one| one.name).filter(|name| !occurred.contains_key(name)).collect();
    assert!(never.is_empty(), "declared, and never seen: {never:#?}");
}

const HEAD: &str = "type, with the mode of its numbers                              values    same neither  theirs    ours  differ";

impl Counts {
    fn line(&self, (of, numbers, epoch): &Subject) -> String {
        let unit = epoch.map(|unit| format!(", {unit:?}")).unwrap_or_default();
        let Self { values, both_store, both_refuse, only_ours_refuses, only_theirs_refuses, differ } = self;
        format!(
            "{:<62}{values:>8}{both_store:>8}{both_refuse:>8}{only_ours_refuses:>8}{only_theirs_refuses:>8}{differ:>8}",
            format!("{of}{unit}, {numbers:?}")
        )
    }

    /// Counts two verdicts, and tells which way they differ.
    fn note(&mut self, ours: &Verdict, theirs: &Verdict) -> Option<Side> {
        self.values += 1;
        let (counter, side) = match (ours, theirs) {
            (Verdict::Stored(ours), Verdict::Stored(theirs)) if ours == theirs => {
                (&mut self.both_store, None)
            }
            (Verdict::Refused(_), Verdict::Refused(_)) => (&mut self.both_refuse, None),
            (Verdict::Refused(_), Verdict::Stored(_)) => {
                (&mut self.only_ours_refuses, Some(Side::OnlyPumphouseRefuses))
            }
            (Verdict::Stored(_), Verdict::Refused(_)) => {
                (&mut self.only_theirs_refuses, Some(Side::OnlyClickHouseRefuses))
            }
            (Verdict::Stored(_), Verdict::Stored(_)) => (&mut self.differ, Some(Side::StoredDifferently)),
        };
        *counter += 1;
        side
    }
}

/// Compares the values of one type.
async fn compare(bench: &Bench<'_>, subject: Subject, count: usize, findings: &mut Findings) -> Counts {
    let of = &bench.stream.tables[0].columns[0].column_type;
    bench.prepare().await;
    let generated = generate::values(seed(subject.0), of, count);
    let written: Vec<String> = generated.iter().map(Json::written).collect();
    let (ours, theirs) = (bench.ours(&written).await, bench.theirs(&written).await);
    let mut counts = Counts::default();
    let mut undeclared = Vec::new();
    for (at, json) in generated.iter().enumerate() {
        let Some(side) = counts.note(&ours[at], &theirs[at]) else { continue };
        let (_, numbers, epoch) = subject;
        let case = Case { of, numbers, epoch, json, ours: &ours[at], theirs: &theirs[at], side };
        match DIFFERENCES.iter().find(|difference| difference.holds(&case)) {
            Some(difference) => *findings.occurred.entry(difference.name).or_default() += 1,
            None => undeclared.push(format!(
                "{of}, {side:?}: {:.200}\n    {:?}\n    {:?}",
                written[at], ours[at], theirs[at]
            )),
        }
    }
    undeclared.truncate(SHOWN);
    findings.undeclared.extend(undeclared);
    counts
}

/// A seed of the type's own, so that a new type leaves the values of the others alone.
fn seed(of: &str) -> u64 {
    of.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// A stream into one table with one column `v`.
fn stream(subject: &Subject) -> Stream {
    let epoch = subject.2;
    let column_type = subject.0.parse().unwrap_or_else(|error| panic!("{}: {error}", subject.0));
    let column =
        Column { name: "v".to_owned(), column_type, from: vec!["v".to_owned()], default: None, epoch };
    let table = Table::of_columns("default", "oracle", vec![column]);
    Stream { numbers: subject.1, ..Stream::into_tables("oracle", vec![table]) }
}

/// The rows of the page's table of differences are these classes, to the letter and in this order.
#[test]
fn the_page_of_types_tells_every_difference() {
    let page = include_str!("../../../../docs/guide/types.md");
    let section = page.split_once("\n## Where pumphouse and JSONEachRow differ\n").expect("the section").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let told: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let declared: Vec<String> = DIFFERENCES.iter().map(differences::Difference::row).collect();
    assert_eq!(told, declared, "\n{}\n", declared.join("\n"));
}
