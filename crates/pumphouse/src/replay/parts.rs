//! Which messages were taken apart when they came. A letter that is an array may be a whole message, judged as one
//! record; or one element of an array, which is bad and stays so. Its neighbours tell.

use std::collections::BTreeSet;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use serde::Deserialize;

use super::letters::{Letter, long, with_long_statement};
use super::lineage::Lineage;
use crate::sink::replay_tables::REPLAYS_TABLE;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// A message: partition and offset.
pub(super) type Message = (u32, u64);

#[derive(Deserialize)]
struct Found {
    p: u32,
    o: u64,
}

/// Of these letters' messages, those that hold, or may hold, another record: a letter or a row further on in the
/// message, that no replay of the letter made.
pub(super) async fn taken_apart(
    lineage: &Lineage<'_>,
    letters: &[&Letter],
) -> Result<BTreeSet<Message>, QueryError> {
    let all: BTreeSet<Message> =
        letters.iter().map(|letter| (letter.name.partition, letter.name.offset)).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let literals: Vec<String> = all.iter().map(|(p, o)| format!("({p}, {o})")).collect();
    let list = literals.join(", ");
    let origin = format!(
        "stream = {} AND topic = {} AND (partition, offset) IN ({list})",
        quote::text(&lineage.stream.name),
        quote::text(&lineage.stream.topic)
    );
    let of_letters = |table: &str, condition: &str| {
        let table = quote::table(DEAD_LETTERS_DATABASE, table);
        format!("SELECT DISTINCT partition AS p, offset AS o FROM {table} WHERE {origin} AND {condition}")
    };
    // What a replay once took apart was a whole message.
    let by_replay =
        ask(lineage, &of_letters(REPLAYS_TABLE, "`index` = 0 AND `table` = '' AND into_index > 0")).await?;
    // But not what it made of that: a letter of its own time.
    let times: Vec<String> = letters
        .iter()
        .map(|letter| format!("({}, {}, {})", letter.name.partition, letter.name.offset, letter.time_ms))
        .collect();
    let made = format!(
        "`index` = 0 AND `table` = '' AND into_index > 0 \
         AND (partition, offset, toUnixTimestamp64Milli(claimed_at)) IN ({})",
        times.join(", ")
    );
    let made = ask(lineage, &of_letters(REPLAYS_TABLE, &made)).await?;
    let mut apart = ask(lineage, &of_letters(DEAD_LETTERS_TABLE, "`index` > 0")).await?;
    // The last target is the table of the dead letters.
    for target in lineage.targets.iter().take(lineage.stream.tables.len()) {
        match lineage.place_columns(target) {
            None => apart.extend(&all),
            Some([partition, offset, index]) => {
                let table = quote::table(&target.database, &target.table);
                let sql = format!(
                    "SELECT DISTINCT {partition} AS p, {offset} AS o FROM {table} \
                     WHERE ({partition}, {offset}) IN ({list}) AND {index} > 0"
                );
                apart.extend(ask(lineage, &sql).await?);
            }
        }
    }
    apart.retain(|message| !by_replay.contains(message));
    apart.extend(made);
    Ok(apart)
}

async fn ask(lineage: &Lineage<'_>, sql: &str) -> Result<BTreeSet<Message>, QueryError> {
    let rows: Vec<Found> = with_long_statement(long(lineage.client.query(sql))).rows().await?;
    Ok(rows.into_iter().map(|row| (row.p, row.o)).collect())
}
