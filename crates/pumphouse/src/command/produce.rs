//! `pumphouse internal produce`: writes generated events to a topic, for tests and measurements. Says at the end
//! exactly what it wrote, so that rows and dead letters can be held against it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::demo::events::Generator;
use crate::demo::producer::EventProducer;

/// What to write, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// `bootstrap.servers`
    #[arg(long)]
    pub brokers: String,
    /// The topic to write to.
    #[arg(long)]
    pub topic: String,
    /// Partitions to write to, in turn.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: u32,
    /// Events in all.
    #[arg(long)]
    pub events: u64,
    /// Events per second; without it, as many as possible.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// The same seed gives the same events, apart from their times.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Of 1,000 events, how many are bad.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub bad_per_mille: u16,
    /// Create the topic first, with one replica.
    #[arg(long)]
    pub create: bool,
}

/// Writes the events and prints, as JSON, what was written.
///
/// # Errors
/// When the topic can't be created or any event is not acknowledged.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.create {
        create_topic(arguments)?;
    }
    let generator = Generator::new(arguments.seed, arguments.bad_per_mille);
    let mut producer =
        EventProducer::new(&arguments.brokers, &arguments.topic, arguments.partitions, generator)?;
    let begun = Instant::now();
    let mut progress = Progress::new(begun);
    for (number, partition) in (0..arguments.events).zip((0..arguments.partitions).cycle()) {
        if number % 512 == 0 {
            producer.poll(Duration::ZERO);
            if let Some(rate) = arguments.rate {
                wait_until(begun + due_after(number, rate), &producer);
            }
            progress.report(&producer, arguments.events);
        }
        producer.send_next(partition, now_milliseconds())?;
    }
    let tally = producer.finish()?;
    eprintln!("{} events in {:.2} s", tally.events, begun.elapsed().as_secs_f64());
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}

/// Milliseconds since 1970-01-01 UTC.
fn now_milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn create_topic(arguments: &Arguments) -> anyhow::Result<()> {
    let topic = &arguments.topic;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .create()
        .with_context(|| format!("no client for `{}`", arguments.brokers))?;
    let partitions = i32::try_from(arguments.partitions)?;
    let wanted = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let answers = runtime
        .block_on(admin.create_topics(&wanted, &options))
        .with_context(|| format!("topic `{topic}` not created at `{}`", arguments.brokers))?;
    match answers.first() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => bail!("topic `{topic}` not created at `{}`: {code}", arguments.brokers),
        None => bail!("topic `{topic}` not created at `{}`: no answer for it", arguments.brokers),
    }
}

fn due_after(events: u64, rate: u64) -> Duration {
    Duration::from_nanos(
        u64::try_from(u128::from(events) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
    )
}

fn wait_until(due: Instant, producer: &EventProducer) {
    while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        producer.poll(wait.min(Duration::from_millis(100)));
    }
}

/// A line on standard error, once a second.
struct Progress {
    begun: Instant,
    next: Instant,
}

impl Progress {
    fn new(begun: Instant) -> Self {
        Self { begun, next: begun + Duration::from_secs(1) }
    }

    fn report(&mut self, producer: &EventProducer, wanted: u64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next += Duration::from_secs(1);
        let seconds = (now - self.begun).as_secs();
        let (sent, acknowledged) = (producer.events(), producer.acknowledged());
        eprintln!("{seconds:>4} s  {sent} of {wanted} events sent, {acknowledged} acknowledged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_without_drift_and_without_overflow() {
        assert_eq!(due_after(0, 20_000), Duration::ZERO);
        assert_eq!(due_after(20_000, 20_000), Duration::from_secs(1));
        assert_eq!(due_after(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(due_after(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
