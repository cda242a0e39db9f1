//! The background audit of one stream: takes what its lanes settled, lets it rest, has it compared. Decides only when.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::report::LaneReport;
use crate::audit::lately::{Lately, Tallied};

/// How often what was settled is compared.
const AUDIT_EVERY: Duration = Duration::from_secs(30);
/// How long it rests before.
const SETTLED_FOR: Duration = Duration::from_secs(15);
/// A part that holds a row is made by an insert, some time before the row is settled.
const INSERTED_BEFORE: Duration = Duration::from_mins(5);

/// Starts it; what it finds is added up in `tallied`.
pub(super) fn keep_auditing(
    lately: Lately,
    lanes: Vec<Arc<LaneReport>>,
    clock: Arc<Clock>,
    tallied: Arc<Tallied>,
) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(AUDIT_EVERY).await;
            let now = clock.now();
            let rested = |lane: &Arc<LaneReport>| lane.take_settled(|at| now.since(at) >= SETTLED_FOR);
            let batches: Vec<_> = lanes.iter().flat_map(rested).collect();
            let Some(first) = batches.iter().map(|batch| batch.at).min() else { continue };
            lately.look(&batches, now.since(first) + INSERTED_BEFORE, &tallied).await;
        }
    });
}
