//! The examples of the reference, all in one file.

use std::fmt::Write as _;

use super::no_env;
use crate::config::declared::FILE;
use crate::config::keys::{Key, Kind};
use crate::config::parse_with_files;

#[test]
fn every_example_of_the_reference_is_accepted() {
    for (left_out, tables) in [(["tables", ""], "requests"), (["table", "rollups"], "clicks")] {
        let mut text = String::new();
        write_examples(FILE, 0, &left_out, &mut text);
        let settings = parse_with_files("f", &text, &no_env, &|_| Ok("{}".to_owned()))
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
        let table = &settings.streams["one"].tables[0];
        assert_eq!((settings.process.lanes.get(), table.name.as_str()), (4, tables));
        assert!(table.unknown_fields_in.is_some() && table.rollups["one"].metrics.len() == 2);
    }
}

/// A file of all keys, each as its example says. The columns are the ones the examples speak of.
fn write_examples(keys: &[Key], depth: usize, left_out: &[&str; 2], text: &mut String) {
    const COLUMNS: &str = "{ ts: DateTime64(3), service: String, endpoint: String, duration_ms: Float64, rest: JSON, \
                           city: { type: Nullable(String), from: geo.city, default: unknown }, \
                           at: { type: Date, epoch: milliseconds } }";
    let (indent, is_of_table) = (depth * 2, keys.iter().any(|key| key.name == "when"));
    let is_left_out = |key: &&Key| depth == 2 && left_out.contains(&key.name);
    for key in keys.iter().filter(|key| !is_left_out(key)) {
        let _ = write!(text, "{:indent$}{}:", "", key.name);
        match key.kind {
            Kind::Columns(_) => {
                let _ = writeln!(text, " {}", if is_of_table { "{ own: UInt8 }" } else { COLUMNS });
            }
            Kind::Section(inner) | Kind::SectionOrOff(inner) | Kind::WordOr(_, inner) => {
                text.push('\n');
                write_examples(inner, depth + 1, left_out, text);
            }
            Kind::Named(_, inner) => {
                let _ = writeln!(text, "\n{:indent$}  one:", "");
                write_examples(inner, depth + 2, left_out, text);
            }
            _ => {
                let _ = writeln!(text, " {}", key.example);
            }
        }
    }
}

/// The guide's examples: a whole stream as it stands, and keys of a stream added to the smallest that takes them.
#[test]
fn every_example_of_the_guide_to_streams_is_accepted() {
    const GUIDE: &str = include_str!("../../../../../docs/guide/streams.md");
    const SERVERS: &str = "clickhouse: { url: \"http://h\" }\nkafka: { brokers: h }\n";
    let examples: Vec<&str> =
        GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 6);
    for example in examples {
        let columns = if example.contains("columns:") { "" } else { "    columns: { ts: DateTime }\n" };
        let text = if example.starts_with("streams:") {
            format!("{SERVERS}{example}")
        } else {
            let head = "streams:\n  events:\n    from: { topic: t }\n    table: { order_by: ts }\n";
            format!("{SERVERS}{head}{columns}{example}")
        };
        let settings = parse_with_files("f", &text, &no_env, &|_| Ok("{}".to_owned()));
        assert!(
            settings.is_ok(),
            "{text}\n{}",
            settings.err().map_or(String::new(), |told| told.to_string())
        );
    }
}
