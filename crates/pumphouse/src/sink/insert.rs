//! Carries out one `Insert` order and turns ClickHouse's answer into one of the core's three facts; the order for the
//! topic of the dead letters it passes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pumphouse_clickhouse::arrow_stream::Body;
use pumphouse_clickhouse::client::Client;
use pumphouse_clickhouse::exception::Kind;
use pumphouse_clickhouse::insert::{Doubt, Insert, InsertAnswer, Refusal as Refused};
use pumphouse_core::claim::Claim;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::pump::{Input, TableId};
use pumphouse_core::token::token;
use pumphouse_core::verdict::Refusal;
use pumphouse_core::window;

use super::budgets::{self, Budgets};
use super::mend::{Doubted, Trouble};
use super::payload::Payload;
use super::target::Target;
use super::topic::LetterTopic;
#[cfg(debug_assertions)]
use crate::drive::crash::{self, Point};
use crate::fault::{Code, Fault};
use crate::telemetry::event;

/// Attempts between two loud lines about a view that throws: about four minutes.
const LOUD_EVERY: u32 = 30;

/// One stream's way into ClickHouse.
pub struct Sink {
    /// The connection.
    pub client: Client,
    /// The tables, by [`TableId`].
    pub targets: Vec<Target>,
    /// The topic of the dead letters, whose [`TableId`] comes after those of the tables.
    pub letter_topic: Option<Arc<LetterTopic>>,
    /// Limit for one insert.
    pub timeout: Duration,
    /// The user's own settings.
    pub settings: BTreeMap<String, String>,
    /// What may be added to each table while an insert is in doubt; none where one insert is sent at a time.
    pub budgets: Option<Arc<Budgets>>,
    /// The server in use; moves on only where nothing was sent.
    pub server: AtomicUsize,
}

/// One order.
#[derive(Clone, Debug)]
pub struct Order {
    /// The batch.
    pub claim: Claim,
    /// The table, or the topic of the dead letters.
    pub table: TableId,
    /// When ClickHouse has to refuse.
    pub deadline: ServerTime,
    /// Counted from 1.
    pub attempt: u32,
}

impl Sink {
    /// How many targets a batch has.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.targets.len() + usize::from(self.letter_topic.is_some())
    }

    /// Carries the order out once and says what is known afterwards.
    pub async fn insert(&self, order: &Order, payload: &Arc<Payload>) -> Input {
        if let Some(target) = self.targets.get(usize::from(order.table.0)) {
            return self.insert_into(target, order, payload).await;
        }
        match (&self.letter_topic, &payload.letters) {
            (Some(topic), Some(letters)) => Arc::clone(topic).deliver(order, Arc::clone(letters)).await,
            _ => Input::Inserted(order.claim.id, order.table),
        }
    }

    async fn insert_into(&self, target: &Target, order: &Order, payload: &Arc<Payload>) -> Input {
        let (batch, table) = (order.claim.id, order.table);
        let body = match encoded(order, payload).await {
            Ok(body) => body,
            Err(instead) => return instead,
        };
        let server = payload.in_doubt_at().unwrap_or_else(|| self.server.load(Ordering::Relaxed));
        let deadline = match self.deadline(target, server, order, payload).await {
            Ok(deadline) => deadline,
            Err(instead) => return instead,
        };
        let insert = Insert {
            database: &target.database,
            table: &target.table,
            columns: &target.columns,
            token: &token(batch, &target.name()),
            deadline_unix_seconds: deadline.0.div_euclid(1000),
            timeout: self.timeout,
            body,
            query_id: Some(&format!("ph-{batch}-{}-{}-{:08x}", table.0, order.attempt, fastrand::u32(..))),
            settings: &self.settings,
            url_index: server,
            has_views: target.has_views,
        };
        #[cfg(debug_assertions)]
        self.crash_within(&insert).await;
        let answer = self.client.insert(&insert).await;
        report(order, target, &answer);
        let fact = match answer {
            InsertAnswer::Done if payload.is_in_doubt() => {
                let sent = payload.part_rows.get(usize::from(table.0)).copied().unwrap_or_default();
                let there = payload.order_of_what_is_left(order);
                let order = there.as_ref().unwrap_or(order);
                look_again(&Doubted { sink: self, target, order, body, sent, server }).await
            }
            InsertAnswer::Done => Input::Inserted(batch, table),
            InsertAnswer::Unknown(doubt) => {
                payload.leave_in_doubt(server);
                payload.strained(strain_of(&doubt));
                match doubt {
                    Doubt::Server(error) if error.may_be_a_rows() => Input::InsertSuspect(batch, table),
                    _ => Input::InsertUnknown(batch, table),
                }
            }
            InsertAnswer::Refused(refused) => {
                Input::InsertRefused(batch, table, self.refusal(&refused, server))
            }
        };
        let is_refused = matches!(fact, Input::InsertRefused(..)) && !payload.is_in_doubt();
        if is_refused || matches!(fact, Input::Inserted(..)) {
            self.budgets.iter().for_each(|budgets| budgets.end(&target.name(), batch));
        }
        fact
    }

    /// Until when the insert may land; or, where it is not sent because the window has no room for it now, or may have
    /// forgotten its token, what is answered instead.
    async fn deadline(
        &self,
        target: &Target,
        server: usize,
        order: &Order,
        payload: &Payload,
    ) -> Result<ServerTime, Input> {
        let (batch, table, name) = (order.claim.id, order.table, target.name());
        let Some(budgets) = &self.budgets else { return Ok(order.deadline) };
        let not_sent = Input::InsertRefused(batch, table, Refusal::NotSent);
        if let Err(in_doubt) = budgets.begin(target, batch, payload.entries(usize::from(table.0))).await {
            let code = Code::InsertWaits.number();
            tracing::warn!(table = name, %batch, %in_doubt, code, "{}", event::INSERT_WAITS);
            return Err(not_sent);
        }
        if payload.is_forgotten() {
            // While it waited for room. Nobody would give that back.
            budgets.end(&name, batch);
            return Err(not_sent);
        }
        let claimed_at = order.claim.claimed_at;
        let is_first = window::is_surely_first(order.attempt, claimed_at, order.deadline, self.timeout);
        if is_first && !payload.is_in_doubt() {
            return Ok(order.deadline);
        }
        match budgets::remembered_until(&self.client, target, server, &order.claim, self.timeout).await {
            Ok(Some(until)) => Ok(order.deadline.min(until)),
            Ok(None) => {
                let code = Code::TokenForgotten.number();
                tracing::warn!(table = name, %batch, code, "{}", event::TOKEN_FORGOTTEN);
                Err(Input::TokenForgotten(batch, table))
            }
            Err(error) => {
                tracing::warn!(table = name, %batch, %error, "the table can't be asked for its window yet");
                Err(not_sent)
            }
        }
    }

    /// The two crash points inside an insert: what was sent until then is really sent.
    #[cfg(debug_assertions)]
    async fn crash_within(&self, insert: &Insert<'_>) {
        let whole = insert.body.bytes.len();
        for (point, bytes) in [(Point::MidBody, whole / 2), (Point::BodySent, whole)] {
            if crash::is_next(point) {
                let sent = self.client.insert_broken_off(insert, bytes).await;
                crash::reached_after(point, crash::TO_LEAVE);
                drop(sent);
            } else {
                crash::reached(point);
            }
        }
    }

    fn refusal(&self, refused: &Refused, server: usize) -> Refusal {
        match refused {
            Refused::NotSent(_) => {
                self.server.store((server + 1) % self.client.url_count().max(1), Ordering::Relaxed);
                Refusal::NotSent
            }
            Refused::Server(error) => refusal_of(error.kind),
        }
    }
}

/// The rows of a table as they are sent; or, where there are none or they can't be encoded, what is answered instead.
async fn encoded<'a>(order: &Order, payload: &'a Arc<Payload>) -> Result<&'a Body, Input> {
    let (batch, table) = (order.claim.id, order.table);
    match payload.body(usize::from(table.0)).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(Input::Inserted(batch, table)),
        Err(error) => {
            tracing::error!(%batch, %error, "a batch could not be encoded");
            Err(Input::InsertRefused(batch, table, Refusal::Block))
        }
    }
}

/// What the server lacks that failed an insert, where that is a matter of the valve.
fn strain_of(doubt: &Doubt) -> Option<Refusal> {
    let Doubt::Server(error) = doubt else { return None };
    Some(refusal_of(error.kind))
        .filter(|refusal| matches!(refusal, Refusal::TooManyParts | Refusal::Overloaded))
}

/// A retry that is answered as done may have met a token whose rows the server lost when it was killed.
async fn look_again(doubted: &Doubted<'_>) -> Input {
    let (batch, table) = (doubted.order.claim.id, doubted.order.table);
    match doubted.make_whole().await {
        Ok(()) => Input::Inserted(batch, table),
        Err(Trouble::Halt(refusal)) => Input::InsertRefused(batch, table, refusal),
        Err(Trouble::Unanswered(error)) => {
            let (table_name, code) = (doubted.target.name(), Code::InsertInDoubt.number());
            tracing::warn!(table = table_name, %batch, code, error, "{}", event::INSERT_RETRIED);
            Input::InsertUnknown(batch, table)
        }
    }
}

fn report(order: &Order, target: &Target, answer: &InsertAnswer) {
    let (answer, code, error) = match answer {
        InsertAnswer::Done => return,
        InsertAnswer::Refused(refused) => {
            let code = match refused {
                Refused::NotSent(_) => None,
                Refused::Server(error) => code_of(refusal_of(error.kind)),
            };
            ("refused", code, refused.to_string())
        }
        InsertAnswer::Unknown(doubt) => ("in doubt", Some(doubtful(doubt)), doubt.to_string()),
    };
    let (table, batch) = (target.name(), order.claim.id);
    if code == Some(Code::ViewThrows) && is_told_loudly(order.attempt) {
        let what = format!("batch {batch} is in doubt, attempt {}: {error}", order.attempt);
        let fault = Fault::new(Code::ViewThrows, format!("insert into `{table}`"), what);
        tracing::error!(%table, %batch, code = fault.code.number(), error = %fault, "{}", event::INSERT_RETRIED);
        return;
    }
    let code = code.map(Code::number);
    tracing::warn!(%table, %batch, attempt = order.attempt, answer, code, error, "{}", event::INSERT_RETRIED);
}

/// A view that throws for the better part of a minute needs a person, and again every few minutes.
fn is_told_loudly(attempt: u32) -> bool {
    attempt % LOUD_EVERY == 10
}

/// The page that says most about a doubt: what the server lacks where it said so, as long as it is waited for.
fn doubtful(doubt: &Doubt) -> Code {
    let said = match doubt {
        Doubt::Server(error) if error.view.is_some() => Some(Code::ViewThrows),
        Doubt::Server(error) => code_of(refusal_of(error.kind)),
        _ => None,
    };
    said.filter(|code| code.ends().is_none()).unwrap_or(Code::InsertInDoubt)
}

/// The page that says what to do about a refusal; none where the server was not even reached.
pub(crate) fn code_of(refusal: Refusal) -> Option<Code> {
    match refusal {
        Refusal::NotSent => None,
        Refusal::TooManyParts => Some(Code::TooManyParts),
        Refusal::Overloaded => Some(Code::ServerOutOfMemory),
        Refusal::ReadOnly => Some(Code::TableReadOnly),
        Refusal::Deadline => Some(Code::DeadlinePassed),
        Refusal::Access => Some(Code::AccessDenied),
        Refusal::Missing => Some(Code::TableGone),
        Refusal::Row | Refusal::Block => Some(Code::BlockRefused),
        Refusal::Other => Some(Code::InsertUnknown),
        Refusal::Unmended => Some(Code::RowsUnmended),
        Refusal::Doubled => Some(Code::BatchDoubled),
    }
}

/// The core's view of a proven refusal.
pub(crate) fn refusal_of(kind: Kind) -> Refusal {
    match kind {
        Kind::TooManyParts => Refusal::TooManyParts,
        Kind::Memory | Kind::Overloaded | Kind::Timeout | Kind::Replica => Refusal::Overloaded,
        Kind::ReadOnly => Refusal::ReadOnly,
        Kind::Deadline => Refusal::Deadline,
        Kind::Access => Refusal::Access,
        Kind::MissingTable | Kind::ColumnMismatch | Kind::Setting => Refusal::Missing,
        Kind::BadRow => Refusal::Row,
        Kind::Block => Refusal::Block,
        Kind::Unknown => Refusal::Other,
    }
}
