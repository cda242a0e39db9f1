//! What a stream may say of its messages, its tables and their conditions.

use std::num::NonZeroU64;

use serde_json::json;

use super::{file, no_env, one_mistake, read, told};
use crate::config::settings::{Matches, Numbers, Stream, Tombstones, Values, ValvePolicy, When};
use crate::config::{parse_with_files, shape_hash};

const HEAD: &str = "clickhouse: { url: \"http://h\", database: web }\nkafka: { brokers: h }\nstreams:\n  events:\n    \
                    from: { topic: events }\n";

/// The stream `events` with these keys; each line is indented to where it belongs.
fn stream(keys: &str) -> Stream {
    let text = text_of(keys);
    let settings = read(&text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    settings.streams["events"].clone()
}

fn text_of(keys: &str) -> String {
    keys.lines().fold(HEAD.to_owned(), |text, line| format!("{text}    {line}\n"))
}

fn mistake(keys: &str) -> String {
    one_mistake(&text_of(keys)).replace("streams.events.", "")
}

const SEVERAL: &str = "\
columns: { ts: DateTime, kind: LowCardinality(String) }
unknown_fields: { keep_in: rest }
tables:
  clicks:
    when: { kind: click, geo.country: [de, 49, true] }
    columns: { x: UInt16, rest: JSON }
    order_by: [kind, ts]
    rollups:
      daily: { every: 1 day of ts, metrics: { n: count(), most: max(x) } }
  views:
    when: { kind: { not: [click, bot], exists: true }, user: { exists: false } }
    unknown_fields: ignore
    order_by: ts
    ttl: ts + INTERVAL 1 DAY
  others:
    when: otherwise
    name: audit.others
    columns: { rest: JSON }
    order_by: ts
  all:
    unknown_fields: ignore
    order_by: ts
    partition_by: toYYYYMM(ts)
";

#[test]
fn every_key_of_a_stream_means_what_it_says() {
    let stream = stream(
        "values: lines\ntombstones: dead_letter\nnumbers: coerce\ncolumns: { ts: DateTime, rest: JSON }\n\
         unknown_fields: { keep_in: rest }\ndead_letters: { topic: events.dead }\nlineage: { index: place }\n\
         table: { order_by: [ts, place] }",
    );
    assert_eq!(
        (stream.values, stream.tombstones, stream.numbers),
        (Values::Lines, Tombstones::DeadLetter, Numbers::Coerce)
    );
    assert_eq!(stream.dead_letters.topic.as_deref(), Some("events.dead"));
    assert_eq!(stream.lineage.map(|lineage| lineage.index).as_deref(), Some("place"));
    assert_eq!(stream.tables[0].unknown_fields_in.as_deref(), Some("rest"));
}

#[test]
fn the_valve_has_defaults_that_fit_any_freshness() {
    let valve = |keys: &str| {
        let stream = stream(&format!("columns: {{ ts: DateTime }}\ntable: {{ order_by: ts }}\n{keys}"));
        let ValvePolicy { batch_age_max, shut_at_percent, parts_max } = stream.valve;
        (batch_age_max.as_secs(), shut_at_percent, parts_max.map(NonZeroU64::get))
    };
    assert_eq!(valve(""), (30, 80, None));
    assert_eq!(valve("batch: { freshness: 2m }"), (120, 80, None), "batches are that old anyway");
    assert_eq!(valve("valve: { parts_max: null }"), (30, 80, None));
    let said = "valve: { batch_age_max: 1m, shut_at_percent: 60, parts_max: 200_000 }";
    assert_eq!(valve(said), (60, 60, Some(200_000)));
}

#[test]
fn a_valve_that_could_not_work_is_a_mistake() {
    let mistake =
        |keys: &str| mistake(&format!("columns: {{ ts: DateTime }}\ntable: {{ order_by: ts }}\n{keys}"));
    for (keys, words) in [
        ("batch: { freshness: 10s }\nvalve: { batch_age_max: 5s }", "is less than `batch.freshness`"),
        ("valve: { batch_age_max: 500ms }", "is less than `batch.freshness`"),
        ("valve: { shut_at_percent: 96 }", "is above the most, 95"),
        ("valve: { shut_at_percent: 9 }", "is below the least, 10"),
        ("valve: { parts_max: 0 }", "is below the least, 1"),
        ("valve: { shut_at: 80 }", "valve.shut_at"),
    ] {
        let told = mistake(keys);
        assert!(told.contains(words), "{keys}: {told}");
    }
}

#[test]
fn several_tables_begin_with_the_streams_columns() {
    let stream = stream(SEVERAL);
    let named = |name: &str| {
        let found = stream.tables.iter().find(|table| table.full_name() == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    let columns =
        |name: &str| named(name).columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let full_names: Vec<String> =
        stream.tables.iter().map(crate::config::settings::Table::full_name).collect();
    assert_eq!(full_names, ["web.clicks", "web.views", "audit.others", "web.all"], "in the order written");
    assert_eq!(columns("web.clicks"), ["ts", "kind", "x", "rest"]);
    assert_eq!(columns("web.views"), ["ts", "kind"]);
    assert_eq!(named("web.clicks").unknown_fields_in.as_deref(), Some("rest"));
    assert_eq!(named("web.views").unknown_fields_in, None);
    assert_eq!(named("audit.others").unknown_fields_in.as_deref(), Some("rest"));
    assert_eq!(named("web.clicks").rollups["daily"].metrics.len(), 2);
    assert!(named("web.views").rollups.is_empty() && named("web.views").ttl.is_some());
    assert_eq!(named("web.all").partition_by.as_deref(), Some("toYYYYMM(ts)"));
}

#[test]
fn conditions_mean_what_they_say() {
    let stream = stream(SEVERAL);
    let Some(When::All(clicks)) = &stream.tables[0].when else { panic!() };
    assert_eq!(clicks[0].field, ["kind"]);
    assert_eq!(clicks[0].is, Matches::AnyOf(vec![json!("click")]));
    assert_eq!(clicks[1].field, ["geo", "country"]);
    assert_eq!(clicks[1].is, Matches::AnyOf(vec![json!("de"), json!(49), json!(true)]));
    let Some(When::All(views)) = &stream.tables[1].when else { panic!() };
    assert_eq!(views[0].is, Matches::NoneOf(vec![json!("click"), json!("bot")]));
    assert_eq!(
        (views[1].field.as_slice(), &views[1].is),
        (["kind".to_owned()].as_slice(), &Matches::Present)
    );
    assert_eq!(views[2].is, Matches::Absent);
    assert_eq!(stream.tables[2].when, Some(When::Otherwise));
    assert_eq!(stream.tables[3].when, None);
}

#[test]
fn one_table_means_the_same_in_either_form() {
    let short = stream("columns: { ts: DateTime }\ntable: { name: x, order_by: ts }");
    let long = stream("tables:\n  x: { columns: { ts: DateTime }, order_by: ts }");
    assert_eq!(shape_hash(&short), shape_hash(&long));
    assert_eq!(format!("{:?}", short.tables), format!("{:?}", long.tables));
}

#[test]
fn what_can_not_hold_among_tables_is_told() {
    for (keys, expected) in [
        (
            "columns: { ts: DateTime }\ntables:\n  a: { when: otherwise, order_by: ts }\n  b: { order_by: ts }",
            "tables.a.when: `otherwise` beside no table with conditions; remove `when` to take every record, or \
             give another table conditions",
        ),
        (
            "columns: { ts: DateTime }\ntables:\n  a: { order_by: ts }\n  b: { name: a, order_by: ts }",
            "streams.events: writes the table `web.a` twice; give one of them another `name`",
        ),
        (
            "columns: { ts: DateTime }\ntables:\n  a: { order_by: ts, rollups: { b: { every: 1 day of ts, metrics: { \
             n: count() } } } }\n  a_b: { order_by: ts }",
            "streams.events: writes the table `web.a_b` twice; give one of them another `name`",
        ),
        (
            "columns: { ts: DateTime }\ntable: { order_by: ts }\ntables:\n  a: { order_by: ts }",
            "table: stands beside `tables`; move it into one of `tables`, or remove it",
        ),
        (
            "tables:\n  a: { order_by: ts }",
            "tables.a.columns: no column; add one, here or to the stream's `columns`, such as `ts: DateTime64(3)`",
        ),
        (
            "columns: { ts: DateTime, rest: { type: JSON, from: other } }\nunknown_fields: { keep_in: rest }\n\
             table: { order_by: ts }",
            "unknown_fields.keep_in: `rest` names a column that is read from the record; declare it as `rest: JSON`, \
             without `from` and `default`",
        ),
        (
            "columns: { ts: DateTime }\ndead_letters: { topic: events }\ntable: { order_by: ts }",
            "dead_letters.topic: `events` is the topic that the stream `events` reads; name a topic of its own for \
             dead letters",
        ),
        (
            "columns: { ts: DateTime, _index: UInt8 }\nvalues: array\ntable: { order_by: ts }",
            "columns._index: is also the lineage column of the index; rename the column, or set `lineage.index` to \
             another name",
        ),
    ] {
        assert_eq!(mistake(keys), expected);
    }
    assert_eq!(mistake("columns: { ts: DateTime, _index: UInt8 }\ntable: { order_by: ts }"), "no mistake");
}

#[test]
fn tables_and_conditions_have_a_bound() {
    let tables = |count: usize| {
        let head = "columns: { ts: DateTime }\ntables:\n".to_owned();
        (0..count).fold(head, |text, number| {
            format!("{text}  t{number}: {{ order_by: ts, when: {{ k: {number} }} }}\n")
        })
    };
    assert_eq!(mistake(&tables(64)), "no mistake");
    assert!(mistake(&tables(65)).starts_with("tables: 65 tables; a stream feeds at most 64"));
    let asked = tables(63) + "  last: { order_by: ts, when: { k: { not: 1, exists: true } } }";
    let told = mistake(&asked);
    assert!(told.starts_with("tables.last.when: more than 64 different conditions on `k`"), "{told}");
}

#[test]
fn null_in_a_condition_points_to_exists() {
    for value in ["null", "~", "[a, null]", "{ not: null }"] {
        let told = mistake(&format!(
            "columns: {{ ts: DateTime }}\ntables:\n  a: {{ when: {{ k: {value} }}, order_by: ts }}"
        ));
        assert!(told.contains("null is equal to nothing; write `{ exists: false }`"), "{told}");
    }
}

#[test]
fn the_shape_follows_every_key_that_changes_a_row_or_where_it_goes() {
    let plain = shape_hash(&stream(SEVERAL));
    for (from, to) in [
        ("kind: click", "kind: clock"),
        ("[de, 49, true]", "[de, 49]"),
        ("[de, 49, true]", "{ not: [de, 49, true] }"),
        ("exists: false", "exists: true"),
        ("x: UInt16", "x: UInt32"),
        ("name: audit.others", "name: others"),
        ("    when: otherwise\n", ""),
        (
            "    unknown_fields: ignore\n    order_by: ts\n    ttl",
            "    columns: { rest: JSON }\n    order_by: ts\n    ttl",
        ),
        ("tables:", "values: lines\ntables:"),
        ("tables:", "tombstones: dead_letter\ntables:"),
        ("tables:", "numbers: coerce\ntables:"),
        ("tables:", "dead_letters: { topic: dead }\ntables:"),
    ] {
        assert!(SEVERAL.contains(from), "{from}");
        assert_ne!(plain, shape_hash(&stream(&SEVERAL.replacen(from, to, 1))), "{to}");
    }
}

#[test]
fn the_shape_does_not_follow_what_changes_no_row() {
    let plain = shape_hash(&stream(SEVERAL));
    let (before, all) = SEVERAL.split_at(SEVERAL.find("  all:").unwrap_or_default());
    let (head, tables) = before.split_at(before.find("  clicks:").unwrap_or_default());
    assert_eq!(plain, shape_hash(&stream(&format!("{head}{all}{tables}"))), "tables in another order");
    for (from, to) in [
        ("[de, 49, true]", "[true, de, 49, de]"),
        ("{ kind: click, geo.country: [de, 49, true] }", "{ geo.country: [de, 49, true], kind: click }"),
        ("{ x: UInt16, rest: JSON }", "{ rest: JSON, x: UInt16 }"),
        ("1 day of ts", "2 day of ts"),
        ("ttl: ts + INTERVAL 1 DAY", "ttl: ts + INTERVAL 2 DAY"),
    ] {
        assert!(SEVERAL.contains(from), "{from}");
        assert_eq!(plain, shape_hash(&stream(&SEVERAL.replacen(from, to, 1))), "{to}");
    }
    let to = |topic: &str| {
        shape_hash(&stream(
            &SEVERAL.replace("tables:", &format!("dead_letters: {{ topic: {topic} }}\ntables:")),
        ))
    };
    assert_eq!(to("one"), to("other"), "only that there is a topic");
}

#[test]
fn the_settings_show_tables_with_their_conditions() {
    let settings = read(&text_of(SEVERAL)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let json = settings.to_redacted_json();
    let tables = &json["streams"]["events"]["tables"];
    assert_eq!(tables["web.clicks"]["when"][0]["field"][0], "kind");
    assert_eq!(tables["audit.others"]["when"], "otherwise");
    assert_eq!(tables["web.views"]["unknown_fields"], "ignore");
    let short = read(&file("", "", "", "values: array")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let json = short.to_redacted_json();
    assert_eq!(json["streams"]["clicks"]["values"], "array");
    assert_eq!(json["streams"]["clicks"]["table"]["name"], "default.clicks");
}

#[test]
fn a_key_of_a_table_beside_it_is_sent_to_where_it_belongs() {
    let told = told(&text_of("columns: { ts: DateTime }\ntable: { order_by: ts }\nwhen: { a: b }"));
    assert!(
        told.contains(
            "streams.events.when: unknown key; it belongs at `streams.<stream>.tables.<table>.when`"
        ),
        "{told}"
    );
}

/// The mistake of a stream whose schema's file holds this text.
fn with_schema(schema: Result<&str, &str>) -> String {
    let text = text_of("columns: { ts: DateTime }\nschema: s.json\ntable: { order_by: ts }");
    let files = |name: &str| {
        assert_eq!(name, "s.json");
        schema.map(str::to_owned).map_err(str::to_owned)
    };
    match parse_with_files("f", &text, &no_env, &files) {
        Ok(_) => "no mistake".to_owned(),
        Err(mistakes) => {
            let told: Vec<&str> = mistakes.mistakes.iter().map(|mistake| mistake.what.as_str()).collect();
            told.join("; ")
        }
    }
}

#[test]
fn a_schema_that_can_not_judge_is_a_mistake() {
    for (schema, told) in [
        (Ok("{}"), "no mistake"),
        (Ok("\u{feff}{ \"$ref\": \"#/$defs/a\", \"$defs\": { \"a\": true } }"), "no mistake"),
        (
            Ok("{ \"$schema\": \"http://json-schema.org/draft-07/schema#\", \"type\": \"object\" }"),
            "no mistake",
        ),
        (Err("No such file"), "can't be read: No such file"),
        (Ok("{\n  \"type\": object\n}"), "is not JSON: line 2, column 11"),
        (Ok("{ \"type\": \"text\" }"), "is not a schema: at `/type`"),
        (
            Ok("{ \"properties\": { \"a\": { \"minimum\": \"1\" } } }"),
            "is not a schema: at `/properties/a/minimum`",
        ),
        (Ok("{ \"pattern\": \"(\" }"), "is not a schema: at `/pattern`"),
        (Ok("5"), "is not a schema"),
        (Ok("{ \"$ref\": \"https://example.com/a.json\" }"), "others are not fetched"),
        (Ok("{ \"$ref\": \"other.json\" }"), "others are not fetched"),
        (Ok("{ \"$ref\": \"#/$defs/none\" }"), "leads nowhere in this file"),
    ] {
        let all = with_schema(schema);
        assert!(all.contains(told), "{schema:?}: {all}");
    }
}

#[test]
fn a_schema_is_found_beside_the_configuration_and_is_part_of_the_shape() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let put = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap_or_else(|error| panic!("{error}"));
    };
    put("f.yaml", &text_of("columns: { ts: DateTime }\nschema: s.json\ntable: { order_by: ts }"));
    let shape = |schema: &str| {
        put("s.json", schema);
        let settings = crate::config::load(&folder.path().join("f.yaml"), &no_env);
        let settings = settings.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        (shape_hash(&settings.streams["events"]), settings.revision)
    };
    let first = shape("{ \"type\": \"object\", \"maxProperties\": 5 }");
    assert_eq!(first, shape("{ \"maxProperties\": 5,\n \"type\": \"object\" }"), "written in another way");
    let second = shape("{ \"type\": \"object\", \"maxProperties\": 6 }");
    assert!(first.0 != second.0 && first.1 != second.1);
}
