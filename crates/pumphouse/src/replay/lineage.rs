//! Asks the tables which rows are there, by where they came from. Only tables that keep every row and know their
//! rows' origin are asked.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::quote;
use pumphouse_core::moment::ServerTime;
use serde::Deserialize;

use super::judged::Held;
use super::letters::{LONG_QUERY_MAX, with_long_statement};
use super::trial::Candidate;
use crate::config::settings::Stream;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE, LineageKey, Target};

/// A record's place in Kafka: partition, offset, place in its message.
pub(super) type Origin = (u32, u64, u32);
/// A letter's origin, and the rows it could be.
pub(super) type Judged = (Origin, Vec<Candidate>);

/// The tables of a stream, as far as they tell where rows came from.
pub(super) struct Lineage<'a> {
    pub(super) client: &'a Client,
    pub(super) stream: &'a Stream,
    /// The stream's tables in its order, then the dead letters.
    pub(super) targets: &'a [Target],
    /// Tables that have the column for the place in the message.
    indexed: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Found {
    p: u32,
    o: u64,
    i: u32,
    t: String,
}

impl<'a> Lineage<'a> {
    /// Looks which tables know the place in the message.
    pub(super) async fn of(
        client: &'a Client,
        stream: &'a Stream,
        targets: &'a [Target],
    ) -> Result<Self, QueryError> {
        #[derive(Deserialize)]
        struct Having {
            full_name: String,
        }
        let index = stream.lineage.as_ref().map_or("", |lineage| lineage.index.as_str());
        let sql = format!(
            "SELECT concat(database, '.', `table`) AS full_name FROM system.columns WHERE name = {} AND type = 'UInt32'",
            quote::text(index)
        );
        let rows: Vec<Having> = client.query(&sql).at(0).rows().await?;
        Ok(Self { client, stream, targets, indexed: rows.into_iter().map(|row| row.full_name).collect() })
    }

    /// Marks the candidates whose rows are in their tables already, whoever brought them.
    pub(super) async fn mark_found(&self, letters: &mut [Judged]) -> Result<(), QueryError> {
        for target in self.targets.iter().filter(|target| target.lineage.is_some()) {
            let name = target.name();
            let mut asked = BTreeSet::new();
            for (origin, candidates) in letters.iter() {
                let fit = candidates.iter().filter(|c| c.reject.is_none() && c.place.table == name);
                asked.extend(fit.map(|candidate| (origin.0, origin.1, candidate.place.index)));
            }
            let there = self.rows_of(target, &asked, None).await?;
            for (origin, candidates) in letters.iter_mut() {
                for candidate in candidates.iter_mut().filter(|c| c.reject.is_none() && c.place.table == name)
                {
                    candidate.found = there.contains(&(origin.0, origin.1, candidate.place.index));
                }
            }
        }
        Ok(())
    }

    /// Of each letter of an entry, whether all of its rows are there by this entry; `None` where a table can't tell.
    pub(super) async fn landed(&self, held: &Held) -> Result<Option<Vec<bool>>, QueryError> {
        let mut asked: BTreeMap<&str, BTreeSet<Origin>> = BTreeMap::new();
        for letter in &held.letters {
            for place in letter.places.iter().filter(|place| place.is_row) {
                let origin = (letter.name.partition, letter.name.offset, place.index);
                asked.entry(&place.table).or_default().insert(origin);
            }
        }
        let mut there: BTreeMap<&str, BTreeSet<Origin>> = BTreeMap::new();
        for (table, origins) in &asked {
            let target = self.targets.iter().find(|target| target.name() == *table);
            let Some(target) = target.filter(|target| target.lineage.is_some()) else { return Ok(None) };
            there.insert(table, self.rows_of(target, origins, Some(held.entry.claimed_at)).await?);
        }
        let letters = self.letters_of(held).await?;
        let landed = held.letters.iter().map(|letter| {
            let name = &letter.name;
            letter.places.iter().all(|place| {
                let origin = (name.partition, name.offset, place.index);
                if !place.is_row {
                    return letters.contains(&(origin, place.table.clone()));
                }
                there.get(place.table.as_str()).is_some_and(|there| there.contains(&origin))
            })
        });
        Ok(Some(landed.collect()))
    }

    /// The columns of partition, offset and place in the message, quoted; none where the table can't tell.
    pub(super) fn place_columns(&self, target: &Target) -> Option<[String; 3]> {
        let LineageKey { partition, offset, .. } = target.lineage.as_ref()?;
        let index = self.stream.lineage.as_ref().map(|lineage| quote::name(&lineage.index));
        let index = match index.filter(|_| self.indexed.contains(&target.name())) {
            Some(index) => index,
            // Without the column a message never held more than one record.
            None => "toUInt32(0)".to_owned(),
        };
        Some([quote::name(partition), quote::name(offset), index])
    }

    /// Which of these origins a table has rows of; all, or those of one claim.
    async fn rows_of(
        &self,
        target: &Target,
        asked: &BTreeSet<Origin>,
        claimed_at: Option<ServerTime>,
    ) -> Result<BTreeSet<Origin>, QueryError> {
        let (Some(columns), Some(key)) = (self.place_columns(target), &target.lineage) else {
            return Ok(BTreeSet::new());
        };
        let ([partition, offset, index], time) = (columns, quote::name(&key.claimed_at));
        let (Some(first), Some(last)) = (asked.first(), asked.last()) else { return Ok(BTreeSet::new()) };
        let literals: Vec<String> = asked.iter().map(|(p, o, i)| format!("({p}, {o}, {i})")).collect();
        let of_claim = claimed_at
            // A row from before the lineage columns has zeros in them: it tells nothing of the first record.
            .map_or_else(
                || format!(" AND {time} > fromUnixTimestamp64Milli(0)"),
                |at| format!(" AND {time} = fromUnixTimestamp64Milli({})", at.0),
            );
        let sql = format!(
            "SELECT DISTINCT {partition} AS p, {offset} AS o, {index} AS i, '' AS t FROM {table} \
             WHERE {partition} >= {} AND {partition} <= {}{of_claim} AND ({partition}, {offset}, {index}) IN ({list})",
            first.0,
            last.0,
            table = quote::table(&target.database, &target.table),
            list = literals.join(", "),
        );
        Ok(self.ask(&sql).await?.into_iter().map(|row| (row.p, row.o, row.i)).collect())
    }

    /// The dead letters that an entry made, by place and table.
    async fn letters_of(&self, held: &Held) -> Result<BTreeSet<(Origin, String)>, QueryError> {
        if held.letters.iter().all(|letter| letter.places.iter().all(|place| place.is_row)) {
            return Ok(BTreeSet::new());
        }
        let sql = format!(
            "SELECT partition AS p, offset AS o, `index` AS i, `table` AS t FROM {table} \
             WHERE stream = {stream} AND topic = {topic} AND time = fromUnixTimestamp64Milli({time})",
            table = quote::table(DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE),
            stream = quote::text(&self.stream.name),
            topic = quote::text(&held.topic),
            time = held.entry.claimed_at.0,
        );
        Ok(self.ask(&sql).await?.into_iter().map(|row| ((row.p, row.o, row.i), row.t)).collect())
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Found>, QueryError> {
        with_long_statement(self.client.query(sql).at(0).timeout(LONG_QUERY_MAX)).rows().await
    }
}
