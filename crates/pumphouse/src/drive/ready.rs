//! What has to be true before the first record is taken: servers answer, the topic is there, the tables fit.

use std::future::Future;
use std::time::Duration;

use pumphouse_clickhouse::arrow_stream;
use pumphouse_clickhouse::client::{Client, ClientSettings};
use rdkafka::consumer::BaseConsumer;

use crate::config::settings::{ClickHouse, Compression, Settings, Stream};
use crate::fault::{Code, Fault};
use crate::source::kafka::{lookup, properties};
use crate::telemetry;

/// How often a server is asked before it counts as away, at least once, and the pause between two attempts.
#[derive(Clone, Copy)]
struct Retries {
    attempts: u32,
    pause: Duration,
}

impl Retries {
    /// As `clickhouse.start_*` say.
    fn at_start(clickhouse: &ClickHouse) -> Self {
        Self { attempts: clickhouse.start_retries.get(), pause: clickhouse.start_retry_every }
    }

    /// Three attempts a second apart, or what the configuration says where that is less.
    fn while_somebody_waits(clickhouse: &ClickHouse) -> Self {
        let at_start = Self::at_start(clickhouse);
        Self { attempts: at_start.attempts.min(3), pause: at_start.pause.min(Duration::from_secs(1)) }
    }
}

/// The wire's name for the configured compression.
#[must_use]
pub fn compression(said: Compression) -> arrow_stream::Compression {
    match said {
        Compression::None => arrow_stream::Compression::None,
        Compression::Lz4 => arrow_stream::Compression::Lz4,
        Compression::Zstd => arrow_stream::Compression::Zstd,
    }
}

/// A client for the configured servers; nothing is sent yet.
///
/// # Errors
/// PH-0010 where an address can't be used.
pub fn client(clickhouse: &ClickHouse) -> Result<Client, Fault> {
    let settings = ClientSettings {
        urls: clickhouse.urls.clone(),
        user: clickhouse.user.clone(),
        password: clickhouse.password.reveal().to_owned(),
        connect_timeout: clickhouse.connect_timeout,
        query_timeout: clickhouse.query_timeout,
    };
    Client::new(&settings)
        .map_err(|error| Fault::new(Code::ClickHouseUnreachable, "clickhouse.url", error.to_string()))
}

/// A client for ClickHouse, which has answered to a process that may have been started before it: as often as
/// `clickhouse.start_*` say it is asked.
///
/// # Errors
/// PH-0010 when the last attempt failed.
pub async fn reach_at_start(clickhouse: &ClickHouse) -> Result<Client, Fault> {
    reach(clickhouse, Retries::at_start(clickhouse)).await
}

/// The same for a command that somebody waits for: at most three attempts, at most a second apart.
///
/// # Errors
/// PH-0010 when the last attempt failed.
pub async fn reach_now(clickhouse: &ClickHouse) -> Result<Client, Fault> {
    reach(clickhouse, Retries::while_somebody_waits(clickhouse)).await
}

async fn reach(clickhouse: &ClickHouse, retries: Retries) -> Result<Client, Fault> {
    let client = client(clickhouse)?;
    let server = format!("ClickHouse at {}", client.url(0));
    let answered =
        retried(&server, retries, || async { client.select_one().await.map_err(|e| e.to_string()) });
    answered.await.map_err(|error| Fault::new(Code::ClickHouseUnreachable, server, error))?;
    Ok(client)
}

/// Waits for Kafka and the stream's topics; returns the number of partitions of the one that it reads.
///
/// # Errors
/// PH-0011 when Kafka, PH-0012 when a topic was not there at the last attempt.
pub async fn topics(settings: &Settings, stream: &Stream) -> Result<usize, Fault> {
    let partitions = topic(settings, stream, &stream.topic).await?;
    if let Some(letters) = &stream.dead_letters.topic {
        let found = topic(settings, stream, letters).await;
        found.map_err(|fault| {
            fault.advise(format!("stream `{}` sends its dead letters there", stream.name))
        })?;
    }
    Ok(partitions)
}

async fn topic(settings: &Settings, stream: &Stream, topic: &str) -> Result<usize, Fault> {
    let server = format!("Kafka at {}", settings.kafka.brokers);
    let config = properties::reader(&settings.kafka, stream);
    let created = config.create::<BaseConsumer>();
    let consumer = created.map_err(|error| Fault::new(Code::KafkaRefuses, &server, error.to_string()))?;
    let consumer = std::sync::Arc::new(consumer);
    let asked = retried(&server, Retries::at_start(&settings.clickhouse), || {
        let (consumer, topic) = (std::sync::Arc::clone(&consumer), topic.to_owned());
        async move {
            let count = move || match lookup::partition_count(&consumer, &topic) {
                Ok(Some(count)) => Ok(count),
                Ok(None) => Err(format!("topic `{topic}` does not exist")),
                Err(error) => Err(error.to_string()),
            };
            tokio::task::spawn_blocking(count).await.map_err(|error| error.to_string())?
        }
    });
    asked.await.map_err(|error| {
        let missing = error.ends_with("does not exist");
        let code = if missing { Code::TopicMissing } else { Code::KafkaUnreachable };
        Fault::new(code, server, error)
    })
}

/// Asks until there is an answer or `retries` are spent.
async fn retried<T, F>(server: &str, retries: Retries, mut ask: impl FnMut() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let of = retries.attempts;
    let mut last = String::new();
    for attempt in 1..=of {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                telemetry::start_attempt(server, attempt, of, &error);
                last = error;
            }
        }
        if attempt < of {
            tokio::time::sleep(retries.pause).await;
        }
    }
    let tried = if of == 1 { String::new() } else { format!(" to {of} attempts, {:?} apart", retries.pause) };
    Err(format!("no answer{tried}: {last}"))
}
