//! Incidents from elsewhere, as they are shown to people: the report holds, and says what it must.

use std::process::Command;

use serde_json::Value;

use crate::world::{exe, told};

#[test]
fn three_partitions_that_four_test_messages_stopped_flow_and_the_four_are_dead_letters() {
    let output = told(Command::new(exe()).args(["internal", "incident", "003", "--json"]).output());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = told(serde_json::from_slice(&output.stdout));
    assert_eq!((&report["holds"], &report["mistakes"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    assert_eq!(report["naive"]["standing"]["committed"], serde_json::json!([50, 50, 50]));
    assert_eq!(report["cure"]["rows"], 2_996);
    assert_eq!(report["cure"]["standing"]["lag"], 0);
    assert_eq!(report["cure"]["dead_letters"].as_array().map(Vec::len), Some(4));
    assert_eq!((&report["replay"]["rows"], &report["replay"]["rows_in_all"]), (&1.into(), &2_997.into()));
    assert_eq!(report["replay"]["open"], serde_json::json!([[0, 58], [0, 59], [2, 113]]));
}
