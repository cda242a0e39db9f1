//! The table of errors: texts as ClickHouse 26.7 writes them, and what proxies say.

use super::*;

fn said(body: &str) -> ServerError {
    ServerError::from_answer(500, None, body).expect("an error")
}

#[test]
fn a_code_a_name_and_a_message_are_read_from_the_body() {
    let error = said(
        "Code: 60. DB::Exception: Table x.nope does not exist. Maybe you meant system.one?. (UNKNOWN_TABLE) (version 26.7.2.1)\n",
    );
    assert_eq!((error.code, error.name.as_str(), error.kind), (60, "UNKNOWN_TABLE", Kind::MissingTable));
    assert_eq!(error.message, "Table x.nope does not exist. Maybe you meant system.one?.");
    assert_eq!(
        error.to_string(),
        "code 60 UNKNOWN_TABLE: Table x.nope does not exist. Maybe you meant system.one?."
    );
}

#[test]
fn an_exception_after_status_200_is_found_between_its_marks() {
    let body = "{\"a\":0}\n{\"a\":0}\n\n__exception__\nfavhmkycyeybkgdp\nCode: 241. DB::Exception: Memory limit exceeded: would use 4.50 GiB. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1)\n275 favhmkycyeybkgdp\n__exception__\n";
    let error = ServerError::from_answer(200, None, body).expect("an error");
    assert_eq!((error.code, error.kind), (241, Kind::Memory));
    assert_eq!(error.name, "MEMORY_LIMIT_EXCEEDED");
    let older = "0\n0\nCode: 159. DB::Exception: Timeout exceeded: elapsed 3 s. (TIMEOUT_EXCEEDED) (version 23.8.1)\n";
    assert_eq!(ServerError::from_answer(200, None, older).expect("an error").kind, Kind::Timeout);
}

#[test]
fn the_header_decides_where_the_body_is_cut_or_empty() {
    let error = ServerError::from_answer(500, Some(252), "").expect("an error");
    assert_eq!((error.code, error.kind, error.name.as_str()), (252, Kind::TooManyParts, "CODE_252"));
    let error =
        ServerError::from_answer(200, Some(469), "Code: 469. DB::Exception: Constraint `c` for table x.t (")
            .expect("an error");
    assert_eq!(error.kind, Kind::BadRow);
}

#[test]
fn success_and_a_proxys_failure_are_not_errors_of_clickhouse() {
    for (status, body) in [
        (200, ""),
        (200, "{\"text\":\"Code: 60. DB::Exception: a row that quotes one\"}\n"),
        (301, "<html>Moved</html>"),
        (502, "<html><h1>502 Bad Gateway</h1></html>"),
        (503, "<html><h1>503 Service Unavailable</h1></html>"),
        (504, "upstream request timeout"),
    ] {
        assert_eq!(ServerError::from_answer(status, None, body), None, "{status} {body}");
    }
}

#[test]
fn a_refusal_of_a_proxy_proves_that_nothing_landed() {
    for (status, kind) in [
        (401, Kind::Access),
        (403, Kind::Access),
        (404, Kind::Access),
        (413, Kind::Block),
        (429, Kind::Overloaded),
    ] {
        let error = ServerError::from_answer(status, None, "<html>no</html>").expect("an error");
        assert_eq!((error.kind, error.code), (kind, 0));
        assert!(error.proves_nothing_landed(true), "{status}");
    }
}

/// What an error means, and whether it proves that nothing landed without and with views.
#[test]
fn every_kind_has_its_texts_and_its_proof() {
    const YES: bool = true;
    const NO: bool = false;
    let table = [
        (395, "PH_DEADLINE: while executing 'FUNCTION throwIf(…)'", Kind::Deadline, YES, YES),
        (
            395,
            "boom: while executing 'FUNCTION throwIf(…)': while pushing to view x.mv2",
            Kind::Unknown,
            NO,
            NO,
        ),
        (
            252,
            "Too many parts (3001 with average size of 1.00 KiB) in table 'x.t'. Merges are processing significantly slower than inserts",
            Kind::TooManyParts,
            YES,
            NO,
        ),
        (
            252,
            "Too many partitions for single INSERT block (more than 100). The limit is controlled by 'max_partitions_per_insert_block' setting.",
            Kind::Block,
            YES,
            NO,
        ),
        (
            241,
            "(total) memory limit exceeded: would use 4.50 GiB: While executing ArrowIPCBlockInputFormat.",
            Kind::Memory,
            YES,
            YES,
        ),
        (241, "(total) memory limit exceeded: would use 4.50 GiB", Kind::Memory, NO, NO),
        (242, "Table is in readonly mode (replica path: /x/replicas/1)", Kind::ReadOnly, NO, NO),
        (202, "Too many simultaneous queries. Maximum: 100", Kind::Overloaded, YES, YES),
        (439, "Cannot schedule a task: no free thread", Kind::Overloaded, NO, NO),
        (
            516,
            "bad: Authentication failed: password is incorrect, or there is no user with such name.",
            Kind::Access,
            YES,
            YES,
        ),
        (497, "u: Not enough privileges.", Kind::Access, YES, NO),
        (164, "default: Cannot execute query in readonly mode.", Kind::Access, YES, NO),
        (60, "Target table 'x.v1' of view 'x.t' doesn't exists.", Kind::MissingTable, YES, NO),
        (16, "There is no column b in table.", Kind::ColumnMismatch, YES, NO),
        (53, "Type mismatch", Kind::ColumnMismatch, YES, NO),
        (115, "Unknown setting 'nosuchsetting'.", Kind::Setting, YES, YES),
        (452, "Setting max_threads shouldn't be greater than 1", Kind::Setting, YES, NO),
        (469, "Constraint `c` for table x.t is violated at row 1.", Kind::BadRow, YES, NO),
        (
            469,
            "Constraint `cv` for table x.v1 is violated at row 1.: while pushing to view x.mv",
            Kind::BadRow,
            NO,
            NO,
        ),
        (117, "Not an Arrow IPC stream: While executing ArrowIPCBlockInputFormat.", Kind::BadRow, YES, YES),
        (
            117,
            "Cannot parse JSON object here: {}}: while converting source column j to destination column j: \
             while executing 'FUNCTION _CAST(j :: 0, JSON :: 1) -> _CAST(j, JSON) JSON : 2'.",
            Kind::BadRow,
            YES,
            YES,
        ),
        (
            117,
            "Cannot parse JSON object here: {}}: while converting source column j to destination column j: \
             while executing 'FUNCTION _CAST(j :: 0, JSON :: 1) -> _CAST(j, JSON) JSON : 2': while pushing to view d.v.",
            Kind::BadRow,
            NO,
            NO,
        ),
        (72, "Cannot parse number", Kind::BadRow, NO, NO),
        (159, "Timeout exceeded", Kind::Timeout, NO, NO),
        (319, "Unknown status, client must retry.", Kind::Replica, NO, NO),
        (999, "Coordination::Exception: Session expired", Kind::Replica, NO, NO),
        (49, "Logical error", Kind::Unknown, NO, NO),
    ];
    for (code, message, kind, alone, with_views) in table {
        let error = said(&format!("Code: {code}. DB::Exception: {message} (SOME_NAME) (version 26.7.2.1)\n"));
        assert_eq!(error.kind, kind, "{code} {message}");
        assert_eq!(error.proves_nothing_landed(false), alone, "{code} {message}, no views");
        assert_eq!(error.proves_nothing_landed(true), with_views, "{code} {message}, views");
    }
}

#[test]
fn no_value_of_a_row_stays_in_a_message() {
    for body in [
        "Code: 469. DB::Exception: Constraint `c` for table x.t (294635c1-e8fd-48c7-bc30-5c4a31a0e17d) is violated at row 1. Expression: (a < 100). Column values: a = 4711. (VIOLATED_CONSTRAINT) (version 26.7.2.1)",
        "Code: 691. DB::Exception: Unknown element '4711' for enum: (while reading the value of key e): (at row 1)\n: While executing ParallelParsingBlockInputFormat. (UNKNOWN_ELEMENT_OF_ENUM)",
        "Code: 6. DB::Exception: Cannot parse string 'it's \"4711\" 'and more' as UInt16: syntax error (CANNOT_PARSE_TEXT)",
        "Code: 321. DB::Exception: Value 4711 is out of range of type UInt8 (VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE)",
        "Code: 117. DB::Exception: Cannot parse JSON object here: {\"a\":[true]} 4711x: while converting source column j (INCORRECT_DATA)",
        "Code: 407. DB::Exception: Decimal convert overflow: -4711.5e3 is not in range (DECIMAL_OVERFLOW)",
    ] {
        let error = said(body);
        assert!(!error.message.contains("4711"), "{}", error.message);
        assert!(error.message.len() > 10, "{}", error.message);
    }
    let kept =
        said("Code: 349. DB::Exception: Cannot convert NULL value to non-Nullable type UInt16 (X)").message;
    assert_eq!(kept, "Cannot convert NULL value to non-Nullable type UInt16");
}

#[test]
fn a_row_is_suspected_of_what_functions_and_constraints_say_of_it_and_of_nothing_else() {
    let suspects = |code: i32, message: &str| {
        said(&format!("Code: {code}. DB::Exception: {message} (SOME_NAME) (version 26.7.2.1)"))
            .may_be_a_rows()
    };
    let division = "Division by zero: while executing 'FUNCTION intDiv(100_UInt8 :: 2, a :: 0) -> Int8 : 1'.";
    assert!(suspects(153, division) && suspects(469, "Constraint `c` for table x.t is violated at row 1."));
    assert!(suspects(395, "bad: while executing 'FUNCTION throwIf(a :: 1) -> UInt8 : 2'."));
    assert!(!suspects(153, &format!("{division}: while pushing to view x.mv")));
    assert!(!suspects(395, "PH_DEADLINE: while executing 'FUNCTION throwIf(…)'"), "the deadline");
    for (code, other) in
        [(49, "Logical error"), (373, "Session is locked"), (241, division), (252, "Too many parts")]
    {
        assert!(!suspects(code, other), "{code} {other}");
    }
}

#[test]
fn a_violated_constraint_names_its_row() {
    let violated = "Constraint `c` for table x.t (294635c1-e8fd-48c7-bc30-5c4a31a0e17d) is violated at row 17. Expression: (a < 100). Column values: a = 4711.";
    let named =
        |message: &str| said(&format!("Code: 469. DB::Exception: {message} (VIOLATED_CONSTRAINT)")).row;
    assert_eq!(named(violated), Some(16));
    for other in ["is violated at row 0. ", "is violated at row ", "is violated at row x.", "row 5."] {
        assert_eq!(named(other), None, "{other}");
    }
}

#[test]
fn a_message_is_cut_at_its_bound_and_keeps_no_stack() {
    let error = said(&format!("Code: 60. DB::Exception: {} (UNKNOWN_TABLE) (version 1)", "ü".repeat(2_000)));
    assert_eq!(error.message.chars().count(), MESSAGE_CHARS_MAX);
    let error = said("Code: 60. DB::Exception: gone. (UNKNOWN_TABLE), Stack trace:\n\n0. main() @ 0x0");
    assert!(!error.message.contains("main"), "{}", error.message);
}

#[test]
fn a_view_that_throws_is_named_although_what_it_said_of_a_row_is_not() {
    for (message, view) in [
        (
            "Cannot parse date: while executing 'FUNCTION CAST(concat('x'_String)) : 3': while pushing to view default.v2.",
            Some("default.v2."),
        ),
        (
            "Constraint `c` is violated at row 1. Column values: a = 8: while pushing to view d.`my view` (d.t)",
            Some("d.`my view`"),
        ),
        ("Cannot parse date", None),
    ] {
        let answer = format!("Code: 38. DB::Exception: {message} (CANNOT_PARSE_DATE) (version 26.7.2.1)");
        let error = ServerError::from_answer(500, Some(38), &answer).expect("an error");
        let view = view.map(|view| view.trim_end_matches('.').to_owned());
        assert_eq!(error.view, view, "{message}");
        assert!(!error.to_string().contains("= 8") && !error.to_string().contains("concat"), "{error}");
        assert_eq!(error.to_string().contains("while pushing to view"), view.is_some(), "{error}");
        assert!(!error.proves_nothing_landed(true));
    }
}

#[test]
fn a_grant_that_lacks_on_the_table_itself_is_told_apart_from_one_of_a_view() {
    let denied = |message: &str| {
        let text = format!("Code: 497. DB::Exception: {message} (ACCESS_DENIED) (version 26.7.2.1)");
        ServerError::from_answer(500, Some(497), &text).expect("an exception")
    };
    let needs = "u: Not enough privileges. To execute this query, it's necessary to have the grant INSERT(a, b) ON x.t";
    assert!(denied(&format!("{needs}.")).denies_insert_into("x", "t"));
    assert!(!denied(&format!("{needs}2.")).denies_insert_into("x", "t"), "another table");
    assert!(
        !denied(&format!("{needs}.: while pushing to view x.v (some-uuid)")).denies_insert_into("x", "t")
    );
}
