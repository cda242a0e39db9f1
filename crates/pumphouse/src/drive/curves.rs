//! Settings of one stream's tables that follow its rate: whoever owns partition 0 reads the ends of all partitions, and sets
//! what the curves say. Decides only when; a setting that can't be set is told once and never holds up delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_core::curve::{self, Curve, Pause};
use pumphouse_core::moment::Time;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;

use super::clock::Clock;
use super::report::LaneReport;
use crate::config::settings::{Stream, Table};
use crate::sink::table_settings::{self, Change, Standing, What};
use crate::source::kafka::lookup;
use crate::telemetry;

/// How often the ends of the partitions are read.
const READ_EVERY: Duration = Duration::from_secs(10);
/// How many pauses a setting is left alone that was refused.
const PAUSES_AFTER_A_REFUSAL: u32 = 10;

/// What settings are kept with.
pub(super) struct Keeper {
    pub(super) stream: Stream,
    pub(super) client: Client,
    pub(super) lanes: Vec<Arc<LaneReport>>,
    pub(super) clock: Arc<Clock>,
    /// Properties of a reader of the topic.
    pub(super) reader: ClientConfig,
    pub(super) revision: String,
    /// The least time between two changes of a setting.
    pub(super) pause: Duration,
}

/// A setting of a table on a server.
type Place = (usize, String, String);

/// What is remembered between two readings.
#[derive(Default)]
struct Memory {
    ends: Option<(u64, Time)>,
    pauses: BTreeMap<Place, Pause>,
    /// What was told of, and has not gone well since.
    told: BTreeSet<Place>,
}

/// Sets what is due until the process ends; nothing where no table has a curve.
pub(super) fn keep_setting(keeper: Keeper) {
    if keeper.stream.tables.iter().all(|table| table.settings_by_rate.is_empty()) {
        return;
    }
    let every = READ_EVERY.min(keeper.pause);
    tokio::spawn(async move {
        let (keeper, mut memory) = (Arc::new(keeper), Memory::default());
        let mut consumer = None;
        loop {
            tokio::time::sleep(every).await;
            if !keeper.lanes.iter().any(|lane| lane.has_first()) {
                memory.ends = None;
                continue;
            }
            let read = read_ends(&keeper, consumer.take()).await;
            let Some((kept, ends)) = read else { continue };
            consumer = kept;
            let now = keeper.clock.now();
            let before = ends.and_then(|ends| memory.ends.replace((ends, now)).map(|before| (before, ends)));
            let Some(((before, at), ends)) = before else { continue };
            if let Some(rate) = curve::rate(ends.saturating_sub(before), now.since(at)) {
                keeper.follow(rate, &mut memory).await;
            }
        }
    });
}

/// All events that the topic ever had, as its ends say; the consumer is used again.
async fn read_ends(
    keeper: &Arc<Keeper>,
    consumer: Option<BaseConsumer>,
) -> Option<(Option<BaseConsumer>, Option<u64>)> {
    let keeper = Arc::clone(keeper);
    let read = move || {
        let (topic, stream) = (&keeper.stream.topic, &keeper.stream.name);
        let consumer = match consumer.map_or_else(|| keeper.reader.create::<BaseConsumer>(), Ok) {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::debug!(stream, %error, "the rate of events can't be read");
                return (None, None);
            }
        };
        match lookup::events_ever(&consumer, topic) {
            Ok(ends) => (Some(consumer), Some(ends)),
            Err(error) => {
                tracing::debug!(stream, %error, "the rate of events can't be read");
                (Some(consumer), None)
            }
        }
    };
    tokio::task::spawn_blocking(read).await.ok()
}

impl Keeper {
    /// Brings every setting of every table on every server to what its curve says, where that is worth a change.
    async fn follow(&self, rate: u64, memory: &mut Memory) {
        let with_curves = self.stream.tables.iter().filter(|table| !table.settings_by_rate.is_empty());
        for table in with_curves {
            for url_index in 0..self.client.url_count() {
                self.follow_on(url_index, table, rate, memory).await;
            }
        }
    }

    async fn follow_on(&self, url_index: usize, table: &Table, rate: u64, memory: &mut Memory) {
        let place = |setting: &str| (url_index, table.full_name(), setting.to_owned());
        let due = |setting: &str| {
            memory.pauses.get(&place(setting)).is_none_or(|pause| pause.is_over(self.clock.now()))
        };
        let due: Vec<(&String, &Curve)> =
            table.settings_by_rate.iter().filter(|(setting, _)| due(setting)).collect();
        if due.is_empty() {
            return;
        }
        let names = due.iter().map(|(setting, _)| setting.as_str());
        let standing =
            table_settings::standing(&self.client, url_index, (&table.database, &table.name), names).await;
        match standing {
            Ok(standing) => {
                for (setting, curve) in due {
                    let found = standing.get(setting);
                    self.bring(place(setting), table, (curve, found), (rate, &mut *memory)).await;
                }
            }
            Err(error) => {
                for (setting, _) in due {
                    self.tell_refused(place(setting), &error, memory);
                }
            }
        }
    }

    async fn bring(
        &self,
        place: Place,
        table: &Table,
        (curve, found): (&Curve, Option<&Standing>),
        (rate, memory): (u64, &mut Memory),
    ) {
        let standing = found.and_then(|found| Some((found, found.value.parse::<u64>().ok()?)));
        let Some((found, value)) = standing else {
            let error = QueryError::Answer("the server knows no such setting with a whole number".to_owned());
            return self.tell_refused(place, &error, memory);
        };
        let Some(new) = curve.change(rate, value) else {
            memory.told.remove(&place);
            return;
        };
        let change = Change {
            database: table.database.clone(),
            table: table.name.clone(),
            setting: place.2.clone(),
            what: What::Change,
            old_value: found.value.clone(),
            was_set: u8::from(found.is_set),
            new_value: new.to_string(),
            rate,
            revision: self.revision.clone(),
        };
        self.set(place, &change, memory).await;
    }

    /// Written down first: a change that nobody remembers could not be taken back.
    async fn set(&self, place: Place, change: &Change, memory: &mut Memory) {
        let (url_index, url) = (place.0, self.client.url(place.0));
        if let Err(error) = table_settings::record(&self.client, url_index, change).await {
            if memory.told.insert(place.clone()) {
                telemetry::setting_unrecorded(&self.stream.name, url, change, &error);
            }
            return self.leave(place, memory);
        }
        if let Err(error) = table_settings::modify(&self.client, url_index, change).await {
            let refused = Change { what: What::Refused, ..change.clone() };
            if let Err(error) = table_settings::record(&self.client, url_index, &refused).await {
                tracing::debug!(%error, "that a setting was refused can't be recorded");
            }
            return self.tell_refused(place, &error, memory);
        }
        telemetry::setting_changed(&self.stream.name, url, change);
        memory.told.remove(&place);
        memory.pauses.entry(place).or_default().begin(self.clock.now(), self.pause);
    }

    fn tell_refused(&self, place: Place, error: &QueryError, memory: &mut Memory) {
        if memory.told.insert(place.clone()) {
            let on = (place.1.as_str(), place.2.as_str());
            telemetry::setting_refused(&self.stream.name, self.client.url(place.0), on, error);
        }
        self.leave(place, memory);
    }

    fn leave(&self, place: Place, memory: &mut Memory) {
        let pause = self.pause * PAUSES_AFTER_A_REFUSAL;
        memory.pauses.entry(place).or_default().begin(self.clock.now(), pause);
    }
}
