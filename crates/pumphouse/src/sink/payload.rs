//! A sealed batch on its way: columns until they are encoded, then bytes that every retry sends again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow_array::RecordBatch;
use pumphouse_clickhouse::arrow_stream::{self, Body, Compression, EncodeError};
use pumphouse_core::claim::Claim;
use pumphouse_core::offset::{Partition, Range};
use pumphouse_core::verdict::Refusal;
use tokio::sync::OnceCell;

use super::entries::at_most;
use super::insert::Order;
use super::superseded::Held;
use super::target::Target;
use super::topic::Letters;
use crate::audit::lately::{self, Sums};
use crate::config::settings::{DeadLetters, Lineage};
use crate::decode::Sealed;

/// Stands for a partition key that nobody gave.
const UNKNOWN_KEY: &str = "?";

/// The rows of one batch, one part per table, by the tables' order.
pub struct Payload {
    columns: Mutex<Vec<Option<RecordBatch>>>,
    /// How many of the parts are of the stream's tables.
    own_tables: usize,
    bodies: OnceCell<Vec<Option<Body>>>,
    /// The tables' partition keys, and how many entries of its window each part takes at most.
    partition_keys: Vec<String>,
    entries: OnceLock<Vec<u64>>,
    compression: Compression,
    /// The server that got the batch, once an answer left it in doubt: no other one may get it then.
    in_doubt_at: OnceLock<usize>,
    /// Set once it may have been sent without an answer, by whomever: from then on "done" is looked at more closely.
    in_doubt: AtomicBool,
    forgotten: AtomicBool,
    strain: Mutex<Option<Refusal>>,
    /// What it was built from, where Kafka no longer holds all that its claim covers.
    pub left: Option<BTreeMap<Partition, Range>>,
    /// Rows of each part.
    pub part_rows: Vec<u64>,
    /// When the batch's records were made, for freshness: Kafka's time in milliseconds and how many.
    pub times: Vec<(i64, u64)>,
    /// Rows of all tables but the dead letters.
    pub rows: u64,
    /// Dead letters, kept or not.
    pub dead_letters: u64,
    /// The dead letters on their way to their topic, where there are any and it is declared.
    pub letters: Option<Arc<Letters>>,
    audit: Option<ToBeAudited>,
}

/// What an audit compares later.
struct ToBeAudited {
    ranges: BTreeMap<Partition, Range>,
    lineage: Lineage,
    tables: usize,
    sums: OnceLock<Vec<Sums>>,
}

impl Payload {
    /// Wraps what was sealed. The parts are in the order of the sink's tables: the stream's, then the dead letters'.
    #[must_use]
    pub fn new(
        sealed: Sealed,
        times: Vec<(i64, u64)>,
        compression: Compression,
        dead_letters: &DeadLetters,
    ) -> Self {
        let to = dead_letters;
        let counted = |part: &Option<RecordBatch>| part.as_ref().map_or(0, |part| part.num_rows() as u64);
        let rows = sealed.tables.iter().map(counted).sum();
        // Those that no table keeps are counted as well.
        let dead_letters = sealed.counts.values().map(|counts| counts.dead_letters).sum();
        let letters = sealed.dead_letters.clone().filter(|_| to.topic.is_some());
        let mut columns = sealed.tables;
        let own_tables = columns.len();
        columns.extend(to.table.then_some(sealed.dead_letters));
        let part_rows = columns.iter().map(counted).collect();
        Self {
            columns: Mutex::new(columns),
            own_tables,
            bodies: OnceCell::new(),
            partition_keys: Vec::new(),
            entries: OnceLock::new(),
            compression,
            in_doubt_at: OnceLock::new(),
            left: None,
            in_doubt: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            strain: Mutex::default(),
            part_rows,
            times,
            rows,
            dead_letters,
            letters: letters.map(Letters::new).map(Arc::new),
            audit: None,
        }
    }

    /// The same batch, which knows how its tables are partitioned.
    #[must_use]
    pub fn partitioned_by(mut self, targets: &[Target]) -> Self {
        self.partition_keys = targets.iter().map(|target| target.partition_key.clone()).collect();
        self
    }

    /// An insert of it was sent to this server, and nobody knows what became of it.
    pub fn leave_in_doubt(&self, server: usize) {
        self.in_doubt.store(true, Ordering::Relaxed);
        self.in_doubt_at.get_or_init(|| server);
    }

    /// It is not this lane's any more.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Whether it is not this lane's any more.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Somebody else may have sent it.
    pub fn may_have_been_sent(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    /// Whether it may have been sent without an answer, by whomever: rows of it may be in a table.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// What the server lacked that failed an insert of it, although it may be done; none where it lacked nothing.
    pub fn strained(&self, refusal: Option<Refusal>) {
        let mut strain = self.strain.lock().unwrap_or_else(PoisonError::into_inner);
        *strain = refusal.or(*strain);
    }

    /// Takes out what a server lacked since this was asked last.
    pub fn take_strain(&self) -> Option<Refusal> {
        self.strain.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The only server that may get it, once it is in doubt.
    #[must_use]
    pub fn in_doubt_at(&self) -> Option<usize> {
        self.in_doubt_at.get().copied()
    }

    /// The order as far as this payload goes, where that is not all of the claim.
    #[must_use]
    pub fn order_of_what_is_left(&self, order: &Order) -> Option<Order> {
        let left = self.left.as_ref()?;
        Some(Order { claim: Claim { ranges: left.clone(), ..order.claim.clone() }, ..order.clone() })
    }

    /// How many entries of its table's window a part takes at most, once it is encoded.
    #[must_use]
    pub fn entries(&self, table: usize) -> u64 {
        self.entries.get().and_then(|entries| entries.get(table)).copied().unwrap_or(u64::MAX)
    }

    /// The same batch without the rows that the tables, in the sink's order, hold already. The dead letters' topic gets
    /// all of them once more.
    #[must_use]
    pub fn without(mut self, held: &[Held], targets: &[Target]) -> Self {
        let streams_own = self.own_tables;
        let columns = self.columns.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (part, (held, target)) in columns.iter_mut().zip(held.iter().zip(targets)) {
            if let Some(lineage) = &target.lineage {
                *part = part.take().and_then(|batch| held.left_out_of(batch, lineage));
            }
        }
        let rows = columns.iter().take(streams_own).flatten().map(|part| part.num_rows() as u64);
        self.rows = rows.sum();
        let counted = |part: &Option<RecordBatch>| part.as_ref().map_or(0, |part| part.num_rows() as u64);
        self.part_rows = columns.iter().map(counted).collect();
        self
    }

    /// Has its rows summed up when they are encoded: all that these ranges give.
    #[must_use]
    pub fn to_be_audited(mut self, ranges: BTreeMap<Partition, Range>, lineage: Option<&Lineage>) -> Self {
        let tables = self.columns.lock().unwrap_or_else(PoisonError::into_inner).len();
        let audit = |lineage: &Lineage| ToBeAudited {
            ranges,
            lineage: lineage.clone(),
            tables,
            sums: OnceLock::new(),
        };
        self.audit = lineage.map(audit);
        self
    }

    /// The ranges, and what was inserted of them into each table; none where nobody asked, or nothing was encoded.
    #[must_use]
    pub fn inserted(&self) -> Option<(&BTreeMap<Partition, Range>, &Vec<Sums>)> {
        let audit = self.audit.as_ref()?;
        Some((&audit.ranges, audit.sums.get()?))
    }

    fn sum_up(&self, columns: &[Option<RecordBatch>]) {
        let Some(audit) = &self.audit else { return };
        let of = |part: &Option<RecordBatch>| {
            part.as_ref().and_then(|rows| lately::sums(rows, &audit.lineage)).unwrap_or_default()
        };
        let _ = audit.sums.set(columns.iter().take(audit.tables).map(of).collect());
    }

    /// The encoded part of a table; encodes all parts at the first call and frees the columns.
    ///
    /// # Errors
    /// When the columns can't be encoded, which no column of ours does.
    pub async fn body(self: &Arc<Self>, table: usize) -> Result<Option<&Body>, EncodeError> {
        let bodies = self
            .bodies
            .get_or_try_init(|| async {
                let payload = Arc::clone(self);
                let encoded = tokio::task::spawn_blocking(move || payload.encode()).await;
                encoded.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            })
            .await?;
        Ok(bodies.get(table).and_then(Option::as_ref))
    }

    fn encode(&self) -> Result<Vec<Option<Body>>, EncodeError> {
        // Batches share their buffers, so a clone costs nothing; the columns go once all of them are encoded.
        let columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let encode = |part: &Option<RecordBatch>| {
            part.as_ref().map(|batch| arrow_stream::encode(batch, self.compression)).transpose()
        };
        let keys = self.partition_keys.iter().map(String::as_str).chain(std::iter::repeat(UNKNOWN_KEY));
        let entries =
            |(part, key): (&Option<RecordBatch>, _)| part.as_ref().map_or(0, |part| at_most(key, part));
        self.entries.get_or_init(|| columns.iter().zip(keys).map(entries).collect());
        self.sum_up(&columns);
        let bodies = columns.iter().map(encode).collect::<Result<_, _>>()?;
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(bodies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Counts;

    #[test]
    fn dead_letters_that_nothing_keeps_are_counted() {
        let counts = Counts { dead_letters: 3, ..Counts::default() };
        let sealed = Sealed { tables: vec![None], dead_letters: None, counts: [(0, counts)].into() };
        let nowhere = DeadLetters { table: false, topic: None };
        let payload = Payload::new(sealed, Vec::new(), Compression::Lz4, &nowhere);
        assert_eq!((payload.rows, payload.dead_letters), (0, 3));
    }
}
