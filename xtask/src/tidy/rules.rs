//! What STYLE.md asks of every Rust file: its head, its size, its functions, words that never pass.
//! What only some folders forbid is in `folders`.

use super::Finding;
use super::source::{Function, Source};

/// Lines of source in a file, tests left out.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace.
pub(crate) const FUNCTION_LINES_MAX: usize = 60;
/// Arguments of a function, `self` left out.
pub(crate) const ARGUMENTS_MAX: usize = 5;
/// Levels of indentation within a function; the body itself is level 1.
pub(crate) const NESTING_MAX: usize = 6;
/// Levels above this are counted in the report.
pub(crate) const NESTING_WANTED: usize = 4;

const VAGUE_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "types", "misc", "data", "info"];

/// Words that pass nowhere outside tests.
const NEVER_IN_SOURCE: &[(&[&str], &str, &str)] = &[
    (&[".", "unwrap", "(", ")"], "unwrap", "handle it, or `expect(\"the invariant\")` where it is proven"),
    (&["env", ":", ":", "set_var"], "set-var", "races with every other thread: pass the value instead"),
];

/// Words that pass nowhere at all.
const NEVER: &[(&[&str], &str, &str)] = &[
    (&["todo", "!"], "stub", "write it, or leave it out"),
    (&["unimplemented", "!"], "stub", "write it, or leave it out"),
    (&["dbg", "!"], "debris", "remove it"),
    (&["#", "[", "ignore"], "ignored-test", "mend the test or delete it"),
    (&["[", "allow", "("], "allow", "`expect(lint, reason = \"…\")` tells when it is no longer needed"),
    (&["thread", ":", ":", "sleep_ms"], "sleep", "poll with a deadline"),
];

/// Everything that holds for any Rust file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(head(source));
    findings.extend(size(source));
    findings.extend(name(source));
    findings.extend(source.functions.iter().flat_map(|function| shape(source, function)));
    findings.extend(words(source));
    findings
}

fn head(source: &Source) -> Option<Finding> {
    let advice = "open the file with `//!`: what it decides, and what it deliberately does not know";
    (!source.text.starts_with("//!")).then(|| Finding::new(&source.path, 1, "head", advice))
}

fn size(source: &Source) -> Option<Finding> {
    let lines = source.lines;
    let advice = format!("{lines} lines of source, limit {FILE_LINES_MAX}: split by what the parts decide");
    (lines > FILE_LINES_MAX).then(|| Finding::new(&source.path, FILE_LINES_MAX + 1, "file-lines", advice))
}

fn name(source: &Source) -> Vec<Finding> {
    let parts = source.path.trim_end_matches(".rs").split('/');
    let vague = parts.filter(|part| VAGUE_NAMES.contains(part));
    let say = |part| format!("`{part}` says nothing: name what the file holds");
    vague.map(|part| Finding::new(&source.path, 1, "vague-name", say(part))).collect()
}

fn shape(source: &Source, function: &Function) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line, rule, advice| findings.push(Finding::new(&source.path, line, rule, advice));
    let Function { name, first, arguments, .. } = function;
    if function.lines() > FUNCTION_LINES_MAX {
        let advice = format!("`{name}` has {} lines, limit {FUNCTION_LINES_MAX}", function.lines());
        find(*first, "function-lines", format!("{advice}: branch here, compute in smaller functions"));
    }
    if *arguments > ARGUMENTS_MAX {
        let advice = format!("`{name}` takes {arguments} arguments, limit {ARGUMENTS_MAX}");
        find(*first, "arguments", format!("{advice}: give what belongs together a type"));
    }
    if let Some((line, level)) = deepest(source, function).filter(|(_, level)| *level > NESTING_MAX) {
        let advice = format!("level {level} within `{name}`, limit {NESTING_MAX}");
        find(line, "nesting", format!("{advice}: return early or name the inner part"));
    }
    findings
}

/// The deepest line of a function and its level.
pub(crate) fn deepest(source: &Source, function: &Function) -> Option<(usize, usize)> {
    levels(source, function).max_by_key(|(line, level)| (*level, usize::MAX - line))
}

/// Line and level of each line of a function's body; levels are four columns wide.
pub(crate) fn levels<'a>(
    source: &'a Source,
    function: &Function,
) -> impl Iterator<Item = (usize, usize)> + use<'a> {
    let mut lines = source.text.lines().skip(function.first - 1).zip(function.first..=function.last);
    let base = lines.next().map_or(0, |(line, _)| indentation(line));
    lines
        .filter(|(text, line)| !text.trim().is_empty() && !source.literal_lines.contains(line))
        .map(move |(text, line)| (line, indentation(text).saturating_sub(base) / 4))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (pattern, rule, advice) in NEVER_IN_SOURCE {
        let lines = source.lines_with(pattern);
        findings.extend(lines.map(|line| Finding::new(&source.path, line, rule, *advice)));
    }
    for (pattern, rule, advice) in NEVER {
        let lines = source.lines_with(pattern).chain(source.test_lines_with(pattern));
        findings.extend(lines.map(|line| Finding::new(&source.path, line, rule, *advice)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::source::measure;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let file = syn::parse_file(text).expect("the example is Rust");
        check(&measure(path, text, &file, false)).into_iter().map(|found| (found.line, found.rule)).collect()
    }

    #[test]
    fn a_file_without_a_head_is_found() {
        assert_eq!(found("a.rs", "fn a() {}\n"), [(1, "head")]);
        assert_eq!(found("a.rs", "//! A.\nfn a() {}\n"), []);
    }

    #[test]
    fn a_name_that_says_nothing_is_found_in_files_and_folders() {
        assert_eq!(found("src/util.rs", "//! A.\n"), [(1, "vague-name")]);
        assert_eq!(found("src/helpers/a.rs", "//! A.\n"), [(1, "vague-name")]);
        assert_eq!(found("src/column_types.rs", "//! A.\n"), []);
    }

    #[test]
    fn a_function_of_61_lines_is_found_and_one_of_60_is_not() {
        let function = |lines: usize| format!("//! A.\nfn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2));
        assert_eq!(found("a.rs", &function(60)), []);
        assert_eq!(found("a.rs", &function(61)), [(2, "function-lines")]);
    }

    #[test]
    fn six_arguments_are_found_and_five_with_self_are_not() {
        assert_eq!(
            found("a.rs", "//! A.\nfn a(a: A, b: A, c: A, d: A, e: A, f: A) {}\n"),
            [(2, "arguments")]
        );
        let method = "//! A.\nimpl A {\n    fn a(&self, a: A, b: A, c: A, d: A, e: A) {}\n}\n";
        assert_eq!(found("a.rs", method), []);
    }

    #[test]
    fn a_seventh_level_is_found_and_text_in_a_literal_is_not() {
        let deep = |level: usize| format!("//! A.\nfn a() {{\n{}b();\n}}\n", " ".repeat(4 * level));
        assert_eq!(found("a.rs", &deep(6)), []);
        assert_eq!(found("a.rs", &deep(7)), [(3, "nesting")]);
        let literal = format!("//! A.\nfn a() {{\n    b(\"\n{}x\");\n}}\n", " ".repeat(40));
        assert_eq!(found("a.rs", &literal), []);
    }

    #[test]
    fn allow_and_stubs_are_found_in_tests_too_and_unwrap_is_not() {
        let text = "//! A.\n#[cfg(test)]\nmod tests {\n    #[allow(dead_code)]\n    fn a() {\n        b.unwrap();\n        todo!()\n    }\n}\n";
        assert_eq!(found("a.rs", text), [(7, "stub"), (4, "allow")]);
    }
}
