//! Carries out what the pump orders where a log begins behind the position, and where nobody wrote down a start: asks for
//! the ends of logs, asks the tables, writes gaps down, and says in the log what was found. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_core::gap::{Committed, Gaps, GapsAnswer, Origin};
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::{Input, OrderId};
use rdkafka::error::KafkaResult;

use super::faults;
use super::lane::{Answer, Lane, Mailbox, OwedAnswer, Shared};
use super::orders::{AGAIN_AFTER, until_answered};
use crate::config::settings::Table;
use crate::sink::gaps;
use crate::source::kafka::lookup;
use crate::telemetry;

/// The ends of logs: the first offset, and the position behind the last.
pub(super) type Ends = BTreeMap<Partition, (Offset, Offset)>;

impl Lane {
    /// Finds out which offsets are missing, or that none is.
    pub(super) fn ask_ends(&self, partitions: BTreeSet<Partition>) {
        let (client, topic) = (self.membership.client(), self.shared.stream.topic.clone());
        self.ask(move |mailbox| {
            let ends = || {
                let ends = partitions
                    .iter()
                    .map(|p| KafkaResult::Ok((*p, lookup::watermarks(&*client, &topic, *p)?)));
                ends.collect()
            };
            if let Some(ends) = until_answered(mailbox, "the ends of the log", ends) {
                mailbox.send(Answer::Ends(ends));
            }
        });
    }

    /// Reports or halts where a position lies outside its log; otherwise the client was wrong and begins anew.
    pub(super) fn ends_known(&mut self, ends: &Ends) {
        for (partition, (low, high)) in ends {
            self.step(Input::OutOfRange { partition: *partition, low: *low, high: *high });
        }
        // Behind a gap the pump itself orders it.
        if self.end.is_none() && !self.pump.has_gaps() {
            self.rejoin();
        }
    }

    /// Writes gaps down and tells each.
    pub(super) fn report_gaps(&self, order: OrderId, gaps: Gaps) {
        let (shared, mailbox) = (Arc::clone(&self.shared), self.mailbox.clone());
        let report = Arc::clone(&self.report);
        self.shared.runtime.spawn(async move {
            let owed = OwedAnswer(mailbox);
            let now = shared.clock.server();
            let answer = match gaps::report(&shared.sink, &shared.stream, &gaps, now).await {
                Ok(reported) => {
                    for gap in &reported {
                        report.missing(gap.missing.len());
                        telemetry::gap(&shared.stream.name, &faults::gap(&shared.stream, gap));
                    }
                    GapsAnswer::Done
                }
                Err(answer) => answer,
            };
            owed.0.send(Answer::Fact(Input::GapsAnswered(order, answer)));
        });
    }

    /// Asks the tables, then Kafka, what stands behind starts that nobody wrote down.
    pub(super) fn ask_origins(&self, order: OrderId, starts: BTreeMap<Partition, Offset>) {
        let (client, shared) = (self.membership.client(), Arc::clone(&self.shared));
        self.ask(move |mailbox| {
            let partitions: BTreeSet<Partition> = starts.keys().copied().collect();
            let Some(highest) = asked_highest(&shared, &partitions, mailbox) else { return };
            let topic = &shared.stream.topic;
            let committed = || lookup::origins(&*client, topic, &partitions);
            let Some(committed) = until_answered(mailbox, "the starts of partitions", committed) else {
                return;
            };
            let origin = |(partition, (committed, end))| {
                let highest = highest.get(&partition).copied();
                (partition, Origin { committed, highest, end })
            };
            let origins: BTreeMap<Partition, Origin> = committed.into_iter().map(origin).collect();
            tell(&shared, &starts, &origins);
            mailbox.send(Answer::Fact(Input::Origins(order, origins)));
        });
    }
}

/// The highest offsets that the stream's own tables hold.
fn asked_highest(
    shared: &Shared,
    partitions: &BTreeSet<Partition>,
    mailbox: &Mailbox,
) -> Option<BTreeMap<Partition, Offset>> {
    let others = shared.settings.streams.values().filter(|stream| stream.name != shared.stream.name);
    let tables = others.flat_map(|stream| &stream.tables).map(Table::full_name).collect();
    while !mailbox.is_cancelled() {
        let asked: Result<_, QueryError> =
            shared.runtime.block_on(gaps::highest(&shared.sink, &shared.stream, &tables, partitions));
        match asked {
            Ok(highest) => return Some(highest),
            Err(error) => {
                tracing::warn!(stream = %shared.stream.name, %error, "the tables can't be asked for a start yet");
            }
        }
        thread::sleep(AGAIN_AFTER);
    }
    None
}

/// Says of starts that somebody else set what follows from them.
fn tell(shared: &Shared, starts: &BTreeMap<Partition, Offset>, origins: &BTreeMap<Partition, Origin>) {
    let stream = &shared.stream.name;
    for (partition, origin) in origins {
        let Some(start) = starts.get(partition) else { continue };
        let again = origin.highest.is_some_and(|highest| highest >= *start);
        match origin.committed {
            Committed::Bare if again => tracing::warn!(stream, %partition, %start, highest = ?origin.highest,
                "offset set by hand: rows from there on are inserted again, beside those that are in the table"),
            Committed::Bare => tracing::info!(stream, %partition, %start, "starts at an offset set by hand"),
            Committed::Foreign => tracing::warn!(stream, %partition, %start,
                "the metadata beside the offset is not pumphouse's, or damaged: it counts as none"),
            Committed::Never | Committed::Ours => {}
        }
    }
}
