//! Whether several servers are alike, and whether each takes writes. Pure.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use crate::fault::Code;

/// One server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerFacts {
    /// Its address.
    pub(super) url: String,
    /// Its version.
    pub(super) version: String,
    /// The user's settings there.
    pub(super) settings: BTreeMap<String, String>,
    /// Definition of each table, by its quoted name; none where it is not there.
    pub(super) tables: BTreeMap<String, Option<String>>,
    /// Tables that take no writes there.
    pub(super) read_only: Vec<String>,
}

/// Compares every server with the first.
pub(super) fn judge(servers: &[ServerFacts]) -> Vec<Finding> {
    let Some((first, others)) = servers.split_first() else { return Vec::new() };
    let mut findings: Vec<Finding> = servers.iter().flat_map(read_only).collect();
    findings.extend(others.iter().flat_map(|other| differences(first, other)));
    findings
}

fn finding(severity: Severity, code: Code, on: String, (what, why, mend): (String, &str, String)) -> Finding {
    Finding { severity, code, stream: String::new(), on, what, why: why.to_owned(), mend }
}

fn read_only(server: &ServerFacts) -> Vec<Finding> {
    let each = |table: &String| {
        let what = format!("{table} is read-only on {}", server.url);
        let why = "inserts there wait until its session with Keeper is back";
        let mend = format!("SYSTEM RESTART REPLICA {table}; see zookeeper_exception in system.replicas");
        finding(Severity::Error, Code::ReplicaReadOnly, table.clone(), (what, why, mend))
    };
    server.read_only.iter().map(each).collect()
}

fn differences(first: &ServerFacts, other: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |on: &str, what: String, mend: String| {
        let why = "a batch that goes to the other server is refused there, or cut and deduplicated otherwise";
        findings.push(finding(Severity::Warning, Code::ReplicasDiffer, on.to_owned(), (what, why, mend)));
    };
    let both = format!("{} and {}", first.url, other.url);
    if first.version != other.version {
        let what = format!("version {} and {}", first.version, other.version);
        tell(&both, what, "the same version on both".to_owned());
    }
    for (name, value) in &first.settings {
        if let Some(there) = other.settings.get(name).filter(|there| *there != value) {
            let what = format!("the user's setting {name} is {value} and {there}");
            tell(&both, what, format!("the same profile on both: {name} = {value}"));
        }
    }
    for (table, definition) in &first.tables {
        match (definition, other.tables.get(table).and_then(Option::as_ref)) {
            (Some(here), Some(there)) if here != there => {
                let what = format!("its definition on {} is not that on {}", first.url, other.url);
                tell(
                    table,
                    what,
                    format!("compare SHOW CREATE TABLE {table} on both, and ALTER the one that lags"),
                );
            }
            (Some(_), None) => {
                let what = format!("it is on {} and not on {}", first.url, other.url);
                tell(table, what, format!("create {table} there as SHOW CREATE TABLE says here"));
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_told_and_likeness_is_not() {
        let of = |version: &str, setting: &str, definition: Option<&str>, read_only: &[&str]| ServerFacts {
            url: "http://h".to_owned(),
            version: version.to_owned(),
            settings: [("readonly".to_owned(), setting.to_owned())].into(),
            tables: [("d.t".to_owned(), definition.map(str::to_owned))].into(),
            read_only: read_only.iter().map(|table| (*table).to_owned()).collect(),
        };
        let first = of("26.7", "0", Some("a"), &[]);
        for (other, codes) in [
            (of("26.7", "0", Some("a"), &[]), vec![]),
            (of("26.6", "0", Some("a"), &[]), vec!["PH-0224"]),
            (of("26.7", "1", Some("a"), &[]), vec!["PH-0224"]),
            (of("26.7", "0", Some("b"), &[]), vec!["PH-0224"]),
            (of("26.7", "0", None, &[]), vec!["PH-0224"]),
            (of("26.7", "0", Some("a"), &["d.t"]), vec!["PH-0225"]),
        ] {
            let found = judge(&[first.clone(), other]);
            assert_eq!(found.iter().map(|finding| finding.code.number()).collect::<Vec<_>>(), codes);
        }
        assert!(judge(&[]).is_empty() && judge(&[first]).is_empty());
    }
}
