//! What `settings_by_rate` may say, and how its mistakes are told.

use super::{one_mistake, read};

fn file(curves: &str) -> String {
    format!(
        "clickhouse: {{ url: \"http://h\" }}\nkafka: {{ brokers: h }}\nstreams:\n  clicks:\n    from: {{ topic: clicks }}\n    \
         columns: {{ ts: DateTime }}\n    table:\n      order_by: ts\n      settings_by_rate: {curves}\n"
    )
}

fn mistake(curves: &str) -> String {
    one_mistake(&file(curves)).replace("streams.clicks.table.settings_by_rate", "…")
}

#[test]
fn points_are_read_in_any_order_and_change_the_revision_alone() {
    let text =
        file("{ parts_to_delay_insert: { 4_000_000: 50, 1000000: 20 }, max_delay_to_insert: { 0: 1 } }");
    let settings = read(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let table = &settings.streams["clicks"].tables[0];
    let points = |setting: &str| table.settings_by_rate[setting].points().to_vec();
    assert_eq!(points("parts_to_delay_insert"), [(1_000_000, 20), (4_000_000, 50)]);
    assert_eq!(points("max_delay_to_insert"), [(0, 1)]);
    let plain = read(&file("{}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(plain.streams["clicks"].tables[0].settings_by_rate.is_empty());
    assert_ne!(plain.revision, settings.revision);
    let shape = |settings: &crate::config::Settings| crate::config::shape_hash(&settings.streams["clicks"]);
    assert_eq!(shape(&plain), shape(&settings));
}

#[test]
fn only_settings_that_a_live_table_takes_may_follow_and_the_refusal_says_which_and_why() {
    assert_eq!(
        mistake("{ index_granularity: { 1: 2 } }"),
        "….index_granularity: can't follow the rate: it holds for a table from its creation on; remove it"
    );
    assert_eq!(
        mistake("{ non_replicated_deduplication_window: { 1: 2 } }"),
        "….non_replicated_deduplication_window: can't follow the rate: retries are recognised by it: it is set once, \
         large enough; remove it"
    );
    assert_eq!(
        mistake("{ background_pool_size: { 1: 2 } }"),
        "….background_pool_size: can't follow the rate: it is a setting of the server, not of a table; remove it"
    );
    assert_eq!(
        mistake("{ parts_to_delay_inserts: { 1: 2 } }"),
        "….parts_to_delay_inserts: is no setting of a table that can follow the rate; did you mean \
         `parts_to_delay_insert`?"
    );
}

#[test]
fn points_that_make_no_curve_are_told() {
    assert_eq!(
        mistake("{ max_delay_to_insert: {} }"),
        "….max_delay_to_insert: no point; add one, such as `1000000: 20`"
    );
    assert_eq!(
        mistake("{ max_delay_to_insert: { 1000: 1, 1_000: 2 } }"),
        "….max_delay_to_insert: two values at 1000 events/s; leave one of them"
    );
    assert_eq!(
        mistake("{ max_delay_to_insert: 5 }"),
        "….max_delay_to_insert: expected a map of events per second to values, found a single value; write \
         `{ 1000000: 20, 4000000: 50 }`"
    );
    assert_eq!(
        mistake("{ max_delay_to_insert: { 1M: 5 } }"),
        "….max_delay_to_insert.1M: is not a whole number of events per second; write events per second and the value \
         there, such as `1000000: 20`"
    );
    assert_eq!(
        mistake("{ max_delay_to_insert: { 5: 30s } }"),
        "….max_delay_to_insert.5: `30s` is not a whole number; -"
    );
}

#[test]
fn a_curve_that_would_refuse_before_it_delays_is_refused_wherever_it_crosses() {
    let crossing =
        "{ parts_to_delay_insert: { 0: 10, 100: 90 }, parts_to_throw_insert: { 0: 50, 50: 60, 100: 60 } }";
    assert_eq!(
        mistake(crossing),
        "…: at 100 events/s `parts_to_delay_insert` is not below `parts_to_throw_insert`; inserts are refused before \
         they are delayed: raise the one or lower the other"
    );
    let fine = "{ parts_to_delay_insert: { 0: 10, 100: 50 }, parts_to_throw_insert: { 0: 50, 100: 60 } }";
    assert_eq!(mistake(fine), "no mistake");
}

#[test]
fn a_curve_alone_stays_below_the_default_of_the_limit_that_refuses() {
    let told = mistake("{ parts_to_delay_insert: { 0: 1000, 100: 3000 } }");
    assert_eq!(
        told,
        "…: at 100 events/s `parts_to_delay_insert` is 3000, and `parts_to_throw_insert` is 3000 unless it has a curve; \
         inserts are refused before they are delayed: stay below it, or give `parts_to_throw_insert` a curve above, such \
         as `{ 0: 6000 }`"
    );
    assert_eq!(mistake("{ parts_to_delay_insert: { 0: 1000, 100: 2999 } }"), "no mistake");
    assert_eq!(
        mistake("{ parts_to_delay_insert: { 0: 5000 }, parts_to_throw_insert: { 0: 6000 } }"),
        "no mistake"
    );
}
