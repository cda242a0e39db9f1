//! What is asked of ClickHouse alone, each in a database of its own: the wire, the tables, the types.

use crate::world::{Pair, block_on};
use crate::{column_types, composites, oracle, resends, tables, wire};

/// A test for each function, under its name; those of the first module are async.
macro_rules! stories {
    ($($module:ident :: $name:ident $(, $mode:ident)?;)*) => {
        $(#[test]
        fn $name() {
            let pair = Pair::shared();
            // A database's name has at most 206 bytes.
            let database = pair.database(stringify!($module));
            stories!(@run $module::$name(pair.clickhouse.url(), &database) $(, $mode)?);
        })*
    };
    (@run $call:expr) => { block_on($call) };
    (@run $call:expr, blocking) => { $call };
}

stories! {
    wire::a_batch_is_one_part_for_each_table_partition_and_its_token_holds;
    wire::a_late_insert_is_refused_by_the_server_and_leaves_nothing;
    wire::foreign_settings_do_not_weaken_an_insert;
    wire::a_refusal_is_told_by_its_kind_and_leaves_nothing;
    wire::too_many_parts_are_refused_and_the_token_stays_free;
    wire::a_view_that_throws_leaves_doubt_and_the_token_heals_it;
    wire::a_wrong_password_is_refused;
    wire::a_refusal_of_a_large_body_is_an_answer_and_no_broken_connection;
    tables::apply_creates_what_is_missing_and_the_second_time_nothing;
    tables::the_smallest_useful_file_applies_and_fits;
    tables::apply_tells_what_differs_and_changes_nothing;
    tables::a_rollup_counts_each_row_once_over_retries;
    tables::preflight_finds_each_fault_under_its_code;
    tables::preflight_follows_views_to_every_target;
    tables::the_statement_of_a_finding_mends_it;
    tables::an_unknown_setting_is_found_before_the_first_insert;
    resends::a_retry_is_recognised_with_a_window_and_doubled_without;
    resends::every_engine_and_type_can_be_tried;
    resends::a_table_that_takes_no_default_row_says_so_until_it_has_one;
    oracle::generated_values_arrive_as_clickhouse_itself_would_store_them;
    column_types::every_type_arrives_as_written, blocking;
    column_types::dead_letters_arrive_whole, blocking;
    composites::composite_types_arrive_as_written;
    composites::a_nested_that_is_one_column_is_declared_as_an_array;
    composites::json_that_is_taken_is_kept;
    composites::json_that_is_rejected_would_not_be_kept;
    composites::fields_that_no_column_reads_arrive;
    column_types::large_and_worn_dictionaries_arrive_right, blocking;
}
