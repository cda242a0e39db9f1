//! What `${VAR}` in a value stands for. Works on single values after the YAML was read, so that what a variable
//! holds can never change the structure of the file. Does not know which values are secret: it marks all it
//! filled in.

use super::mistake::MISTAKE;
use super::said::{Node, Said, Scalar};
use super::scalar::Wrong;
use super::walk::Walk;

/// Looks a variable of the environment up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text can't be expanded.
#[derive(Debug, PartialEq, Eq)]
enum CannotExpand {
    /// The variable is not set and has no default.
    Unset(String),
    /// A `${` that is not `${NAME}` or `${NAME:-default}`.
    Malformed,
}

/// Expands every value below `node`, and tells of keys that were given twice on the way.
pub(super) fn expand_all(node: &mut Node, path: &str, walk: &Walk<'_>, env: Env<'_>) {
    match &mut node.said {
        Said::Text(text) if text.text.contains('$') => match expand(&text.text, env) {
            Ok(Expanded { text: expanded, from_variable }) => {
                *text = Scalar { text: expanded, plain: text.plain, expanded: from_variable };
            }
            Err(error) => {
                let (what, suggestion) = describe(&error);
                // What stands around the variable may be a secret, so the line is not shown.
                walk.mistake_unseen(MISTAKE, node.place, path, Wrong::new(what, suggestion));
                node.said = Said::Broken;
            }
        },
        Said::List(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                expand_all(node, &format!("{path}[{index}]"), walk, env);
            }
        }
        Said::Map(entries) => {
            for index in 0..entries.len() {
                let path = Walk::join(path, &entries[index].name);
                if let Some(first) = entries[..index].iter().find(|first| first.name == entries[index].name) {
                    let what = format!("given twice, first on line {}", first.place.line);
                    walk.mistake(entries[index].place, &path, what, "keep one of the two");
                }
                expand_all(&mut entries[index].node, &path, walk, env);
            }
        }
        Said::Text(_) | Said::Nothing | Said::Broken => {}
    }
}

fn describe(error: &CannotExpand) -> (String, String) {
    match error {
        CannotExpand::Unset(name) => (
            format!("the variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-default}}`"),
        ),
        CannotExpand::Malformed => (
            "`${` begins a variable that is not named or does not end".to_owned(),
            "write `${NAME}` or `${NAME:-default}`, or `$${` for the characters themselves".to_owned(),
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Expanded {
    text: String,
    from_variable: bool,
}

/// `$$` is a dollar sign; a dollar sign before anything but `{` or `$` is itself.
fn expand(text: &str, env: Env<'_>) -> Result<Expanded, CannotExpand> {
    let (mut out, mut rest, mut from_variable) = (String::with_capacity(text.len()), text, false);
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = after.strip_prefix('{') {
            let end = inside.find('}').ok_or(CannotExpand::Malformed)?;
            out.push_str(&variable(&inside[..end], env)?);
            from_variable = true;
            rest = &inside[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(Expanded { text: out, from_variable })
}

/// `NAME` or `NAME:-default`; as in a shell the default also stands in for an empty variable.
fn variable(inside: &str, env: Env<'_>) -> Result<String, CannotExpand> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !named {
        return Err(CannotExpand::Malformed);
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(CannotExpand::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, CannotExpand> {
        let env = |name: &str| match name {
            "HOST" => Some("ch-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, &env).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_defaults_and_escapes_expand_as_in_a_shell() {
        for (text, meaning) in [
            ("http://${HOST}:8123", "http://ch-1:8123"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:b}", "a:b"),
            ("$${HOST}", "${HOST}"),
            ("match(path, 'x$')", "match(path, 'x$')"),
            ("5$", "5$"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(meaning), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_and_a_broken_one_are_mistakes() {
        assert_eq!(expanded("${NONE}"), Err(CannotExpand::Unset("NONE".to_owned())));
        for text in ["${", "${}", "${A", "${1A}", "${A-b}", "${A B}"] {
            assert_eq!(expanded(text), Err(CannotExpand::Malformed), "{text}");
        }
    }

    #[test]
    fn a_default_written_in_the_file_is_not_shown_either() {
        let none = |_: &str| None;
        assert_eq!(expand("${X:-a}", &none), Ok(Expanded { text: "a".to_owned(), from_variable: true }));
        assert_eq!(expand("$$a", &none), Ok(Expanded { text: "$a".to_owned(), from_variable: false }));
    }
}
