//! Measures the sources and refuses what STYLE.md forbids: reads the tree, asks every rule, prints.
//! Does not format and does not lint types: rustfmt and clippy do.

mod catalogue;
mod folders;
mod report;
mod rules;
mod source;
mod text;
mod tree;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use tree::Tree;

/// One place that breaks a rule, and what to do there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

impl Finding {
    fn new(file: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.advice)
    }
}

/// Reads the tree that holds the current folder, prints findings and the table of measures.
pub(crate) fn run() -> Result<ExitCode> {
    let tree = Tree::read()?;
    let (sources, mut findings) = source::parse_all(&tree);
    for source in &sources {
        findings.extend(rules::check(source));
        findings.extend(folders::check(source));
    }
    findings.extend(text::check(&tree));
    findings.extend(catalogue::check_codes(&tree, &sources));
    findings.extend(catalogue::check_dependencies(&tree, &sources));
    findings.sort();
    findings.dedup();
    print!("{}", report::table(&sources));
    Ok(verdict(&findings))
}

fn verdict(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to mend");
        return ExitCode::SUCCESS;
    }
    println!("tidy: {} to mend", findings.len());
    ExitCode::FAILURE
}
