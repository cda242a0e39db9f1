use std::sync::Arc;

use arrow_array::{BinaryArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use pumphouse_core::claim::{BatchId, Superseded};
use pumphouse_core::offset::{Offset, Partition, Range};

use super::*;

fn lineage(index: bool) -> LineageKey {
    LineageKey {
        partition: "_partition".to_owned(),
        offset: "_offset".to_owned(),
        claimed_at: "_ingested_at".to_owned(),
        index: index.then(|| "_index".to_owned()),
        table: None,
        condition: None,
    }
}

fn target(index: bool) -> Target {
    Target {
        database: "metrics".to_owned(),
        table: "requests".to_owned(),
        columns: Vec::new(),
        has_views: false,
        window: 10_000,
        rollups: Vec::new(),
        partition_key: String::new(),
        lineage: Some(lineage(index)),
    }
}

/// Rows of partition 3 at these places.
fn batch(places: &[Place]) -> RecordBatch {
    let fields =
        [("_partition", DataType::UInt32), ("_offset", DataType::UInt64), ("_index", DataType::UInt32)];
    let schema = Schema::new(fields.map(|(name, of)| Field::new(name, of, false)).to_vec());
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(UInt32Array::from(vec![3; places.len()])),
            Arc::new(UInt64Array::from_iter_values(places.iter().map(|place| place.0))),
            Arc::new(UInt32Array::from_iter_values(places.iter().map(|place| place.1))),
        ],
    )
    .expect("columns of one length")
}

fn held(partition: u32, runs: &[(Place, Place)]) -> Held {
    Held([((partition, String::new()), runs.to_vec())].into())
}

fn offsets(batch: Option<&RecordBatch>) -> Vec<Place> {
    let Some(batch) = batch else { return Vec::new() };
    let offsets = batch.column(1).as_primitive::<UInt64Type>().values().iter().copied();
    offsets.zip(batch.column(2).as_primitive::<UInt32Type>().values().iter().copied()).collect()
}

#[test]
fn rows_that_a_table_holds_are_left_out_and_the_others_stay_in_order() {
    let runs = [((10, 0), (12, u32::MAX)), ((20, 0), (20, u32::MAX))];
    let batch = batch(&[(9, 0), (10, 0), (12, 0), (13, 0), (19, 0), (20, 0), (21, 0)]);
    let left = held(3, &runs).left_out_of(batch.clone(), &lineage(false));
    assert_eq!(offsets(left.as_ref()), [(9, 0), (13, 0), (19, 0), (21, 0)]);
    let elsewhere = held(4, &runs).left_out_of(batch.clone(), &lineage(false));
    assert_eq!(elsewhere.expect("all").num_rows(), batch.num_rows());
}

#[test]
fn of_a_message_with_several_records_only_those_are_left_out_that_are_there() {
    let left = held(3, &[((10, 1), (10, 2))])
        .left_out_of(batch(&[(10, 0), (10, 1), (10, 2), (10, 3), (11, 1)]), &lineage(true));
    assert_eq!(offsets(left.as_ref()), [(10, 0), (10, 3), (11, 1)]);
}

#[test]
fn a_batch_that_is_there_as_a_whole_leaves_nothing_to_insert() {
    let whole = held(3, &[((10, 0), (11, u32::MAX))]);
    assert_eq!(whole.left_out_of(batch(&[(10, 0), (11, 0)]), &lineage(false)), None);
}

#[test]
fn a_dead_letter_is_left_out_for_the_table_that_it_was_meant_for() {
    let key = LineageKey { index: None, table: Some("table".to_owned()), ..lineage(false) };
    let letters = batch(&[(10, 0), (10, 0)]);
    let mut columns = letters.columns().to_vec();
    columns.push(Arc::new(BinaryArray::from_iter_values(["a", "b"])));
    let mut fields: Vec<_> = letters.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new("table", DataType::Binary, false));
    let letters =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length");
    let held = Held([((3, "a".to_owned()), vec![((10, 0), (10, 0))])].into());
    let left = held.left_out_of(letters, &key).expect("one is left");
    assert_eq!(left.column(3).as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(b"b".as_slice())]);
}

#[test]
fn a_table_is_asked_for_runs_within_the_ranges_and_at_the_times_of_what_is_superseded() {
    let superseded = |claimed_at| Superseded { id: BatchId(1), claimed_at: ServerTime(claimed_at) };
    let claim = Claim {
        id: BatchId(2),
        claimed_at: ServerTime(9_000),
        shape: 0,
        revision: String::new(),
        ranges: [(Partition(3), Range::new(Offset(10), Offset(20)))].into(),
        sent_until: ServerTime(0),
        supersedes: vec![superseded(1_000), superseded(2_000)],
        excluded: std::collections::BTreeSet::new(),
    };
    let asked = question(&target(true), &lineage(true), &claim);
    let condition = "WHERE _ingested_at IN (fromUnixTimestamp64Milli(1000), fromUnixTimestamp64Milli(2000)) \
                     AND ((_partition = 3 AND _offset >= 10 AND _offset < 20))";
    assert!(asked.contains(condition), "{asked}");
    assert!(asked.contains("GROUP BY t, p, o, run"), "{asked}");
    assert!(question(&target(false), &lineage(false), &claim).contains("GROUP BY t, p, run"));
}
