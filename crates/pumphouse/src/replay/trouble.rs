//! What a replay says when it can't go on, and how long it asks before that.

use std::future::Future;
use std::time::Duration;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_core::replay::{Answer, Entry, Stop};
use pumphouse_core::verdict::Refusal;

use crate::config::settings::Stream;
use crate::fault::{Code, Fault};
use crate::sink::insert::{code_of, refusal_of};

/// Questions that get no answer before a replay ends; it loses nothing by that.
const TRIES_MAX: u32 = 60;
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Asks until there is an answer, or none can be expected any more.
pub(super) async fn asked<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, QueryError>>,
{
    let mut attempt = 0;
    loop {
        attempt += 1;
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => again(&error, attempt).await?,
        }
    }
}

/// Waits before the same question is asked again; an error where that is of no use.
pub(super) async fn again(error: &QueryError, attempt: u32) -> Result<(), Fault> {
    let refusal = match error {
        QueryError::NotSent(_) | QueryError::Lost(_) => Refusal::NotSent,
        QueryError::Server(error) => refusal_of(error.kind),
        QueryError::Answer(_) => Refusal::Other,
    };
    match refusal {
        Refusal::NotSent | Refusal::Overloaded if attempt < TRIES_MAX => {
            tracing::debug!(%error, attempt, "ClickHouse can't be asked yet");
            tokio::time::sleep(AGAIN_AFTER).await;
            Ok(())
        }
        Refusal::Access => Err(unanswered(Code::AccessDenied, error)),
        Refusal::Missing => Err(unanswered(Code::TableGone, error)),
        _ => Err(unanswered(Code::ClickHouseUnreachable, error)),
    }
}

fn unanswered(code: Code, error: &QueryError) -> Fault {
    Fault::new(code, "a question to ClickHouse", error.to_string())
        .then("the replay ends; the next one finishes what is under way")
}

/// What became of letters could not be noted.
pub(super) fn unwritten(stream: &str, answer: Answer) -> Fault {
    let code = match answer {
        Answer::Refused(refusal) => code_of(refusal).unwrap_or(Code::ClickHouseUnreachable),
        Answer::Done | Answer::Unknown => Code::InsertInDoubt,
    };
    Fault::new(code, on(stream), "what became of letters could not be noted").then(OPEN)
}

const OPEN: &str = "the replay ends; these letters are open, and the next replay looks at them again";

/// Why a replay stopped for a person.
pub(super) fn stopped(stream: &Stream, reason: &Stop) -> Fault {
    match reason {
        Stop::Undecidable(entry) => undecided(stream, entry),
        Stop::Unseen(number) => Fault::new(
            Code::ReplayUndecided,
            on(&stream.name),
            format!(
                "ClickHouse says it took entry {number} of the log, or its settling, and it is not there"
            ),
        ),
        Stop::Refused(refusal) => Fault::new(
            code_of(*refusal).unwrap_or(Code::InsertUnknown),
            on(&stream.name),
            "ClickHouse refused an insert and would refuse it again; its answer is in the log above",
        )
        .then("the replay ends; the next one finishes its entry of the log first"),
    }
}

fn undecided(stream: &Stream, entry: &Entry) -> Fault {
    let what = format!(
        "entry {} of the log ({}) was left by a replay that ended; its tokens no longer decide, and a table of the \
         stream can't tell whether its rows are there",
        entry.number, entry.id
    );
    Fault::new(Code::ReplayUndecided, on(&stream.name), what)
}

fn on(stream: &str) -> String {
    format!("replay of stream `{stream}`")
}
