//! Tuples, Nested and JSON: which shapes they take, where they say a fault is, and fields that no column reads.

use serde_json::json;

use super::super::table_columns;
use super::*;

fn takes(column_type: &str, json: &str, shown: &str) {
    assert_eq!(decode_value(column_type, json).as_deref(), Ok(shown), "{json} in {column_type}");
}

/// Code, path and reason.
fn refuses(column_type: &str, json: &str, [code, path, reason]: [&str; 3]) {
    let [found_code, column, found_path, found_reason] = decode_value(column_type, json).expect_err(json);
    assert_eq!([&found_code, &column, &found_path], [code, "v", path], "{json} in {column_type}");
    assert!(found_reason.contains(reason), "{json} in {column_type}: {found_reason}");
}

#[test]
fn a_tuple_with_names_is_read_by_name() {
    let point = "Tuple(lat Float64, lon Float64, note Nullable(String))";
    takes(point, r#"{"lat":1.5,"lon":-2}"#, "{lat: 1.5, lon: -2.0, note: null}");
    takes(point, r#"{ "note" : null , "lon":0,"x":{"lat":[]},"lat":1 }"#, "{lat: 1.0, lon: 0.0, note: null}");
    takes("Tuple(n Nullable(UInt8))", "{}", "{n: null}");
    takes("Tuple(`a b` UInt8, `é` Bool)", r#"{"\u00e9":true,"a\u0020b":1}"#, "{a b: 1, é: true}");
    refuses(
        point,
        r#"{"lat":1}"#,
        ["PH-0101", "v.lon", "expected Float64 (a number it can hold), found no such field"],
    );
    refuses(point, r#"{"lat":1,"lon":2,"lat":1}"#, ["PH-0109", "v.lat", "the same key again"]);
    refuses(point, r#"{"lat":1,"lon":"2"}"#, ["PH-0103", "v.lon", "found a string of 1 byte"]);
    refuses(point, r#"{"lat":null,"lon":2}"#, ["PH-0102", "v.lat", "found null"]);
    refuses(point, "[1,2,null]", ["PH-0103", "v", "an object with a field for each element"]);
    refuses(point, "null", ["PH-0102", "v", "found null"]);
}

#[test]
fn a_tuple_without_names_is_read_by_place() {
    takes("Tuple(UInt8, Nullable(Bool))", "[1,true]", "{1: 1, 2: true}");
    takes("Tuple(Tuple(UInt8))", "[ [ 1 ] ]", "{1: {1: 1}}");
    for (json, found) in [
        ("[]", "found an array of 0 elements"),
        ("[1]", "found an array of 1 element"),
        ("[1,true,2]", "found a longer one"),
        ("{\"1\":1}", "found an object"),
    ] {
        refuses("Tuple(UInt8, Nullable(Bool))", json, ["PH-0103", "v", found]);
    }
    refuses("Tuple(UInt8, Nullable(Bool))", "[1,2]", ["PH-0103", "v[1]", "found the number 2"]);
    assert_eq!(decode_value("Tuple(UInt8, Bool)", "[1,true").expect_err("cut short")[0], "PH-0100");
}

#[test]
fn composites_go_into_each_other() {
    takes(
        "Array(Tuple(a UInt8, b Array(UInt8)))",
        r#"[{"a":1,"b":[]},{"b":[2,3],"a":4}]"#,
        "[{a: 1, b: []}, {a: 4, b: [2, 3]}]",
    );
    takes("Map(String, Tuple(UInt8))", r#"{"k":[1]}"#, "{6b: {1: 1}}");
    takes("Tuple(m Map(UInt8, Array(Nullable(UInt8))))", r#"{"m":{"1":[null,2]}}"#, "{m: {1: [null, 2]}}");
    takes("Array(Array(Nullable(UInt8)))", "[[],[null],[1,null]]", "[[], [null], [1, null]]");
    let deep = "Map(LowCardinality(String), Array(Tuple(p Tuple(UInt8, Tuple(q UInt8)))))";
    refuses(
        deep,
        r#"{"k":[{"p":[1,{"q":2}]},{"p":[1,{"q":256}]}]}"#,
        ["PH-0104", "v[0][1].p[1].q", "the number 256"],
    );
    let tokyo = column("v", "Array(Tuple(t DateTime('Nowhere/Else')))");
    assert!(OpenBatch::new(&stream(vec![tokyo]), REVISION).is_err());
}

#[test]
fn a_nested_is_an_array_of_objects_and_an_array_for_each_element() {
    let declared =
        stream(vec![column("n", "Nested(a UInt8, b Array(Nullable(String)))"), column("w", "Bool")]);
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    for (offset, payload) in (0..).zip([
        r#"{"n":[{"a":1,"b":[]},{"b":["x",null],"a":2,"c":0}],"w":true}"#,
        r#"{"n":[{"a":1,"b":[]},{"b":[]}],"w":true}"#,
        r#"{"w":false,"n":[]}"#,
        r#"{"n":{"a":[1],"b":[[]]},"w":true}"#,
        r#"{"n":[{"a":3,"b":[]}],"w":true}"#,
    ]) {
        batch.push(&record(0, offset, payload.as_bytes()));
    }
    let sealed = batch.seal(TIME);
    let letters = sealed.dead_letters.clone().expect("two letters");
    assert_eq!([0, 1].map(|row| text(&letters, "code", row)), ["PH-0101", "PH-0103"]);
    assert_eq!([0, 1].map(|row| text(&letters, "path", row)), ["n[1].a", "n"]);
    let rows = rows_of(sealed).expect("rows");
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns = table_columns(&declared, &declared.tables[0]);
    assert_eq!(names, columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    assert_eq!(columns[0], ("n.a".to_owned(), "Array(UInt8)".to_owned()));
    assert_eq!(columns[1], ("n.b".to_owned(), "Array(Array(Nullable(String)))".to_owned()));
    assert_eq!([0, 1, 2].map(|row| shown(&rows, 0, row)), ["[1, 2]", "[]", "[3]"]);
    assert_eq!([0, 1, 2].map(|row| shown(&rows, 1, row)), ["[[], [78, null]]", "[]", "[[]]"]);
}

#[test]
fn json_is_kept_as_it_was_written() {
    for json in [
        "{}",
        "{ \"b\" : 1 ,\n \"a\":[ 1, 2 ] }",
        r#"{"a":{"b":{},"c":null},"é":"\ud83d\ude00\u0000"}"#,
        r#"{"":{"":1},"a.b":2,"a":{"c":3}}"#,
        r#"{"x":9223372036854775807,"y":-9223372036854775808,"z":18446744073709551615}"#,
        r#"{"a":[9007199254740992,-9007199254740992,0.5,1e300,-0.0,5e-324,0e-400]}"#,
        r#"{"a":[{"id":9007199254740993,"b":[{"id":9007199254740993}]},null,{"id":1}]}"#,
        r#"{"a":[1,"x",true,null,{"b":[[1],[2]]},{}]}"#,
        r#"{"a":[[[[1,2],[3,4]]]],"b":[[null],["x"]]}"#,
        r#"{"a":[{"a":1},{"a":2}],"b":{"a":3}}"#,
    ] {
        takes("JSON", json, json);
        takes("Nullable(JSON)", json, json);
    }
    takes("Nullable(JSON)", "null", "null");
}

#[test]
fn what_clickhouse_would_refuse_or_change_in_json_is_a_dead_letter() {
    for (json, refused) in [
        (r#"{"a":1,"a":1}"#, ["PH-0109", "v.a", "the same path again"]),
        (r#"{"a":1,"\u0061":2}"#, ["PH-0109", "v.a", "the same path again"]),
        (r#"{"x":{"a":{},"a":{}}}"#, ["PH-0109", "v.x.a", "the same path again"]),
        (r#"{"x":[0,{"a":1,"b":2,"a":null}]}"#, ["PH-0109", "v.x[1].a", "the same path again"]),
        (r#"{"a":{"b":1},"a.b":2}"#, ["PH-0109", "v.a.b", "the same path again"]),
        (r#"{"a":{"b":{"c":1}},"a.b":{"c":1}}"#, ["PH-0109", "v.a.b", "the same path again"]),
        (r#"{"a":1,"a.b":2}"#, ["PH-0109", "v.a", "a value and further paths"]),
        (r#"{"a":[],"a.b.c":2}"#, ["PH-0109", "v.a", "a value and further paths"]),
        (r#"{"a":18446744073709551616}"#, ["PH-0104", "v.a", "the number 18446744073709551616"]),
        (r#"{"a":-9223372036854775809}"#, ["PH-0104", "v.a", "Int64 or UInt64"]),
        (r#"{"a":{"b":[1e309]}}"#, ["PH-0104", "v.a.b[0]", "a Float64 can hold"]),
        (r#"{"a":-1e-400}"#, ["PH-0105", "v.a", "not 0 as a Float64"]),
        (r#"{"a":[1,9007199254740993]}"#, ["PH-0105", "v.a[1]", "at most 2^53 in an array"]),
        (r#"{"a":[[-9007199254740993]]}"#, ["PH-0105", "v.a[0][0]", "at most 2^53 in an array"]),
        (
            r#"{"a":[{"b":[{"c":[{"id":9007199254740993}]}]}]}"#,
            ["PH-0105", "v.a[0].b[0].c[0].id", "at most 2^53"],
        ),
        (r#"{"a":[null,[]]}"#, ["PH-0102", "v.a[1]", "null beside them"]),
        (r#"{"a":[[],1,null]}"#, ["PH-0102", "v.a[2]", "null beside them"]),
        (r#"{"a":[[null],[[1]]]}"#, ["PH-0102", "v.a[1][0]", "null beside them"]),
        (r#"{"a":[[[[[]]]]]}"#, ["PH-0110", "v.a[0][0][0][0]", "at most 4 arrays"]),
        ("[]", ["PH-0103", "v", "expected JSON (an object), found an array"]),
        ("\"{}\"", ["PH-0103", "v", "found a string of 2 bytes"]),
        ("null", ["PH-0102", "v", "found null"]),
        (r#"{"a":"\ud800"}"#, ["PH-0112", "v.a", "half of a surrogate pair"]),
    ] {
        refuses("JSON", json, refused);
    }
    let points = "a.".repeat(128);
    let [code, ..] = decode_value("JSON", &format!(r#"{{"{points}":1}}"#)).expect_err("129 keys in one");
    assert_eq!(code, "PH-0110");
    takes("JSON", &format!(r#"{{"{}":1}}"#, &points[2..]), &format!(r#"{{"{}":1}}"#, &points[2..]));
    let keys: Vec<_> = (0..1000).map(|key| format!("\"{key}\":0")).collect();
    let long = format!(r#"{{"{}":{{{}}}}}"#, "k".repeat(5000), keys.join(","));
    let [code, _, path, _] = decode_value("JSON", &long).expect_err("paths of 5 MB");
    assert_eq!((code.as_str(), path.len()), ("PH-0118", 2 + 120));
    for broken in [r#"{"a":}"#, r#"{"a":1"#, r#"{"a" 1}"#, "{a:1}", r#"{"a":[1,]}"#, r#"{"a":01}"#] {
        assert_eq!(decode_value("JSON", broken).expect_err(broken)[0], "PH-0100", "{broken}");
    }
}

#[test]
fn an_object_may_be_as_deep_as_a_record() {
    let objects = |depth: usize| format!("{}{{}}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let arrays = |depth: usize| format!("{}{{}}{}", r#"{"a":["#.repeat(depth), "]}".repeat(depth));
    for fits in [objects(126), arrays(63)] {
        takes("JSON", &fits, &fits);
    }
    for deeper in [objects(127), arrays(64), objects(100_000), arrays(100_000)] {
        assert_eq!(decode_value("JSON", &deeper).expect_err("too deep")[0], "PH-0110");
    }
}

/// What the column for fields that no other reads gets, beside columns `id`, `geo.city` and `geo`'s own.
fn rest_of(payload: &str) -> Result<String, Refused> {
    let columns = vec![
        column("extra", "JSON"),
        column("id", "UInt64"),
        from("geo.city", or(json!(""), column("city", "String"))),
        from("whole.part", or(json!(0), column("part", "UInt8"))),
        from("whole", or(json!({}), column("whole", "JSON"))),
    ];
    let mut declared = stream(columns);
    declared.tables[0].unknown_fields_in = Some("extra".to_owned());
    let mut batch = OpenBatch::new(&declared, REVISION).expect("a batch");
    for (offset, payload) in (0..).zip([r#"{"other":["before"],"id":0}"#, payload]) {
        batch.push(&record(0, offset, payload.as_bytes()));
    }
    let sealed = batch.seal(TIME);
    match sealed.dead_letters.clone() {
        Some(letters) => Err(["code", "column", "path", "reason"].map(|name| text(&letters, name, 0))),
        None => Ok(shown(&rows_of(sealed).expect("rows"), 0, 1)),
    }
}

#[test]
fn fields_that_no_column_reads_are_kept_as_they_stand() {
    for (payload, kept) in [
        (r#"{"id":1}"#, "{}"),
        (r#"{"id":1,"a":[ 1 ],"b" : {"c":null}}"#, r#"{"a":[ 1 ],"b" : {"c":null}}"#),
        (r#"{"x":true,"id":1}"#, r#"{"x":true}"#),
        (r#"{"id":1,"geo":{"city":"x"}}"#, "{}"),
        (r#"{"id":1,"geo":null,"y":"z"}"#, r#"{"y":"z"}"#),
        (
            r#"{"id":1,"geo" : {"lat":1.5,"city":"x","lon":2},"z":0}"#,
            r#"{"geo" : {"lat":1.5,"lon":2},"z":0}"#,
        ),
        (r#"{"id":1,"whole":{"part":1,"more":2}}"#, "{}"),
        (r#"{"id":1,"extra":{"a":1},"\u0065xtr\u0061 2":3}"#, r#"{"extra":{"a":1},"\u0065xtr\u0061 2":3}"#),
        (r#"{"id":1,"geo":{"geo":{"city":"y"}}}"#, r#"{"geo":{"geo":{"city":"y"}}}"#),
    ] {
        assert_eq!(rest_of(payload).as_deref(), Ok(kept), "{payload}");
    }
}

#[test]
fn a_field_that_can_not_be_kept_names_its_path_in_the_record() {
    for (payload, refused) in [
        (r#"{"id":1,"a":1,"a":2}"#, ["PH-0109", "extra", "a"]),
        (r#"{"id":1,"geo":{"lat":18446744073709551616}}"#, ["PH-0104", "extra", "geo.lat"]),
        (r#"{"id":1,"geo":{"city":"x","at":[0,[null,[]]]}}"#, ["PH-0102", "extra", "geo.at[1][1]"]),
        (r#"{"id":true,"a":1e999}"#, ["PH-0103", "id", "id"]),
        (r#"{"id":1,"a":1} x"#, ["PH-0100", "", ""]),
    ] {
        let [code, column, path, _] = rest_of(payload).expect_err(payload);
        assert_eq!([code.as_str(), &column, &path], refused, "{payload}");
    }
}

#[test]
fn a_refused_record_leaves_nothing_in_composites() {
    let columns = || {
        vec![
            column(
                "t",
                "Tuple(a Array(UInt8), j JSON, m Map(String, Tuple(Nullable(UInt8), LowCardinality(String))))",
            ),
            column("n", "Nested(a UInt8, b Nullable(JSON))"),
            column("last", "Bool"),
        ]
    };
    let good = |number: u64| {
        format!(
            r#"{{"t":{{"a":[{number}],"j":{{"k":{number}}},"m":{{"x":[null,"y{number}"]}}}},"n":[{{"a":1}},{{"a":2,"b":{{}}}}],"last":true}}"#
        )
    };
    let bad = [
        good(1).replace("true", "1"),
        good(2).replace("\"y2\"", "2"),
        good(3).replace("{\"a\":2", "{\"a\":256"),
        good(4).replace("\"k\"", "\"k\":0,\"k\""),
        good(5).replace("\"b\":{}", "\"b\":{\"a\":[1e999]}"),
        good(6).replace("\"a\":[6]", "\"a\":[6,-6]"),
    ];
    let (mut with, mut without) = (batch(columns()), batch(columns()));
    for number in 0..200 {
        let good = good(number);
        let partition = u32::from(number % 3 == 0);
        assert_eq!(with.push(&record(partition, number, good.as_bytes())), Pushed::Row);
        let bad = &bad[usize::try_from(number).expect("small") % bad.len()];
        assert_eq!(with.push(&record(partition, number, bad.as_bytes())), Pushed::DeadLetter, "{bad}");
        if partition == 0 {
            without.push(&record(partition, number, good.as_bytes()));
        }
    }
    with.drop_partitions(&[1].into());
    assert_eq!(rows_of(with.seal(TIME)), rows_of(without.seal(TIME)));
}
