//! Crash points: named places at which a debug build ends itself by SIGKILL, so that tests meet the moments that a
//! kill from outside hits once in a thousand times. `PH_CRASH_AT=<point>[:n]` arms one for the n-th time it is reached.
//! A release build has none of it and does not read the variable. Does not know what follows a crash.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// Whether this build can be told to crash.
pub const IN_THIS_BUILD: bool = cfg!(debug_assertions);
/// The variable that arms a point.
pub const VARIABLE: &str = "PH_CRASH_AT";
/// How long a request gets to leave the process before a point that lies behind it: long for a loopback, and far
/// below the time in which an answer that is not waited for could matter.
pub const TO_LEAVE: Duration = Duration::from_millis(30);

/// A place in a batch's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Records were taken and decoded; nothing is claimed (C1).
    Polled,
    /// A claim is about to be sent (C2).
    BeforeClaim,
    /// A claim was sent, its answer not read (C3).
    ClaimSent,
    /// A claim is stored, nothing of it inserted (C4).
    ClaimAcknowledged,
    /// Half of an insert's body was sent (C5).
    MidBody,
    /// The whole of an insert was sent, its answer not read (C6).
    BodySent,
    /// An insert is done, and nobody here knows (C7).
    ReplyLost,
    /// The first target has the batch, the others were sent nothing (C8).
    BetweenTables,
    /// Dead letters were handed to Kafka, their answers not read (C9).
    LettersSent,
    /// A commit that settles a batch was sent, its answer not read (C10).
    SettleSent,
    /// Partitions were asked back and are not released (C11).
    Revoking,
    /// A claim was found and built again, and not yet inserted (C12).
    Rebuilt,
    /// A claim that leaves out rows the table refuses was sent, its answer not read (C13).
    Isolating,
    /// One commit over several partitions that settles a batch and claims the next was sent, its answer not read (C14).
    SettleAndClaimSent,
}

/// Every point by its name, in the order in which a batch meets them. A crash twice in the same range (C15) is a
/// second process with a point of its own.
pub const POINTS: [(&str, Point); 14] = [
    ("polled", Point::Polled),
    ("before-claim", Point::BeforeClaim),
    ("claim-sent", Point::ClaimSent),
    ("claim-acknowledged", Point::ClaimAcknowledged),
    ("mid-body", Point::MidBody),
    ("body-sent", Point::BodySent),
    ("reply-lost", Point::ReplyLost),
    ("between-tables", Point::BetweenTables),
    ("letters-sent", Point::LettersSent),
    ("settle-sent", Point::SettleSent),
    ("revoking", Point::Revoking),
    ("rebuilt", Point::Rebuilt),
    ("isolating", Point::Isolating),
    ("settle-and-claim-sent", Point::SettleAndClaimSent),
];

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    point: Point,
    at: u32,
    reached: AtomicU32,
}

/// What was said is no point.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={said} names no crash point; write one of {}, with `:n` for the n-th time", names())]
pub struct NoSuchPoint {
    said: String,
}

fn names() -> String {
    POINTS.map(|(name, _)| name).join(", ")
}

/// Arms the point that the environment names; in a release build does nothing.
///
/// # Errors
/// When it names none of [`POINTS`].
pub fn arm() -> Result<(), NoSuchPoint> {
    let said = if IN_THIS_BUILD { std::env::var(VARIABLE).ok() } else { None };
    if let Some(said) = said {
        let (point, at) = parse(&said).ok_or(NoSuchPoint { said })?;
        // A second call finds the first one's point, which is the same.
        ARMED.get_or_init(|| Armed { point, at, reached: AtomicU32::new(0) });
    }
    Ok(())
}

fn parse(said: &str) -> Option<(Point, u32)> {
    let (name, at) = said.split_once(':').unwrap_or((said, "1"));
    let (_, point) = POINTS.iter().find(|(known, _)| *known == name)?;
    Some((*point, at.parse().ok().filter(|at| *at > 0)?))
}

/// The process is at `point`; it may end here.
pub fn reached(point: Point) {
    reached_after(point, Duration::ZERO);
}

/// The same, where what was just sent needs `wait` to leave the process.
pub fn reached_after(point: Point, wait: Duration) {
    let Some(armed) = armed(point) else { return };
    let times = armed.reached.fetch_add(1, Ordering::Relaxed) + 1;
    if times == armed.at {
        thread::sleep(wait);
        tracing::warn!(?point, times, "crash point reached; killed by itself");
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            thread::park();
        }
    }
}

/// Whether the process ends the next time it is at `point`.
#[must_use]
pub fn is_next(point: Point) -> bool {
    armed(point).is_some_and(|armed| armed.reached.load(Ordering::Relaxed) + 1 == armed.at)
}

fn armed(point: Point) -> Option<&'static Armed> {
    if !IN_THIS_BUILD {
        return None;
    }
    ARMED.get().filter(|armed| armed.point == point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_said_by_its_name_and_how_often_it_is_passed_before() {
        assert_eq!(parse("polled"), Some((Point::Polled, 1)));
        assert_eq!(parse("reply-lost:7"), Some((Point::ReplyLost, 7)));
        for wrong in ["", "polled:", "polled:0", "polled:-1", "Polled", "nowhere:2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_that_are_known() {
        let told = NoSuchPoint { said: "nowhere".to_owned() }.to_string();
        assert!(POINTS.iter().all(|(name, _)| told.contains(name)), "{told}");
    }

    #[test]
    fn no_profile_that_is_shipped_switches_debug_assertions_on() {
        assert_eq!(IN_THIS_BUILD, cfg!(debug_assertions));
        let manifest = include_str!("../../../../Cargo.toml");
        let profiles = manifest.split("\n[").filter(|part| part.starts_with("profile."));
        // The simulation's: only a crate that is never shipped is built by it.
        let shipped = profiles.filter(|part| !part.starts_with("profile.sim]"));
        let with_assertions: Vec<&str> = shipped.filter(|part| part.contains("debug-assertions")).collect();
        assert!(with_assertions.is_empty(), "{with_assertions:?}");
        assert!(!manifest.contains("profile.release.debug-assertions"));
    }
}
