//! One thing that is found: its code, how bad it is, on what, why, and what mends it. Judges nothing.

use std::collections::BTreeSet;
use std::fmt;

use pumphouse_clickhouse::preflight;
use serde_json::{Value, json};

use crate::fault::{Code, Exit, Fault};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// `run` would not start, or rows would be lost, doubled or refused.
    Error,
    /// It works until the load, the time or an outage is as said.
    Warning,
    /// It works; it could be cheaper, or tell more.
    Advice,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Advice => "advice",
        }
    }
}

/// One thing that is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The code, which has a page.
    pub code: Code,
    /// The stream; empty where it is about all of them.
    pub stream: String,
    /// The table, topic, setting or server.
    pub on: String,
    /// What is so, with its figures.
    pub what: String,
    /// What comes of it.
    pub why: String,
    /// The statement or setting that mends it.
    pub mend: String,
}

impl Finding {
    /// A finding of preflight, as it is told by `run`.
    #[must_use]
    pub fn of_preflight(stream: &str, on: &str, found: &preflight::Finding) -> Self {
        let severity = match found.severity {
            preflight::Severity::Refuse => Severity::Error,
            preflight::Severity::Warn => Severity::Warning,
        };
        Self {
            severity,
            code: found.code.parse().expect("every code that preflight names has a page"),
            stream: stream.to_owned(),
            on: on.to_owned(),
            what: found.what.clone(),
            why: found.why.clone(),
            mend: found.mend.clone(),
        }
    }

    /// A failure that `run` would end by, as it is told by `run`.
    #[must_use]
    pub fn of_fault(stream: &str, fault: &Fault) -> Self {
        let page = || format!("`pumphouse explain {}`", fault.code);
        Self {
            severity: Severity::Error,
            code: fault.code,
            stream: stream.to_owned(),
            on: fault.on.clone(),
            what: fault.what.clone(),
            why: "`run` does not start".to_owned(),
            mend: if fault.advice.is_empty() { page() } else { fault.advice.clone() },
        }
    }

    /// As an object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "code": self.code.number(), "severity": self.severity.word(), "stream": self.stream, "on": self.on,
            "what": self.what, "why": self.why, "mend": self.mend,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, code, on, what, why, mend, .. } = self;
        write!(f, "{} {code} {on}: {what}\n    why:  {why}\n    mend: {mend}", severity.word())
    }
}

/// What is found more than once counts once, the worst first.
#[must_use]
pub fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    // Of several streams on one table or server each finds the same.
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert((finding.code, finding.on.clone(), finding.what.clone())));
    findings
}

/// How a process ends by what it found: advice is no reason to stop a deployment.
#[must_use]
pub fn exit(findings: &[Finding]) -> Exit {
    let is_worse = |finding: &Finding| finding.severity < Severity::Advice;
    if findings.iter().any(is_worse) { Exit::Findings } else { Exit::Fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, on: &str) -> Finding {
        Finding {
            severity,
            code: Code::TableMissing,
            stream: String::new(),
            on: on.to_owned(),
            what: "w".to_owned(),
            why: String::new(),
            mend: String::new(),
        }
    }

    #[test]
    fn the_worst_stands_first_and_the_same_only_once() {
        let (advice, error) = (finding(Severity::Advice, "a"), finding(Severity::Error, "b"));
        let other_stream = Finding { stream: "s".to_owned(), ..error.clone() };
        let told = in_order(vec![advice.clone(), error.clone(), other_stream, error.clone()]);
        assert_eq!(told, [error, advice]);
    }

    #[test]
    fn what_preflight_finds_is_told_under_its_code() {
        for code in ["PH-0040", "PH-0041", "PH-0042", "PH-0043", "PH-0044", "PH-0045", "PH-0046", "PH-0047"] {
            let found = preflight::Finding {
                code,
                severity: preflight::Severity::Warn,
                what: "w".to_owned(),
                why: "y".to_owned(),
                mend: "m".to_owned(),
            };
            let told = Finding::of_preflight("s", "d.t", &found);
            assert_eq!((told.code.number(), told.severity), (code, Severity::Warning));
            assert_eq!(told.to_string(), format!("warning {code} d.t: w\n    why:  y\n    mend: m"));
        }
    }

    #[test]
    fn advice_alone_is_fine() {
        assert_eq!(exit(&[]), Exit::Fine);
        assert_eq!(exit(&[finding(Severity::Advice, "a")]), Exit::Fine);
        for severity in [Severity::Warning, Severity::Error] {
            assert_eq!(exit(&[finding(Severity::Advice, "a"), finding(severity, "a")]), Exit::Findings);
        }
    }
}
