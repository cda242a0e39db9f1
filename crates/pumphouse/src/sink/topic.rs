//! The topic of a stream's dead letters: produces those of one batch and says what is known afterwards, in the same
//! three answers as an insert. Offsets pass only when the topic has every letter; a letter may be there twice after a
//! crash or an answer that never came, under the same key. Does not know what a letter says.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use parking_lot::{Condvar, Mutex};
use pumphouse_core::pump::Input;
use pumphouse_core::verdict::Refusal;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::insert::Order;
use super::letter::{Letter, Naming, Part};
use crate::config::settings::{Kafka, Stream};
use crate::drive::crash;
use crate::fault::Code;
use crate::source::kafka::properties;
use crate::telemetry::event;

/// Pause before a letter is offered to a full queue again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The letters of one batch, and which of them the topic has.
pub struct Letters {
    batch: RecordBatch,
    states: Mutex<Vec<State>>,
}

#[derive(Clone, Copy)]
enum State {
    Waiting(Part),
    Acknowledged,
}

impl Letters {
    /// The letters of a sealed batch; the topic has none of them.
    #[must_use]
    pub fn new(batch: RecordBatch) -> Self {
        let states = vec![State::Waiting(Part::Whole); batch.num_rows()];
        Self { batch, states: Mutex::new(states) }
    }
}

/// One stream's way into the topic. Its lanes share the producer.
pub struct LetterTopic {
    topic: String,
    naming: Naming,
    config: ClientConfig,
    producer: Mutex<Option<Arc<Producer>>>,
}

type Producer = ThreadedProducer<Deliveries>;

/// Why the topic does not have every letter.
enum Failure {
    /// It may have them; what is not acknowledged goes again.
    Unknown(String),
    /// It refuses them, and would do so again.
    Refused(Refusal, String),
}

impl LetterTopic {
    /// The stream's topic, if it has one. Its answers come within `timeout`; nothing is sent yet.
    #[must_use]
    pub fn of(kafka: &Kafka, stream: &Stream, timeout: Duration) -> Option<Self> {
        Some(Self {
            topic: stream.dead_letters.topic.clone()?,
            naming: Naming::of(stream),
            config: properties::producer(kafka, timeout),
            producer: Mutex::new(None),
        })
    }

    /// Sends what the topic does not have yet, and says what is known afterwards.
    pub async fn deliver(self: Arc<Self>, order: &Order, letters: Arc<Letters>) -> Input {
        let (batch, target, topic) = (order.claim.id, order.table, self.topic.clone());
        let posted = tokio::task::spawn_blocking(move || self.post(&letters)).await;
        let posted = posted.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let (attempt, happened) = (order.attempt, event::LETTERS_RETRIED);
        match posted {
            Ok(()) => Input::Inserted(batch, target),
            Err(Failure::Unknown(error)) => {
                tracing::warn!(topic, %batch, attempt, answer = "in doubt", error, "{happened}");
                Input::InsertUnknown(batch, target)
            }
            Err(Failure::Refused(refusal, error)) => {
                let code = Code::LettersRefused.number();
                tracing::warn!(topic, %batch, attempt, answer = "refused", code, error, "{happened}");
                Input::InsertRefused(batch, target, refusal)
            }
        }
    }

    fn post(&self, letters: &Letters) -> Result<(), Failure> {
        let producer = self.producer().map_err(|error| judge(&error))?;
        let mut states = letters.states.lock();
        let posted = self.post_waiting(&producer, &letters.batch, &mut states);
        let Some((code, reason)) = producer.client().fatal_error() else { return posted };
        // It takes nothing any more; a new one begins with a state of its own.
        *self.producer.lock() = None;
        Err(match judge(&KafkaError::MessageProduction(code)) {
            Failure::Unknown(_) => Failure::Unknown(reason),
            Failure::Refused(refusal, _) => Failure::Refused(refusal, reason),
        })
    }

    fn post_waiting(
        &self,
        producer: &Producer,
        batch: &RecordBatch,
        states: &mut [State],
    ) -> Result<(), Failure> {
        let waiting = |(row, state): (usize, &State)| match state {
            State::Waiting(part) => Some((Letter { batch, row }, *part)),
            State::Acknowledged => None,
        };
        let waiting: Vec<_> = states.iter().enumerate().filter_map(waiting).collect();
        let (mut too_large, mut failure) = (Vec::new(), None);
        for (row, answer) in self.send(producer, &waiting) {
            match answer {
                Ok(()) => states[row] = State::Acknowledged,
                Err(error) if is_too_large(&error) => too_large.push(row),
                Err(error) => failure = Some(worse(failure, judge(&error))),
            }
        }
        for row in too_large {
            if let Err(refused) = self.post_large(producer, Letter { batch, row }, &mut states[row]) {
                failure = Some(worse(failure, refused));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// A letter whose batch was too large: alone, if it was not, and then with less of it until the topic takes it.
    fn post_large(&self, producer: &Producer, letter: Letter<'_>, state: &mut State) -> Result<(), Failure> {
        let State::Waiting(mut part) = *state else { return Ok(()) };
        let mut is_proven = letter.size(part) >= properties::BATCH_BYTES;
        loop {
            if is_proven {
                part = part.less().ok_or_else(|| {
                    let what = "the topic takes no message of the size of a letter without its record";
                    Failure::Refused(Refusal::Block, what.to_owned())
                })?;
                *state = State::Waiting(part);
            }
            match self.send(producer, &[(letter, part)]).pop() {
                Some((_, Err(error))) if is_too_large(&error) => is_proven = true,
                Some((_, Err(error))) => return Err(judge(&error)),
                Some((_, Ok(()))) | None => {
                    *state = State::Acknowledged;
                    return Ok(());
                }
            }
        }
    }

    /// Hands the letters over and waits for all answers, which librdkafka gives within the time-out.
    fn send(&self, producer: &Producer, letters: &[(Letter<'_>, Part)]) -> Vec<(usize, Answer)> {
        let round = Arc::new(Round::default());
        for (letter, part) in letters {
            let key = letter.key(self.naming);
            let ticket = Box::new(Ticket { round: Arc::clone(&round), row: letter.row });
            let mut record = BaseRecord::with_opaque_to(&self.topic, ticket)
                .key(&key)
                .payload(letter.value(*part))
                .headers(letter.headers(*part));
            while let Err((error, unsent)) = producer.send(record) {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || producer.in_flight_count() == 0 {
                    let is_larger_than_the_queue = KafkaError::MessageProduction(TOO_LARGE);
                    round.answer(letter.row, Err(if is_full { is_larger_than_the_queue } else { error }));
                    break;
                }
                round.wait_a_moment();
                record = unsent;
            }
        }
        if !letters.is_empty() {
            crash::reached_after(crash::Point::LettersSent, crash::TO_LEAVE);
        }
        round.wait_for(letters.len())
    }

    fn producer(&self) -> Result<Arc<Producer>, KafkaError> {
        let mut producer = self.producer.lock();
        if let Some(producer) = &*producer {
            return Ok(Arc::clone(producer));
        }
        let new: Arc<Producer> = Arc::new(self.config.create_with_context(Deliveries)?);
        *producer = Some(Arc::clone(&new));
        Ok(new)
    }
}

const TOO_LARGE: RDKafkaErrorCode = RDKafkaErrorCode::MessageSizeTooLarge;

/// Said by librdkafka before it sends, and by the broker of a whole batch.
fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(TOO_LARGE)
}

/// A refusal weighs more than a doubt: the one is for a person, the other for the next attempt.
fn worse(so_far: Option<Failure>, failure: Failure) -> Failure {
    match so_far {
        Some(so_far @ Failure::Refused(..)) => so_far,
        _ => failure,
    }
}

/// What follows when a letter was not acknowledged.
///
/// | said | then |
/// |---|---|
/// | no answer in time, brokers or replicas away, the producer's own state | again |
/// | no such topic | halt |
/// | not authorised | halt |
/// | the topic's rules for records | halt |
/// | anything else | halt |
fn judge(error: &KafkaError) -> Failure {
    use RDKafkaErrorCode as E;
    let Some(code) = error.rdkafka_error_code() else {
        return Failure::Refused(Refusal::Other, error.to_string());
    };
    let refusal = match code {
        E::MessageTimedOut
        | E::OperationTimedOut
        | E::RequestTimedOut
        | E::BrokerTransportFailure
        | E::AllBrokersDown
        | E::Resolve
        | E::PurgeQueue
        | E::PurgeInflight
        | E::LeaderNotAvailable
        | E::NotLeaderForPartition
        | E::ReplicaNotAvailable
        | E::BrokerNotAvailable
        | E::NetworkException
        | E::NotEnoughReplicas
        | E::NotEnoughReplicasAfterAppend
        | E::KafkaStorageError
        | E::InvalidMessage
        | E::ThrottlingQuotaExceeded
        | E::Fatal
        | E::OutOfOrderSequenceNumber
        | E::DuplicateSequenceNumber
        | E::InvalidProducerEpoch
        | E::UnknownProducerId => return Failure::Unknown(code.to_string()),
        E::UnknownTopic | E::UnknownTopicOrPartition | E::UnknownPartition | E::InvalidTopic => {
            Refusal::Missing
        }
        E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed => Refusal::Access,
        E::InvalidRecord | E::PolicyViolation | E::InvalidTimestamp | E::UnsupportedForMessageFormat => {
            Refusal::Block
        }
        _ => Refusal::Other,
    };
    Failure::Refused(refusal, code.to_string())
}

type Answer = Result<(), KafkaError>;

/// The answers to one sending.
#[derive(Default)]
struct Round {
    answers: Mutex<Vec<(usize, Answer)>>,
    arrived: Condvar,
}

impl Round {
    fn answer(&self, row: usize, answer: Answer) {
        self.answers.lock().push((row, answer));
        self.arrived.notify_one();
    }

    fn wait_a_moment(&self) {
        self.arrived.wait_for(&mut self.answers.lock(), FULL_PAUSE);
    }

    fn wait_for(&self, count: usize) -> Vec<(usize, Answer)> {
        let mut answers = self.answers.lock();
        self.arrived.wait_while(&mut answers, |answers| answers.len() < count);
        std::mem::take(&mut answers)
    }
}

/// Goes with a letter through librdkafka and comes back with its answer.
struct Ticket {
    round: Arc<Round>,
    row: usize,
}

struct Deliveries;

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        // Each letter that fails says so; this is told many times a second while brokers are away.
        tracing::debug!(%error, reason, "the producer of dead letters reports a failure");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let answer = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        ticket.round.answer(ticket.row, answer);
    }
}

#[cfg(test)]
#[path = "topic_tests.rs"]
mod tests;
