//! What the user has to be allowed to do, why, and how it is granted. Pure; whether it is granted, the server says.

use super::finding::{Finding, Severity};
use crate::fault::Code;

/// One thing that has to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// As `GRANT` writes it: `INSERT`.
    pub(super) access: &'static str,
    /// On what, quoted: `metrics.requests`, `metrics.*`, `*.*`.
    pub(super) on: String,
    /// What can't be done without it.
    without: &'static str,
    severity: Severity,
}

/// What a table needs. `beside` is its database, quoted.
pub(super) fn needed(table: &str, beside: &str, is_replicated: bool) -> Vec<Grant> {
    let grant = |access, on: &str, without, severity| Grant { access, on: on.to_owned(), without, severity };
    let within = format!("{beside}.*");
    let mut grants = vec![
        grant("INSERT", table, "the stream halts at its first batch (PH-0024)", Severity::Error),
        grant("SELECT", table, "a batch in doubt can't be looked for by its offsets", Severity::Error),
        grant(
            "CREATE TEMPORARY TABLE",
            "*.*",
            "rows that the table refuses can't be told from the others of their batch (PH-0059)",
            Severity::Warning,
        ),
    ];
    let mending = "rows that a killed server lost can't be brought back (PH-0065)";
    let mends = ["CREATE TABLE", "DROP TABLE", "ALTER MOVE PARTITION"];
    grants.extend(mends.map(|access| grant(access, &within, mending, Severity::Warning)));
    if is_replicated {
        let without = "a replica can't be asked what it holds after a doubt";
        grants.push(grant("SYSTEM SYNC REPLICA", table, without, Severity::Warning));
    }
    grants
}

/// The finding for one that is missing.
pub(super) fn missing(user: &str, grant: &Grant) -> Finding {
    let Grant { access, on, without, severity } = grant;
    Finding {
        severity: *severity,
        code: Code::GrantMissing,
        stream: String::new(),
        on: format!("user {user}"),
        what: format!("{access} ON {on} is not granted"),
        why: (*without).to_owned(),
        mend: format!("GRANT {access} ON {on} TO {user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_is_missing_is_told_with_its_statement() {
        let grants = needed("d.t", "d", true);
        let told: Vec<String> = grants.iter().map(|grant| missing("pumphouse", grant).mend).collect();
        assert_eq!(told[0], "GRANT INSERT ON d.t TO pumphouse");
        assert!(told.contains(&"GRANT CREATE TABLE ON d.* TO pumphouse".to_owned()), "{told:?}");
        assert_eq!(told.last().map(String::as_str), Some("GRANT SYSTEM SYNC REPLICA ON d.t TO pumphouse"));
        assert_eq!(needed("d.t", "d", false).len(), grants.len() - 1);
    }
}
