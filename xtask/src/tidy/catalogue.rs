//! Two lists that must agree with the code: the error codes with their pages, the dependencies with their reasons.
//! Reads both as text; what a code means is `fault.rs`'s business.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::Source;
use super::tree::Tree;

const DEPENDENCIES_MAX: usize = 60;
const CODES: &str = "crates/pumphouse/src/fault";
const PAGES: &str = "docs/errors/";
const REASONS: &str = "docs/decisions/0002-dependencies.md";

/// Every code that is named has a page, every page a code.
pub(crate) fn check_codes(tree: &Tree, sources: &[Source]) -> Vec<Finding> {
    let pages: BTreeMap<&str, &str> = tree
        .ending(".md")
        .filter_map(|(path, _)| Some((path.strip_prefix(PAGES)?.strip_suffix(".md")?, path)))
        .filter(|(code, _)| code.starts_with("PH-"))
        .collect();
    let mut findings = Vec::new();
    let mut declared = BTreeSet::new();
    let named = sources.iter().filter(|source| !source.path.starts_with("xtask/"));
    for (path, code, line) in named.flat_map(codes).chain(tree.ending(".md").flat_map(codes_in_page)) {
        if path.starts_with(CODES) {
            declared.insert(code.to_owned());
        }
        if !pages.contains_key(code) {
            let advice = format!("{code} has no page: write {PAGES}{code}.md or correct the number");
            findings.push(Finding::new(path, line, "error-page", advice));
        }
    }
    let orphans = pages.iter().filter(|(code, _)| !declared.contains(**code));
    let advice = "no code of this number in `fault`: remove the page or declare the code";
    findings.extend(orphans.map(|(_, path)| Finding::new(path, 1, "error-page", advice)));
    findings
}

fn codes(source: &Source) -> impl Iterator<Item = (&str, &str, usize)> {
    let lines = source.text.lines().take(source.lines).zip(1..);
    lines.flat_map(move |(line, number)| codes_in(line).map(move |code| (source.path.as_str(), code, number)))
}

fn codes_in_page<'a>((path, text): (&'a str, &'a str)) -> impl Iterator<Item = (&'a str, &'a str, usize)> {
    let lines = text.lines().zip(1..);
    lines.flat_map(move |(line, number)| codes_in(line).map(move |code| (path, code, number)))
}

/// Every `PH-` with four digits in a line.
fn codes_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("PH-").filter_map(|(at, _)| {
        let code = line.get(at..at + 7)?;
        code[3..].bytes().all(|byte| byte.is_ascii_digit()).then_some(code)
    })
}

/// Few dependencies, each with a reason, each declared once and used.
pub(crate) fn check_dependencies(tree: &Tree, sources: &[Source]) -> Vec<Finding> {
    let declared = section(tree.text("Cargo.toml").unwrap_or_default(), "workspace.dependencies");
    let foreign: Vec<_> = declared.iter().filter(|(_, value, _)| !value.contains("path =")).collect();
    let reasons = reasons(tree.text(REASONS).unwrap_or_default());
    let mut findings = Vec::new();
    if foreign.len() > DEPENDENCIES_MAX {
        let advice =
            format!("{} direct dependencies, limit {DEPENDENCIES_MAX}: do without one", foreign.len());
        findings.push(Finding::new("Cargo.toml", 1, "dependencies", advice));
    }
    for (name, _, line) in &foreign {
        if !reasons.iter().any(|(given, reason, _)| given == name && !reason.is_empty()) {
            let advice = format!("`{name}` has no reason: add a line to {REASONS}");
            findings.push(Finding::new("Cargo.toml", *line, "dependency-reason", advice));
        }
    }
    for (name, _, line) in &reasons {
        if !foreign.iter().any(|(declared, ..)| declared == name) {
            let advice = format!("`{name}` is no dependency of the workspace any more: remove the line");
            findings.push(Finding::new(REASONS, *line, "dependency-reason", advice));
        }
    }
    findings.extend(unused(tree, sources));
    findings
}

/// Dependencies of a crate that none of its files names, or that name a version of their own.
fn unused(tree: &Tree, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (manifest, text) in tree.ending("Cargo.toml").filter(|(path, _)| *path != "Cargo.toml") {
        let folder = manifest.trim_end_matches("Cargo.toml");
        // A workspace of its own has nowhere else to declare a version.
        let is_apart = text.lines().any(|line| line.trim() == "[workspace]");
        let within = || sources.iter().filter(|source| source.path.starts_with(folder));
        let words: BTreeSet<&str> = within()
            .flat_map(|source| source.words.iter().chain(&source.test_words))
            .map(|word| &*word.text)
            .collect();
        let entries = ["dependencies", "dev-dependencies"].into_iter().flat_map(|name| section(text, name));
        for (entry, value, line) in entries {
            let name = entry.trim_end_matches(".workspace");
            if !words.contains(name.replace('-', "_").as_str()) {
                let advice = format!("no file of the crate names `{name}`: remove the line");
                findings.push(Finding::new(manifest, line, "unused-dependency", advice));
            }
            if entry == name && !value.contains("workspace = true") && !is_apart {
                let advice = format!("`{name}` names a version of its own: declare it in the workspace");
                findings.push(Finding::new(manifest, line, "dependencies", advice));
            }
        }
    }
    findings
}

/// Key, value and line of each entry of one section of a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<(&'a str, &'a str, usize)> {
    let head = format!("[{name}]");
    let lines = manifest.lines().zip(1..).skip_while(move |(line, _)| line.trim() != head).skip(1);
    let lines = lines.take_while(|(line, _)| !line.starts_with('['));
    let entries = lines.filter(|(line, _)| !line.starts_with(['#', ' ', ']', '}']));
    entries
        .filter_map(|(line, number)| line.split_once('=').map(|(key, value)| (key.trim(), value, number)))
        .collect()
}

/// Name, reason and line of each row of a table whose first cell is code.
fn reasons(page: &str) -> Vec<(&str, &str, usize)> {
    let rows = page.lines().zip(1..).filter(|(line, _)| line.starts_with("| `"));
    rows.filter_map(|(line, number)| {
        let mut cells = line.split('|').skip(1).map(str::trim);
        Some((cells.next()?.trim_matches('`'), cells.next()?, number))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::parse_all;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        let (sources, _) = parse_all(&tree);
        let codes = check_codes(&tree, &sources).into_iter();
        codes
            .chain(check_dependencies(&tree, &sources))
            .map(|finding| format!("{}:{}", finding.file, finding.rule))
            .collect()
    }

    #[test]
    fn a_version_of_its_own_is_for_a_workspace_of_its_own() {
        let source = ("x/src/lib.rs", "//! X.\nuse a;\n");
        let manifest = "[dependencies]\na = \"1\"\n";
        assert_eq!(found(&[("x/Cargo.toml", manifest), source]), ["x/Cargo.toml:dependencies"]);
        let apart = format!("[workspace]\n{manifest}");
        assert_eq!(found(&[("x/Cargo.toml", &apart), source]), [] as [&str; 0]);
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
        let fault = ("crates/pumphouse/src/fault.rs", "//! Codes.\nconst A: &str = \"PH-0001\";\n");
        let page = ("docs/errors/PH-0001.md", "# PH-0001: a\n");
        assert_eq!(found(&[fault, page]), [""; 0]);
        assert_eq!(found(&[fault]), ["crates/pumphouse/src/fault.rs:error-page"]);
        assert_eq!(found(&[page]), ["docs/errors/PH-0001.md:error-page"]);
    }

    #[test]
    fn a_dependency_needs_a_reason_and_a_reason_its_dependency() {
        let manifest = ("Cargo.toml", "[workspace.dependencies]\na = \"1\"\nown = { path = \"own\" }\n");
        let reason = (REASONS, "| `a` | because |\n");
        assert_eq!(found(&[manifest, reason]), [""; 0]);
        assert_eq!(found(&[manifest]), ["Cargo.toml:dependency-reason"]);
        assert_eq!(found(&[reason]), [format!("{REASONS}:dependency-reason")]);
    }

    #[test]
    fn a_dependency_that_no_file_names_is_found() {
        let manifest = ("x/Cargo.toml", "[dependencies]\na-b.workspace = true\n");
        assert_eq!(found(&[manifest, ("x/src/lib.rs", "//! X.\nuse a_b::C;\n")]), [""; 0]);
        assert_eq!(found(&[manifest, ("x/src/lib.rs", "//! X.\n")]), ["x/Cargo.toml:unused-dependency"]);
    }
}
