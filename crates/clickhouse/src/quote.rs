//! Names and texts inside a statement. Decides how they are quoted; knows no statement.

/// Words that ClickHouse reads as syntax where a name could stand; a name that is one of them is quoted.
const WORDS: [&str; 45] = [
    "all",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "asof",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "constraint",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "false",
    "final",
    "format",
    "from",
    "global",
    "group",
    "having",
    "in",
    "index",
    "inf",
    "interval",
    "into",
    "is",
    "join",
    "limit",
    "nan",
    "not",
    "null",
    "on",
    "or",
    "order",
    "primary",
    "projection",
    "select",
    "true",
    "where",
];

/// A name as a person would write it: in backticks only where it needs them.
#[must_use]
pub fn name(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !WORDS.contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { quoted_name(name) }
}

/// A name in backticks, whatever it is.
#[must_use]
pub fn quoted_name(name: &str) -> String {
    escaped(name, '`')
}

/// `database.table`, each quoted where needed.
#[must_use]
pub fn table(database: &str, table: &str) -> String {
    format!("{}.{}", name(database), name(table))
}

/// A text in single quotes.
#[must_use]
pub fn text(text: &str) -> String {
    escaped(text, '\'')
}

/// The columns of a table as the structure that `input('…')` takes, not yet quoted as a text.
#[must_use]
pub fn structure(columns: &[(String, String)]) -> String {
    let columns: Vec<_> =
        columns.iter().map(|(name, column_type)| format!("{} {column_type}", quoted_name(name))).collect();
    columns.join(", ")
}

/// A value of a query parameter, in the escaping that the server undoes.
#[must_use]
pub fn parameter(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out
}

fn escaped(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for letter in text.chars() {
        if letter == '\\' || letter == quote {
            out.push('\\');
        }
        match letter {
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_only_where_it_must_be() {
        for (given, written) in [
            ("ts", "ts"),
            ("_offset", "_offset"),
            ("p99_ms", "p99_ms"),
            ("order", "`order`"),
            ("Index", "`Index`"),
            ("9lives", "`9lives`"),
            ("app.requests", "`app.requests`"),
            ("", "``"),
            ("tick`s", "`tick\\`s`"),
            ("back\\slash", "`back\\\\slash`"),
            ("größe", "`größe`"),
        ] {
            assert_eq!(name(given), written, "{given:?}");
        }
    }

    #[test]
    fn a_text_cannot_end_its_own_quotes() {
        assert_eq!(text("it's"), r"'it\'s'");
        assert_eq!(text(r"\'"), r"'\\\''");
        assert_eq!(text("a\0b"), r"'a\0b'");
    }

    #[test]
    fn a_parameter_keeps_its_tabs_and_backslashes() {
        assert_eq!(parameter("a\tb\\c\nd"), "a\\tb\\\\c\\nd");
    }

    #[test]
    fn a_structure_holds_types_with_quotes_and_names_with_ticks() {
        let columns = [
            ("ts".to_owned(), "DateTime64(3, 'UTC')".to_owned()),
            ("a`b".to_owned(), "Map(String, String)".to_owned()),
        ];
        assert_eq!(structure(&columns), "`ts` DateTime64(3, 'UTC'), `a\\`b` Map(String, String)");
        assert_eq!(text(&structure(&columns)), r"'`ts` DateTime64(3, \'UTC\'), `a\\`b` Map(String, String)'");
    }
}
