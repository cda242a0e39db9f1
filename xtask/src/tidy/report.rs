//! The table of measures: how large files and functions are, how much is tested and documented.
//! Judges nothing; the limits stand beside the figures so that a reader can.

use std::fmt::Write;

use super::rules::{self, FILE_LINES_MAX, FUNCTION_LINES_MAX, NESTING_WANTED};
use super::source::Source;

/// The whole table, ready to print.
pub(crate) fn table(sources: &[Source]) -> String {
    let source: Vec<&Source> = sources.iter().filter(|source| !source.is_test()).collect();
    let functions =
        || source.iter().flat_map(|source| source.functions.iter().map(move |function| (source, function)));
    let files = Spread::of(source.iter().map(|source| source.lines));
    let lengths = Spread::of(functions().map(|(_, function)| function.lines()));
    let source_lines: usize = source.iter().map(|source| source.lines).sum();
    let test_lines: usize = sources.iter().map(|source| source.test_lines).sum();
    let deep = functions().flat_map(|(source, function)| rules::levels(source, function));
    let deep = deep.filter(|(_, level)| *level > NESTING_WANTED).count();
    let mut text = String::new();
    let mut row = |name: &str, value: String, limit: String| {
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "{name:<34}{value:>22}   {limit}");
    };
    row("files of source", source.len().to_string(), String::new());
    row("lines of a file: median/p90/max", files.to_string(), format!("limit {FILE_LINES_MAX}"));
    row("functions", lengths.count.to_string(), String::new());
    row("lines of a function: med/p90/max", lengths.to_string(), format!("limit {FUNCTION_LINES_MAX}"));
    row(
        "lines nested over 4 levels",
        format!("{deep} ({})", percent(deep, source_lines)),
        "limit 6 levels".into(),
    );
    row("lines of source : tests", format!("{source_lines} : {test_lines}"), ratio(test_lines, source_lines));
    row("documentation", percent(doc_lines(&source), source_lines), String::new());
    for source in longest(&source) {
        row("  longest", format!("{} lines", source.lines), source.path.clone());
    }
    text
}

fn longest<'a>(sources: &[&'a Source]) -> Vec<&'a Source> {
    let mut sources = sources.to_vec();
    sources.sort_by_key(|source| std::cmp::Reverse(source.lines));
    sources.truncate(3);
    sources
}

fn doc_lines(sources: &[&Source]) -> usize {
    let lines = sources.iter().flat_map(|source| source.text.lines().take(source.lines));
    lines.filter(|line| line.trim_start().starts_with("///") || line.starts_with("//!")).count()
}

fn percent(part: usize, whole: usize) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn ratio(part: usize, whole: usize) -> String {
    let hundredths = (part * 100).checked_div(whole).unwrap_or(0);
    format!("tests are {}.{:02} of the source", hundredths / 100, hundredths % 100)
}

/// Median, 90th percentile and largest of some figures.
struct Spread {
    count: usize,
    median: usize,
    p90: usize,
    max: usize,
}

impl Spread {
    fn of(figures: impl Iterator<Item = usize>) -> Self {
        let mut figures: Vec<usize> = figures.collect();
        figures.sort_unstable();
        let count = figures.len();
        let at =
            |hundredth: usize| figures.get(count.saturating_sub(1) * hundredth / 100).copied().unwrap_or(0);
        Self { count, median: at(50), p90: at(90), max: at(100) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {} / {}", self.median, self.p90, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_a_hundred_figures_is_exact() {
        let spread = Spread::of((1..=101).rev());
        assert_eq!(spread.to_string(), "51 / 91 / 101");
        assert_eq!(Spread::of(std::iter::empty()).to_string(), "0 / 0 / 0");
    }
}
