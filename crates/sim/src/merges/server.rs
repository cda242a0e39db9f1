//! A server with its tables: inserts add parts, the pool merges them, limits hold inserts back.
//! Does not know who inserts, or when.

use pumphouse_core::moment::Time;
use pumphouse_core::valve::Pressure;
use std::collections::BTreeMap;

use super::limits::{Admission, Fill, Limits};
use super::part::Parts;
use super::pool::{Machine, Pool};
use super::selector::{self, Choice, Circumstances};

/// A table partition where nothing changes is looked at again after so many milliseconds: its parts grow older.
const LOOK_AGAIN_AFTER: u64 = 15_000;

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    tables: Vec<Table>,
    pool: Pool,
    /// Bytes that merges wrote so far.
    merged_bytes: u64,
    merges: u64,
    /// The table that may begin the next merge first.
    turn: usize,
}

#[derive(Clone, Debug)]
struct Table {
    limits: Limits,
    partitions: BTreeMap<i64, Watched>,
    /// Active parts of all table partitions.
    total: u64,
    /// Refused since somebody asked.
    rejected: u64,
}

/// A table partition, and what was last found to merge in it.
#[derive(Clone, Debug, Default)]
struct Watched {
    parts: Parts,
    looked: Option<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Time,
    bytes_max: u64,
    /// Parts that were there.
    parts: usize,
    found: Option<Choice>,
    /// Until when a full look would find the same; the time of the look where it was none, or had no say over all parts.
    holds_until: Time,
}

/// A piece of an insert: what goes to one table partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The table partition.
    pub partition: i64,
    /// Its rows.
    pub rows: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl Server {
    /// A server with empty tables.
    #[must_use]
    pub fn new(machine: Machine, tables: &[Limits]) -> Self {
        let table =
            |limits: &Limits| Table { limits: *limits, partitions: BTreeMap::new(), total: 0, rejected: 0 };
        let tables = tables.iter().map(table).collect();
        Self { tables, pool: Pool::new(machine), merged_bytes: 0, merges: 0, turn: 0 }
    }

    /// Lets time pass: merges end, others begin in their place.
    pub fn advance(&mut self, now: Time) {
        while let Some(at) = self.pool.next_end().filter(|at| *at <= now) {
            while let Some(merge) = self.pool.ended(at) {
                let table = &mut self.tables[merge.table];
                let watched = table.partitions.get_mut(&merge.partition).expect("its merges end before it");
                watched.parts.end_merge(at, merge.block, merge.length, merge.bytes);
                watched.looked = None;
                table.total -= merge.length as u64 - 1;
                self.merged_bytes += merge.bytes;
                self.merges += 1;
            }
            self.begin_merges(at);
        }
    }

    /// What becomes of an insert into a table now.
    pub fn admit(&mut self, table: usize) -> Admission {
        let table = &mut self.tables[table];
        let admission = table.limits.admit(table.fill());
        table.rejected += u64::from(admission == Admission::Refused);
        admission
    }

    /// The parts of an insert come to be, one for each piece.
    pub fn insert(&mut self, now: Time, table: usize, pieces: &[Piece]) {
        let into = &mut self.tables[table];
        for piece in pieces {
            let watched = into.partitions.entry(piece.partition).or_default();
            watched.parts.insert(now, piece.rows, piece.bytes);
        }
        into.total += pieces.len() as u64;
        self.begin_merges(now);
    }

    /// Drops the table partitions before `first`, as a TTL does.
    pub fn drop_before(&mut self, table: usize, first: i64) {
        let kept = self.tables[table].partitions.split_off(&first);
        let dropped = std::mem::replace(&mut self.tables[table].partitions, kept);
        self.tables[table].total -= dropped.values().map(|watched| watched.parts.count() as u64).sum::<u64>();
        self.pool.forget(|merge| merge.table == table && merge.partition < first);
    }

    /// Stops all merges, or lets them go on.
    pub fn stall_merges(&mut self, now: Time, is_stalled: bool) {
        self.pool.stall(now, is_stalled);
        self.begin_merges(now);
    }

    /// Begins what merges the pool has room for, one table after the other.
    pub fn begin_merges(&mut self, now: Time) {
        let mut without = 0;
        while without < self.tables.len() && self.pool.has_room() {
            let number = self.turn % self.tables.len();
            self.turn = number + 1;
            let bytes_max = self.pool.bytes_max();
            let table = &mut self.tables[number];
            match table.choose(now, bytes_max) {
                Some((partition, choice)) => {
                    let watched = table.partitions.get_mut(&partition).expect("it was chosen from");
                    let source = watched.parts.begin_merge(choice.start, choice.length);
                    watched.looked = None;
                    self.pool.begin(number, partition, source, choice.length);
                    without = 0;
                }
                None => without += 1,
            }
        }
    }

    /// How full a table is.
    #[must_use]
    pub fn fill(&self, table: usize) -> Fill {
        self.tables[table].fill()
    }

    /// What a reading says of every table while so many inserts are held back; refusals since the beginning.
    #[must_use]
    pub fn pressure(&self, delayed: u64) -> Vec<Pressure> {
        let tell = |table: &Table| {
            let Fill { parts, total: parts_total, .. } = table.fill();
            let Limits { delay_at, refuse_at, refuse_total_at, .. } = table.limits;
            Pressure {
                parts,
                parts_total,
                delay_at,
                refuse_at,
                refuse_total_at,
                delayed,
                rejected: table.rejected,
            }
        };
        self.tables.iter().map(tell).collect()
    }

    /// Merges that run.
    #[must_use]
    pub fn merges_running(&self) -> usize {
        self.pool.running()
    }

    /// Merges that ended, and the bytes they wrote.
    #[must_use]
    pub fn merged(&self) -> (u64, u64) {
        (self.merges, self.merged_bytes)
    }

    /// Rows in the parts of a table.
    #[must_use]
    pub fn rows(&self, table: usize) -> u64 {
        let parts = self.tables[table].partitions.values().flat_map(|watched| watched.parts.all());
        parts.map(|part| part.rows).sum()
    }
}

impl Table {
    fn fill(&self) -> Fill {
        let fullest =
            self.partitions.values().map(|watched| &watched.parts).max_by_key(|parts| parts.count());
        fullest.map_or_else(Fill::default, |fullest| {
            let parts = fullest.count() as u64;
            Fill { parts, average_bytes: fullest.bytes() / parts.max(1), total: self.total }
        })
    }

    /// The best merge over all table partitions.
    fn choose(&mut self, now: Time, bytes_max: u64) -> Option<(i64, Choice)> {
        let circumstances = Circumstances { now, bytes_max, refuse_at: self.limits.refuse_at };
        let mut best: Option<(i64, Choice)> = None;
        for (partition, watched) in &mut self.partitions {
            let Some(choice) = watched.look(&circumstances) else { continue };
            if best.is_none_or(|(_, best)| choice.score < best.score) {
                best = Some((*partition, choice));
            }
        }
        best
    }
}

impl Watched {
    /// The best merge within; looked for only where something may have changed it.
    fn look(&mut self, circumstances: &Circumstances) -> Option<Choice> {
        let Circumstances { now, bytes_max, .. } = *circumstances;
        let holds = |look: &Look| {
            let is_fresh = now.0.saturating_sub(look.at.0) < LOOK_AGAIN_AFTER;
            let fits = look.found.is_none_or(|choice| choice.bytes <= bytes_max);
            is_fresh && fits && look.bytes_max >= bytes_max
        };
        let parts = self.parts.count();
        match self.looked {
            Some(look) if holds(&look) && look.parts == parts => look.found,
            Some(look) if holds(&look) => {
                let found = selector::choose_grown(&self.parts, look.parts, look.found, circumstances);
                self.looked = Some(Look { parts, found, holds_until: look.at, ..look });
                found
            }
            Some(look)
                if now < look.holds_until && look.parts == parts && self.parts.bytes() <= bytes_max =>
            {
                self.looked = Some(Look { at: now, bytes_max, ..look });
                look.found
            }
            _ => {
                let selector::Found { best: found, holds_until } =
                    selector::choose(&self.parts, circumstances);
                let is_whole = self.parts.bytes() <= bytes_max;
                let holds_until = if is_whole { holds_until } else { now };
                self.looked = Some(Look { at: now, bytes_max, parts, found, holds_until });
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn server() -> Server {
        Server::new(Machine::default(), &[Limits::default()])
    }

    fn piece(partition: i64) -> Piece {
        Piece { partition, rows: 100, bytes: 10_000 }
    }

    #[test]
    fn parts_are_merged_after_a_while_and_no_row_is_lost() {
        let mut server = server();
        for second in 0..600 {
            server.advance(Time(second * 1000));
            server.insert(Time(second * 1000), 0, &[piece(0)]);
        }
        server.advance(Time(700_000));
        assert_eq!(server.rows(0), 60_000);
        assert!(server.fill(0).parts < 10, "{:?}", server.fill(0));
        assert!(server.merged().0 > 100, "{:?}", server.merged());
    }

    #[test]
    fn without_merges_parts_grow_until_inserts_are_held_back_and_refused() {
        let mut server = server();
        server.stall_merges(Time(0), true);
        for number in 0..999 {
            server.insert(Time(number), 0, &[piece(0)]);
        }
        assert_eq!(server.admit(0), Admission::After(Duration::ZERO));
        server.insert(Time(999), 0, &[piece(0)]);
        assert_eq!(server.admit(0), Admission::After(Duration::from_millis(10)));
        for number in 1000..3000 {
            server.insert(Time(number), 0, &[piece(0)]);
        }
        assert_eq!(server.admit(0), Admission::Refused);
        let told = server.pressure(2);
        assert_eq!((told[0].parts, told[0].delayed, told[0].rejected), (3000, 2, 1));
        server.stall_merges(Time(3000), false);
        server.advance(Time(120_000));
        assert!(server.fill(0).parts < 100, "{:?}", server.fill(0));
    }

    #[test]
    fn dropped_partitions_take_their_merges_with_them() {
        let mut server = server();
        for number in 0..20 {
            server.insert(Time(number), 0, &[piece(0), piece(1)]);
        }
        assert!(server.merges_running() > 0);
        server.drop_before(0, 1);
        assert_eq!((server.fill(0).total, server.rows(0)), (server.fill(0).parts, 2000));
        server.advance(Time(60_000));
        assert_eq!(server.rows(0), 2000);
    }
}
