//! The reference page of the file, made from the declared keys. Knows Markdown; decides nothing.

use std::fmt::Write as _;

use super::declared::FILE;
use super::keys::{self, Fallback, Key, Kind};
use super::scalar::{show_duration, show_size};

const HEAD: &str = "\
<!-- Made from crates/pumphouse/src/config/declared*.rs. To change it, change them, then run
     UPDATE_REFERENCE=1 cargo test -p pumphouse --lib reference -->

# The configuration file

Every key of `pumphouse.yaml`. The file is YAML: one document, UTF-8, at most 4 MiB. Unknown keys, keys given twice
and values that do not fit are mistakes; all of them are told at once, with file, line, key and a suggestion, and
nothing starts. The exit code is then 65. For editors there is a JSON Schema:

```yaml
# yaml-language-server: $schema=./docs/reference/pumphouse.schema.json
```

## The smallest useful file

```yaml
";

const VALUES: &str = "\
```

## Values

- **Variables**: `${NAME}` is replaced by the variable of the environment, `${NAME:-default}` by the default where it
  is not set or empty; `$$` is one dollar sign. They are filled in after the YAML was read, so what a variable holds
  never changes the structure of the file. A variable that is not set and has no default is a mistake. What came from
  a variable is never shown in a mistake.
- **Secrets**: `clickhouse.password`, and those of `kafka.properties` whose name speaks of a password, secret, key or
  token. They never reach a log, an error or a page.
- **Durations**: a whole number with `ms`, `s`, `m`, `h` or `d`: `500ms`.
- **Sizes**: a whole number of bytes, or one with `KB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB`
  (powers of 1024): `256MiB`.
- **Later**: what is marked so is accepted by name, and refused with a sentence saying that this version can't do it.

## Keys

";

/// The reference page of the configuration, as Markdown.
#[must_use]
pub fn reference_page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(SMALLEST);
    page.push_str(VALUES);
    for (path, key) in keys::all(FILE).iter().filter(|(path, _)| !is_described_above(path)) {
        describe(&mut page, path, key);
    }
    page.push_str(&refusals());
    page
}

const OF_A_TABLE: &str = "streams.<stream>.tables.<table>.";

/// Whether the key is one below a key that the stream has as well, with the same meaning.
fn is_described_above(path: &str) -> bool {
    let of_a_table = path.strip_prefix(OF_A_TABLE).unwrap_or_default();
    ["columns.<column>.", "unknown_fields.", "rollups.<rollup>."]
        .iter()
        .any(|above| of_a_table.starts_with(above))
}

/// The smallest useful file; a test reads it.
pub(super) const SMALLEST: &str = include_str!("smallest.yaml");

fn describe(page: &mut String, path: &str, key: &Key) {
    // Writing into a String can't fail.
    let _ = writeln!(page, "### `{path}`\n\n{}\n", key.doc);
    let below = if path.starts_with(OF_A_TABLE) { "the keys above" } else { "the keys below" };
    let _ = writeln!(page, "- Value: {}", value(&key.kind).replace("the keys below", below));
    let _ = match key.fallback {
        Fallback::Required => writeln!(page, "- Required"),
        Fallback::Is("") => writeln!(page, "- Default: empty"),
        Fallback::Is(text) => writeln!(page, "- Default: `{text}`"),
        Fallback::Absent(meaning) => writeln!(page, "- Without it: {meaning}"),
    };
    if !key.example.is_empty() {
        let _ = writeln!(page, "- Example: `{}: {}`", key.name, key.example);
    }
    let _ = writeln!(page, "- Since: {}\n", key.since);
}

fn value(kind: &Kind) -> String {
    match kind {
        Kind::SectionOrOff(_) => format!("{}, or `false`", kind.expected()),
        Kind::Columns(_) => {
            "a map of column names, each to a type or to a map with the keys below".to_owned()
        }
        Kind::Named(..) => format!("{}, with the keys below", kind.expected()),
        Kind::WordOr(word, _) => format!("`{word}`, or a map with the keys below"),
        Kind::Number(least, most) => format!("a whole number, {least} to {most}"),
        Kind::NumberOrNull(least, most) => format!("a whole number, {least} to {most}, or `null`"),
        Kind::Duration(least, most) => {
            format!("a duration, {} to {}", show_duration(*least), show_duration(*most))
        }
        Kind::Size(least, most) => format!("a size, {} to {}", show_size(*least), show_size(*most)),
        Kind::Choice(choice) if !choice.later.is_empty() => {
            let later: Vec<String> = choice.later.iter().map(|word| format!("`{word}`")).collect();
            format!("{}; later: {}", kind.expected(), later.join(", "))
        }
        _ => kind.expected(),
    }
}

fn refusals() -> String {
    let mut text = "## Kafka properties that are refused\n\n".to_owned();
    for (name, why, instead) in super::kafka_properties::REFUSED {
        let _ = writeln!(text, "- `{name}`: {why}; {instead}.");
    }
    text.push_str(
        "- `max.poll.interval.ms` below 60000, which is the default here: a revocation has to wait until a claimed batch \
         has landed.\n\
         - `group.instance.id` with `process.lanes` above 1: the lanes would fence each other by it.\n\
         - With `group.protocol: consumer`: `session.timeout.ms`, `heartbeat.interval.ms` and \
         `partition.assignment.strategy`, which the broker then decides.\n\n\
         ## ClickHouse settings that are refused\n\n",
    );
    refused(&mut text, super::insert_settings::REFUSED);
    let allowed: Vec<String> = super::rate_settings::ALLOWED.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(
        text,
        "\n## Table settings that can follow the rate\n\n{}.\n\nRefused:\n\n",
        allowed.join(", ")
    );
    refused(&mut text, super::rate_settings::REFUSED);
    text
}

fn refused(text: &mut String, list: &[(&str, &str)]) {
    for (name, why) in list {
        let star = if name.ends_with('_') { "*" } else { "" };
        let _ = writeln!(text, "- `{name}{star}`: {why}.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares a made file with what it would be made of now; with `UPDATE_REFERENCE=1` writes it.
    fn holds(file: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, text).expect("docs/reference is there to be written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == text,
            "docs/reference/{file} differs from the declared keys; run \
             `UPDATE_REFERENCE=1 cargo test -p pumphouse --lib reference`"
        );
    }

    #[test]
    fn the_reference_page_holds_what_is_declared() {
        holds("configuration.md", &reference_page());
    }

    #[test]
    fn the_reference_schema_holds_what_is_declared() {
        let schema = crate::config::json_schema();
        let text = serde_json::to_string_pretty(&schema).expect("a JSON value has no keys but texts");
        holds("pumphouse.schema.json", &(text + "\n"));
    }
}
