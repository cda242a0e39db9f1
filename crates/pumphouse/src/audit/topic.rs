//! What the topic says: which records a range holds, and what each of them should have come to under this configuration.
//! Reads outside the subscription and commits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pumphouse_core::audit::Tally;
use pumphouse_core::offset::{Offset, Partition};

use super::ground::Ground;
use super::tallies::{ByChunk, Spans};
use crate::config::settings::Stream;
use crate::decode::{Again, OpenBatch, Record, Tried};
use crate::source::kafka::properties;
use crate::source::kafka::reader::{self, ReadError};

/// Rows after which the decoded columns, which nobody needs, are thrown away.
const ROWS_HELD_MAX: usize = 1 << 14;
/// How often somebody is told how far it has come.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// Decodes records and says what they would be; keeps no row.
pub(super) struct Decoder {
    open: OpenBatch,
    tried: Vec<Tried>,
}

impl Decoder {
    pub(super) fn new(stream: &Stream, revision: &str) -> Self {
        let open = OpenBatch::new(stream, revision).expect("`check` tried the columns before");
        Self { open, tried: Vec::new() }
    }

    /// What a message is: a row, or a reject, of each record in it for each table that takes it.
    pub(super) fn judge(&mut self, record: &Record<'_>) -> &[Tried] {
        self.tried.clear();
        let again = Again { record: *record, index: 0, table: "", is_whole: true, wants: &|_, _| true };
        self.open.push_again(&again, &mut self.tried);
        if self.open.rows() + self.open.dead_letters() >= ROWS_HELD_MAX {
            self.open.seal(0);
        }
        &self.tried
    }
}

/// What the topic says of whole chunks.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    /// Rows of each table.
    pub(super) tables: Vec<ByChunk>,
    /// Dead letters.
    pub(super) letters: ByChunk,
    /// Messages.
    pub(super) messages: BTreeMap<(Partition, u64), u64>,
    /// Of these, the ones that stand for nothing.
    pub(super) filtered: BTreeMap<(Partition, u64), u64>,
}

impl Expectation {
    fn take(&mut self, size: u64, record: &Record<'_>, tried: &[Tried]) {
        let chunk = (Partition(record.partition), record.offset / size);
        *self.messages.entry(chunk).or_default() += 1;
        if tried.is_empty() {
            *self.filtered.entry(chunk).or_default() += 1;
        }
        for Tried { table, index, reject } in tried {
            let tally: &mut Tally = match (reject, table) {
                (None, Some(table)) => self.tables[*table].entry(chunk).or_default(),
                _ => self.letters.entry(chunk).or_default(),
            };
            tally.take(Offset(record.offset), *index);
        }
    }
}

/// Reads whole chunks, one range of each partition.
pub(super) async fn expectation(
    ground: &Ground,
    (spans, size): (&Spans, u64),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Expectation, ReadError> {
    let mut decoder = Decoder::new(&ground.stream, &ground.settings.revision);
    let tables = ground.tables.iter().map(|_| ByChunk::new()).collect();
    let mut expectation = Expectation { tables, ..Expectation::default() };
    let work = move |read: Reader| {
        read(&mut |record| expectation.take(size, record, decoder.judge(record)))?;
        Ok(expectation)
    };
    reading(ground, spans, progress, work).await
}

/// Reads the ranges: hands every record to what it is given.
pub(super) type Reader = Box<dyn FnOnce(&mut dyn FnMut(&Record<'_>)) -> Result<(), ReadError>>;

/// Runs work that reads a range of each partition, on a thread where it may wait.
pub(super) async fn reading<T: Send + 'static>(
    ground: &Ground,
    spans: &Spans,
    progress: &mut (dyn FnMut(u64) + Send),
    work: impl FnOnce(Reader) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let config = properties::reader(&ground.settings.kafka, &ground.stream);
    let (topic, spans) = (ground.stream.topic.clone(), spans.clone());
    let read = Arc::new(AtomicU64::new(0));
    let called_off = CalledOff::default();
    let (counter, cancelled) = (Arc::clone(&read), Arc::clone(&called_off.0));
    let mut reading = tokio::task::spawn_blocking(move || {
        let reader: Reader = Box::new(move |visit| {
            reader::read_ranges(&config, &topic, &spans, &cancelled, &mut |record| {
                counter.fetch_add(1, Ordering::Relaxed);
                visit(record);
            })
        });
        work(reader)
    });
    loop {
        let done = tokio::time::timeout(TOLD_EVERY, &mut reading).await;
        progress(read.swap(0, Ordering::Relaxed));
        if let Ok(done) = done {
            return done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        }
    }
}

/// Ends the reading when nobody waits for it any more.
#[derive(Default)]
struct CalledOff(Arc<AtomicBool>);

impl Drop for CalledOff {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
