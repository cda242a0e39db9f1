//! Whether an expression is a pure function of the row. Reads calls out of the text as the server prints it;
//! which functions are impure, the server says.

use std::collections::BTreeSet;

use super::live::LiveColumn;

/// Why a key is not a pure function of what is sent: the first impure call, in the key itself or in the default
/// of a column that it uses and that inserts do not send.
pub(super) fn impurity(
    key: &str,
    columns: &[LiveColumn],
    sent: &BTreeSet<String>,
    impure: &BTreeSet<String>,
) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![(key, None::<&LiveColumn>)];
    while let Some((expression, column)) = next.pop() {
        if let Some(call) = impure_call(expression, impure) {
            return Some(match column {
                None => format!("{call}()"),
                Some(column) => format!("{call}(), through {} {}", column.default_kind, column.name),
            });
        }
        for used in columns.iter().filter(|column| mentions(expression, &column.name)) {
            let computed = match used.default_kind.as_str() {
                "MATERIALIZED" | "ALIAS" => true,
                "DEFAULT" | "EPHEMERAL" => !sent.contains(&used.name),
                _ => false,
            };
            if computed && seen.insert(&used.name) {
                next.push((&used.default_expression, Some(used)));
            }
        }
    }
    None
}

/// The first call of an impure function.
pub(super) fn impure_call(expression: &str, impure: &BTreeSet<String>) -> Option<String> {
    let calls = words(expression).into_iter().filter(|(_, is_call)| *is_call);
    calls.map(|(word, _)| word).find(|word| impure.contains(&word.to_ascii_lowercase())).map(str::to_owned)
}

pub(super) fn mentions(expression: &str, column: &str) -> bool {
    words(expression).into_iter().any(|(word, is_call)| !is_call && word == column)
}

/// The words outside of texts, each with whether a parenthesis follows. Names in backticks are words.
pub(super) fn words(expression: &str) -> Vec<(&str, bool)> {
    let mut words = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|letter: char| letter.is_alphanumeric() || "_'\"`".contains(letter)) {
        rest = &rest[start..];
        let quote = rest.chars().next().filter(|letter| "'\"`".contains(*letter));
        let (word, after) = if let Some(quote) = quote {
            let inside = &rest[1..];
            let end = closing(inside, quote);
            (&inside[..end], inside.get(end + 1..).unwrap_or_default())
        } else {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            rest.split_at(end.unwrap_or(rest.len()))
        };
        if quote != Some('\'') {
            words.push((word, quote.is_none() && after.trim_start().starts_with('(')));
        }
        rest = after;
    }
    words
}

/// Where a quoted text ends.
fn closing(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = inside.find(|letter| {
        let ends = letter == quote && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    });
    end.unwrap_or(inside.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impure() -> BTreeSet<String> {
        ["now", "today", "rand", "dictget", "hostname"].map(str::to_owned).into()
    }

    fn column(name: &str, default_kind: &str, default_expression: &str) -> LiveColumn {
        LiveColumn {
            name: name.to_owned(),
            column_type: "DateTime".to_owned(),
            default_kind: default_kind.to_owned(),
            default_expression: default_expression.to_owned(),
        }
    }

    #[test]
    fn an_impure_call_is_found_whatever_its_case_and_not_in_texts_or_names() {
        for (expression, found) in [
            ("toYYYYMM(ts)", None),
            ("(toYYYYMM(ts), service)", None),
            ("toDate(now())", Some("now")),
            ("NOW ()", Some("NOW")),
            ("dictGet('zones', 'name', id)", Some("dictGet")),
            ("concat(service, 'now()')", None),
            (r"concat('it\'s', 'rand()')", None),
            ("now", None),
            ("`now` + (1)", None),
            ("", None),
        ] {
            assert_eq!(impure_call(expression, &impure()).as_deref(), found, "{expression}");
        }
    }

    #[test]
    fn a_default_counts_where_the_column_is_not_sent() {
        let columns = [
            column("ts", "", ""),
            column("day", "DEFAULT", "today()"),
            column("shard", "MATERIALIZED", "rand() % 4"),
            column("week", "MATERIALIZED", "toMonday(day)"),
        ];
        let sent = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let reason = |key: &str, names: &[&str]| impurity(key, &columns, &sent(names), &impure());
        assert_eq!(reason("toYYYYMM(ts)", &["ts"]), None);
        assert_eq!(reason("day", &["ts", "day"]), None);
        assert_eq!(reason("day", &["ts"]).as_deref(), Some("today(), through DEFAULT day"));
        assert_eq!(
            reason("(ts, shard)", &["ts", "shard"]).as_deref(),
            Some("rand(), through MATERIALIZED shard")
        );
        assert_eq!(reason("week", &["ts"]).as_deref(), Some("today(), through DEFAULT day"));
        assert_eq!(reason("week", &["ts", "day"]), None);
    }
}
