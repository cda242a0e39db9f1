//! The process: starts the lanes of every stream, passes signals on, reports, ends with the right code.

use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::pressure::Asked;
use pumphouse_core::batch::BatchPolicy;
use pumphouse_core::moment::Time;
use pumphouse_core::pump::{Policy, Pump};
use pumphouse_core::valve::ValvePolicy;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc as channel;

use super::audit::keep_auditing;
use super::clock::Clock;
use super::curves::{Keeper, keep_setting};
use super::lane::{ANSWERS_MAX, Answer, End, Lane, Mailbox, Shared};
use super::pressure::{Gauge, keep_reading};
use super::ready;
use super::report::{self, LaneReport};
use crate::audit::lately::{Lately, Tallied};
use crate::config::settings::{Settings, Stream};
use crate::config::shape_hash;
use crate::fault::{Code, Exit, Fault};
use crate::sink::budgets::Budgets;
use crate::sink::insert::Sink;
use crate::sink::target::Target;
use crate::sink::topic::LetterTopic;
use crate::source::kafka::properties;
use crate::telemetry::{self, FullestTable, Progress, event};

/// How often the progress of each stream is logged.
const REPORT_EVERY: Duration = Duration::from_mins(1);
/// How often ClickHouse's clock is read.
const CLOCK_EVERY: Duration = Duration::from_secs(15);
/// Longest time a claimed batch may hold up a rebalance.
const REVOKE_WAIT_MAX: Duration = Duration::from_secs(15);
/// Time for a lane to leave the group after its drain, before the process ends without it.
const LEAVE_TIME: Duration = Duration::from_secs(20);
/// Signals closer together than this are one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);
/// Part of a lane's memory that one batch may take: one is open while another is on its way.
const BATCH_SHARE: u64 = 2;
/// Part of the process's memory that lanes may fill with rows; the rest is Kafka's queues and encoded bodies.
const ROWS_SHARE: u64 = 4;

/// One stream that is ready to run.
pub struct ReadyStream {
    /// The stream.
    pub stream: Stream,
    /// Its tables.
    pub targets: Vec<Target>,
    /// Database and name of every table that its batches end up in, those behind views included; each once.
    pub written: Vec<(String, String)>,
    /// How long ClickHouse surely remembers a token.
    pub safe_age: Duration,
    /// Partitions of its topic.
    pub partitions: usize,
    /// The least time between two changes of a table's setting.
    pub settings_every: Duration,
}

/// Why the lanes did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A server has to be mended first.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The system gave no thread.
    #[error(
        "a lane's thread can't be started: {0}; free memory or raise the limit of processes, then start again"
    )]
    Thread(#[source] io::Error),
    /// The system gave no signals.
    #[error("signals can't be heard, so the process could not drain: {0}; start it again")]
    Signals(#[source] io::Error),
}

struct RunningLane {
    mailbox: Mailbox,
    thread: thread::JoinHandle<()>,
}

/// Runs all streams until a signal or a halt; returns how the process ends.
///
/// # Errors
/// When a lane can't be started or signals can't be heard.
pub async fn run(
    settings: Arc<Settings>,
    client: Client,
    streams: Vec<ReadyStream>,
) -> Result<Exit, StartError> {
    let clock = Arc::new(Clock::set_by(&client).await.map_err(|error| unread_clock(&client, &error))?);
    keep_clock(Arc::clone(&clock), client.clone());
    let budgets = Arc::new(Budgets::new(settings.process.processes_max.get().into()));
    let (ended, mut ends) = channel::channel::<(String, End)>(64);
    // Connections of their own: a slow answer must not keep an insert waiting.
    let aside = ready::client(&settings.clickhouse)?;
    let mut lanes = Vec::new();
    for ready in streams {
        let name = ready.stream.name.clone();
        let asked = Asked { tables: ready.written, settings: settings.clickhouse.settings.clone() };
        let sink = sink(&settings, &client, &budgets, (&ready.stream, ready.targets));
        let shared = Arc::new(shared(&settings, &clock, sink, (ready.stream, ready.partitions)));
        let policy = policy(&shared, ready.safe_age);
        let reports: Vec<Arc<LaneReport>> =
            (0..settings.process.lanes.get()).map(|_| Arc::default()).collect();
        let first = lanes.len();
        for (number, report) in reports.iter().enumerate() {
            let pump = Pump::new(policy.clone());
            lanes.push(start_lane(&shared, (pump, Arc::clone(report)), number, ended.clone())?);
        }
        keep_reading(Gauge {
            stream: name.clone(),
            client: aside.clone(),
            asked: Arc::new(asked),
            lanes: lanes[first..].iter().map(|lane: &RunningLane| lane.mailbox.clone()).collect(),
            fullest: Arc::clone(&shared.fullest),
        });
        keep_setting(Keeper {
            stream: shared.stream.clone(),
            client: aside.clone(),
            lanes: reports.clone(),
            clock: Arc::clone(&clock),
            reader: shared.reader.clone(),
            revision: settings.revision.clone(),
            pause: ready.settings_every,
        });
        let tallied = Arc::<Tallied>::default();
        let lately = Lately::of(&settings, aside.clone(), &shared.stream, &shared.sink.targets);
        if let Some(lately) = lately {
            keep_auditing(lately, reports.clone(), Arc::clone(&clock), Arc::clone(&tallied));
        }
        keep_reporting(name, reports, (tallied, Arc::clone(&shared.fullest)));
    }
    drop(ended);
    wait_for_end(&settings, &clock, lanes, &mut ends).await
}

async fn wait_for_end(
    settings: &Settings,
    clock: &Clock,
    lanes: Vec<RunningLane>,
    ends: &mut channel::Receiver<(String, End)>,
) -> Result<Exit, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    // From here on a signal drains; whoever waits for this line may send one.
    tracing::info!("{}", event::READY);
    let (mut exit, mut draining) = (Exit::Fine, None);
    loop {
        let stop = tokio::select! {
            end = ends.recv() => match end {
                None => break,
                Some((_, End::Left)) => false,
                Some((stream, End::Broken)) => {
                    tracing::error!(stream, "a lane panicked, which is a fault of pumphouse; please report it. \
                        Its batches are safe: the next process finishes them");
                    exit = Exit::Failed;
                    true
                }
                Some((stream, End::Halted(fault))) => {
                    telemetry::halted(&stream, &fault);
                    exit = Exit::Halted;
                    true
                }
            },
            _ = terminate.recv() => heard(draining, clock.now()),
            _ = interrupt.recv() => heard(draining, clock.now()),
            () = overdue(draining, settings.process.drain_timeout, clock) => {
                tracing::error!("a lane did not leave in time; stopped at once, the next owner finishes its batch");
                return Ok(if exit == Exit::Fine { Exit::Failed } else { exit });
            }
        };
        if stop && draining.is_none() {
            draining = Some(clock.now());
            tracing::info!(timeout = ?settings.process.drain_timeout, "{}", event::DRAINING);
            let until = clock.now().after(settings.process.drain_timeout);
            for lane in &lanes {
                lane.mailbox.send(Answer::Drain(until));
            }
        }
    }
    for lane in lanes {
        if lane.thread.join().is_err() {
            exit = Exit::Failed;
        }
    }
    tracing::info!("{}", event::STOPPED);
    Ok(exit)
}

/// Ends when the lanes have had their time to drain and to leave the group; never before a drain.
async fn overdue(draining: Option<Time>, timeout: Duration, clock: &Clock) {
    match draining {
        Some(since) => tokio::time::sleep(clock.until(since.after(timeout).after(LEAVE_TIME))).await,
        None => std::future::pending().await,
    }
}

/// The first signal asks to drain; a second one ends the process where it stands, which loses nothing: what is
/// claimed is found by the next owner, what is not is still in Kafka. `timeout` and terminals signal a process
/// and its group, so what comes at once is one signal.
#[expect(
    clippy::disallowed_methods,
    reason = "a second signal asks for exactly that: the end, without the drain that is under way"
)]
fn heard(draining: Option<Time>, now: Time) -> bool {
    if draining.is_some_and(|since| now.since(since) > SAME_SIGNAL) {
        tracing::warn!("stopped at once by a second signal; the next owner finishes what is claimed");
        std::process::exit(i32::from(Exit::Failed.number()));
    }
    true
}

fn sink(
    settings: &Settings,
    client: &Client,
    budgets: &Arc<Budgets>,
    (stream, targets): (&Stream, Vec<Target>),
) -> Sink {
    let timeout = settings.clickhouse.insert_timeout;
    Sink {
        client: client.clone(),
        targets,
        letter_topic: LetterTopic::of(&settings.kafka, stream, timeout).map(Arc::new),
        timeout,
        settings: settings.clickhouse.settings.clone(),
        budgets: Some(Arc::clone(budgets)),
        server: 0.into(),
    }
}

fn shared(
    settings: &Arc<Settings>,
    clock: &Arc<Clock>,
    sink: Sink,
    (stream, partitions): (Stream, usize),
) -> Shared {
    Shared {
        member: properties::member(&settings.kafka, &settings.process, &stream, partitions),
        reader: properties::reader(&settings.kafka, &stream),
        revoke_wait: revoke_wait(settings),
        settings: Arc::clone(settings),
        stream,
        sink: Arc::new(sink),
        fullest: Arc::default(),
        clock: Arc::clone(clock),
        runtime: Handle::current(),
    }
}

fn unread_clock(client: &Client, error: &QueryError) -> Fault {
    let what = format!("its time can't be read: {error}");
    Fault::new(Code::ClickHouseUnreachable, format!("ClickHouse at {}", client.url(0)), what)
}

/// A third of the time that a rebalance may take, within reason.
fn revoke_wait(settings: &Settings) -> Duration {
    (properties::rebalance_time(&settings.kafka) / 3).min(REVOKE_WAIT_MAX)
}

/// Bytes of decoded columns that one lane of a stream may hold.
fn lane_memory(settings: &Settings) -> u64 {
    let streams = settings.streams.len().max(1) as u64;
    settings.process.memory / ROWS_SHARE / u64::from(settings.process.lanes.get()) / streams
}

/// When a batch of the stream closes, by the configuration and the memory there is for it.
pub(crate) fn batch_policy(settings: &Settings, stream: &Stream) -> BatchPolicy {
    BatchPolicy {
        freshness: stream.batch.freshness,
        rows: stream.batch.rows.get(),
        bytes: stream.batch.bytes.get().min(lane_memory(settings) / BATCH_SHARE),
    }
}

/// How the batches of the stream follow the pressure.
pub(crate) fn valve_policy(stream: &Stream) -> ValvePolicy {
    ValvePolicy {
        batch_age_max: stream.valve.batch_age_max,
        shut_at_percent: stream.valve.shut_at_percent,
        parts_max: stream.valve.parts_max.map_or(0, NonZeroU64::get),
    }
}

fn policy(shared: &Shared, safe_age: Duration) -> Policy {
    let stream = &shared.stream;
    Policy {
        batch: batch_policy(&shared.settings, stream),
        memory: lane_memory(&shared.settings),
        tables: u8::try_from(shared.sink.target_count()).unwrap_or(u8::MAX),
        letters: u8::from(stream.dead_letters.table) + u8::from(stream.dead_letters.topic.is_some()),
        shape: shape_hash(stream),
        revision: shared.settings.revision.clone(),
        insert_timeout: shared.settings.clickhouse.insert_timeout,
        safe_age,
        gaps: stream.gaps,
        valve: valve_policy(stream),
    }
}

fn start_lane(
    shared: &Arc<Shared>,
    (pump, report): (Pump, Arc<LaneReport>),
    number: usize,
    ended: channel::Sender<(String, End)>,
) -> Result<RunningLane, StartError> {
    let (sender, answers) = mpsc::sync_channel(ANSWERS_MAX);
    let (shared, to_lane) = (Arc::clone(shared), sender.clone());
    let name = format!("{}/{number}", shared.stream.name);
    let thread = thread::Builder::new().name(name).spawn(move || {
        let stream = shared.stream.name.clone();
        let ran =
            catch_unwind(AssertUnwindSafe(|| match Lane::join(shared, pump, report, (to_lane, answers)) {
                Ok(lane) => {
                    let (end, leaving) = lane.run();
                    (end, Some(leaving))
                }
                Err(fault) => (End::Halted(Box::new(fault)), None),
            }));
        // A lane that is silently gone would look like a topic without events.
        let (end, leaving) = ran.unwrap_or((End::Broken, None));
        // Told before the group is left, which may take a while. The process may have stopped listening.
        let _ = ended.blocking_send((stream, end));
        if let Some(leaving) = leaving {
            leaving.wait();
        }
    });
    let thread = thread.map_err(StartError::Thread)?;
    let mailbox = Mailbox { epoch: 0, sender, thread: thread.thread().clone(), cancelled: Arc::default() };
    Ok(RunningLane { mailbox, thread })
}

fn keep_clock(clock: Arc<Clock>, client: Client) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(CLOCK_EVERY).await;
            if let Err(error) = clock.sample(&client).await {
                tracing::debug!(%error, "ClickHouse's clock can't be read; its time is carried on");
            }
        }
    });
}

fn keep_reporting(
    stream: String,
    lanes: Vec<Arc<LaneReport>>,
    (tallied, fullest): (Arc<Tallied>, Arc<FullestTable>),
) {
    tokio::spawn(async move {
        let mut every = tokio::time::interval(REPORT_EVERY);
        every.tick().await;
        loop {
            every.tick().await;
            let nearest = fullest.get().map(|fullest| fullest.table.nearest());
            telemetry::progress(&Progress {
                parts: nearest.map(|(parts, _)| parts),
                parts_limit: nearest.map(|(_, limit)| limit).filter(|limit| *limit > 0),
                audited: tallied.audited.swap(0, Ordering::Relaxed),
                unaudited: tallied.unaudited.swap(0, Ordering::Relaxed),
                lost: tallied.lost.load(Ordering::Relaxed),
                doubled: tallied.doubled.load(Ordering::Relaxed),
                ..report::sum_up(&stream, &lanes, REPORT_EVERY)
            });
        }
    });
}
