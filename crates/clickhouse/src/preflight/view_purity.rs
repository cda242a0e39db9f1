//! Whether what a view computes for its target's partition key is a pure function of the row. Reads the select list out of
//! the text as the server prints it; where it can't follow a column, it says so rather than trust it.

use std::collections::BTreeSet;

use super::purity::{impure_call, mentions, words};

/// How impurity reaches a target's partition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// By this expression of the select list.
    Expression(String),
    /// The query calls this function outside of its select list, where columns can't be followed.
    Elsewhere(String),
}

/// How an impure call of `select` reaches the columns that `key` names; `None` where it does not.
pub(super) fn reach(select: &str, key: &str, impure: &BTreeSet<String>) -> Option<Reach> {
    let call = impure_call(select, impure)?;
    let (items, rest) = select_list(select);
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> =
        words(key).into_iter().filter(|(_, is_call)| !is_call).map(|(word, _)| word).collect();
    while let Some(name) = next.pop() {
        for item in items.iter().filter(|item| item.name == name) {
            if impure_call(item.expression, impure).is_some() {
                return Some(Reach::Expression(format!("{} AS {name}", item.expression)));
            }
            if seen.insert(name) {
                next.extend(items.iter().map(|item| item.name).filter(|of| mentions(item.expression, of)));
            }
        }
    }
    // A subquery may compute a column of the key under its own name.
    let computes = words(rest).into_iter().any(|(word, _)| word.eq_ignore_ascii_case("SELECT"));
    (computes && impure_call(rest, impure).is_some()).then_some(Reach::Elsewhere(call))
}

/// One expression of a select list, and the name that its column gets.
struct Item<'a> {
    expression: &'a str,
    name: &'a str,
}

/// The expressions before the first `FROM` that stands in no parentheses, `WITH` included, and the rest.
fn select_list(select: &str) -> (Vec<Item<'_>>, &str) {
    let mut items = Vec::new();
    let mut begin = 0;
    let end = top_level(select)
        .find(|(at, token)| match token.to_ascii_uppercase().as_str() {
            "FROM" => true,
            "," | "SELECT" | "WITH" | "DISTINCT" => {
                items.extend(item(&select[begin..*at]));
                begin = at + token.len();
                false
            }
            _ => false,
        })
        .map_or(select.len(), |(at, _)| at);
    items.extend(item(&select[begin..end]));
    (items, &select[end..])
}

/// `expression AS name`, or a column under its own name.
fn item(text: &str) -> Option<Item<'_>> {
    let text = text.trim();
    let alias = top_level(text).filter(|(_, token)| token.eq_ignore_ascii_case("AS")).last();
    let (expression, name) = match alias {
        Some((at, token)) => (text[..at].trim(), text[at + token.len()..].trim()),
        None => (text, text.rsplit('.').next().unwrap_or(text)),
    };
    (!text.is_empty()).then_some(Item { expression, name: name.trim_matches('`') })
}

/// Words and commas that stand in no parentheses and no quotes, with their places.
fn top_level(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut tokens = Vec::new();
    let (mut depth, mut quote, mut escaped) = (0_usize, None::<char>, false);
    let mut word = None::<usize>;
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        let in_word = quote.is_none() && (letter.is_alphanumeric() || letter == '_');
        if let Some(begin) = word.filter(|_| !in_word) {
            tokens.push((begin, &text[begin..at]));
            word = None;
        }
        match (quote, letter) {
            (Some(open), letter) => {
                quote = (letter != open || escaped).then_some(open);
                escaped = letter == '\\' && !escaped;
            }
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => tokens.push((at, &text[at..=at])),
            (None, _) if depth == 0 && in_word => word = word.or(Some(at)),
            (None, _) => {}
        }
    }
    tokens.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impurity_is_followed_from_the_key_through_names_to_its_call() {
        let impure: BTreeSet<String> = ["now", "today", "rand"].map(str::to_owned).into();
        let reached = |select: &str, key: &str| {
            reach(select, key, &impure).map(|reach| match reach {
                Reach::Expression(expression) => expression,
                Reach::Elsewhere(call) => format!("elsewhere: {call}"),
            })
        };
        for (select, key, expected) in [
            ("SELECT a, toDate(ts) AS d FROM s", "d", None),
            ("SELECT a, toDate(ts) AS d, now() AS seen FROM s", "d", None),
            ("SELECT a, today() AS d FROM s", "toYYYYMM(d)", Some("today() AS d")),
            ("SELECT a, toDate(t) AS d, now() AS t FROM s", "(a, d)", Some("now() AS t")),
            ("WITH now() AS t SELECT a, toDate(t) AS d FROM s", "d", Some("now() AS t")),
            ("SELECT a, f(a, 'x, now() AS d FROM') AS d FROM s", "d", None),
            ("SELECT `a`, s.d FROM s WHERE ts > now()", "d", None),
            ("SELECT a, d FROM (SELECT a, today() AS d FROM s)", "d", Some("elsewhere: today")),
            ("SELECT (SELECT max(x) FROM y) AS d, rand() AS r FROM s", "d", None),
            ("SELECT rand() AS `r` FROM s", "r % 4", Some("rand() AS r")),
        ] {
            assert_eq!(reached(select, key).as_deref(), expected, "{select}");
        }
    }
}
