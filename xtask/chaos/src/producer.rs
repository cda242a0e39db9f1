//! Produces events at a steady pace and writes down where Kafka says they are: the truth that everything is held
//! against. Goes straight to the broker, not through the proxy, and tries until Kafka has every event.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use crate::event::{Event, hash};

/// Events are handed over this often.
const BEAT: Duration = Duration::from_millis(20);
/// How long the last events may take once the faults have ended.
const FLUSH_WITHIN: Duration = Duration::from_mins(2);
/// Bytes of one event in the truth: offset, number, hash of the payload.
const ENTRY: usize = 24;

/// Where one event is, as Kafka has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) offset: u64,
    pub(crate) id: u64,
    pub(crate) hash: u64,
}

/// What goes on, for whoever wants to know.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) acknowledged: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// A producer on a thread of its own.
pub(crate) struct Producing {
    pub(crate) count: Arc<Count>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

/// What to produce.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) rate: u64,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
}

struct Deliveries {
    count: Arc<Count>,
    files: Mutex<Vec<BufWriter<File>>>,
}

impl ClientContext for Deliveries {
    // Brokers come and go here; what matters arrives with each event.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(u64, u64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<(u64, u64)>) {
        let (id, hash) = *sent;
        let written = match result {
            Ok(message) => {
                self.write(message.partition(), message.offset(), id, hash).map_err(|e| e.to_string())
            }
            Err((error, _)) => Err(error.to_string()),
        };
        match written {
            Ok(()) => _ = self.count.acknowledged.fetch_add(1, Ordering::Release),
            Err(error) => {
                let mut failed = self.count.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(format!("event {id}: {error}"));
            }
        }
    }
}

impl Deliveries {
    fn write(&self, partition: i32, offset: i64, id: u64, hash: u64) -> io::Result<()> {
        let offset = u64::try_from(offset).map_err(io::Error::other)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = usize::try_from(partition).ok().and_then(|partition| files.get_mut(partition));
        let file = file.ok_or_else(|| io::Error::other("a partition that was not asked for"))?;
        for number in [offset, id, hash] {
            file.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }
}

impl Producing {
    /// Begins.
    pub(crate) fn start(order: Order) -> anyhow::Result<Self> {
        let count: Arc<Count> = Arc::default();
        let files = (0..order.partitions).map(|partition| File::create(path(&order.folder, partition)));
        let files = files.map(|file| file.map(BufWriter::new)).collect::<io::Result<Vec<_>>>()?;
        let context = Deliveries { count: Arc::clone(&count), files: Mutex::new(files) };
        let producer: BaseProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", &order.brokers)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "20")
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(context)?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::Builder::new().name("producer".to_owned());
        let thread = thread.spawn(move || produce(&producer, &order, &until))?;
        Ok(Self { count, stop, thread })
    }

    /// Ends, and returns how many events there are when Kafka has every one.
    pub(crate) fn finish(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(events) = self.thread.join() else { bail!("the producer panicked") };
        let (events, acknowledged) = (events?, self.count.acknowledged.load(Ordering::Acquire));
        if let Some(error) = &*self.count.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            bail!("Kafka did not take {error}: what it holds is not known");
        }
        if events != acknowledged {
            bail!("{acknowledged} of {events} events are acknowledged: what Kafka holds is not known");
        }
        Ok(events)
    }
}

fn produce(producer: &BaseProducer<Deliveries>, order: &Order, stop: &AtomicBool) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut id = 0;
    while !stop.load(Ordering::Relaxed) {
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = elapsed * order.rate / 1000;
        while id < due && !stop.load(Ordering::Relaxed) {
            send(producer, order, id)?;
            id += 1;
        }
        producer.poll(BEAT);
    }
    producer.flush(FLUSH_WITHIN).context("Kafka does not acknowledge the last events")?;
    let mut files = producer.context().files.lock().unwrap_or_else(PoisonError::into_inner);
    for file in &mut *files {
        file.flush()?;
    }
    Ok(id)
}

fn send(producer: &BaseProducer<Deliveries>, order: &Order, id: u64) -> anyhow::Result<()> {
    let payload = Event::new(order.seed, id).payload();
    let opaque = Box::new((id, hash(&payload)));
    let partition = i32::try_from(id % u64::from(order.partitions))?;
    let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(&order.topic, opaque);
    record = record.partition(partition).payload(&payload);
    while let Err((error, unsent)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return Err(error).context("Kafka's client takes no event");
        }
        producer.poll(BEAT);
        record = unsent;
    }
    Ok(())
}

/// The truth of one partition, in the order of its offsets.
pub(crate) fn truth(folder: &Path, partition: u32) -> io::Result<impl Iterator<Item = io::Result<Truth>>> {
    let mut file = BufReader::new(File::open(path(folder, partition))?);
    Ok(std::iter::from_fn(move || {
        let mut entry = [0; ENTRY];
        match file.read_exact(&mut entry) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
            Ok(()) => {
                let number = |at: usize| {
                    u64::from_le_bytes(entry[at..at + 8].try_into().expect("eight bytes are eight bytes"))
                };
                Some(Ok(Truth { offset: number(0), id: number(8), hash: number(16) }))
            }
        }
    }))
}

fn path(folder: &Path, partition: u32) -> PathBuf {
    folder.join(format!("truth-{partition}.bin"))
}
