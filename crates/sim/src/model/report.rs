//! Exploring a world, and what is said about it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use pumphouse_core::claim::BatchId;
use pumphouse_core::offset::Partition;
use stateright::{Checker, HasDiscoveries, Model};

use super::Small;
use super::action::Action;
use super::state::{Asked, Entries, State};
use super::step::JITTERLESS;
use super::world::{Seen, World};

/// What exploring a world gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// The world.
    pub world: World,
    /// Different states.
    pub states: usize,
    /// Events between them.
    pub events: usize,
    /// Events of the longest of the shortest ways to a state.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What was reached.
    pub seen: BTreeSet<Seen>,
    /// The first broken promise and the events that lead to it.
    pub broken: Option<(&'static str, Vec<String>)>,
}

impl Report {
    /// What the world is there to reach and was not reached.
    #[must_use]
    pub fn missed(&self) -> Vec<Seen> {
        self.world.reaches.iter().copied().filter(|seen| !self.seen.contains(seen)).collect()
    }

    /// One line for machines.
    #[must_use]
    pub fn json(&self) -> String {
        let (promise, events) = self.broken.clone().unzip();
        let object = serde_json::json!({
            "world": self.world.name, "right": self.is_right(), "states": self.states, "events": self.events,
            "depth": self.depth, "seconds": self.took.as_secs_f64(), "broken": promise, "trace": events,
            "reached": self.seen.iter().map(|seen| format!("{seen:?}")).collect::<Vec<_>>(),
            "missed": self.missed().iter().map(|seen| format!("{seen:?}")).collect::<Vec<_>>(),
        });
        format!("{object}\n")
    }

    /// Whether it is as it should be: every promise kept and everything reached, or a defect found out.
    #[must_use]
    pub fn is_right(&self) -> bool {
        match self.world.defect {
            None => self.broken.is_none() && self.missed().is_empty(),
            Some(_) => self.broken.is_some(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_right() { "ok" } else { "WRONG" };
        writeln!(
            f,
            "{verdict:6} {:20} {:>10} states {:>10} events  depth {:>3}  {:>7.1} s  {}",
            self.world.name,
            self.states,
            self.events,
            self.depth,
            self.took.as_secs_f64(),
            self.world.about
        )?;
        if let Some((promise, events)) = &self.broken {
            writeln!(f, "       broken after {} events: {promise}", events.len())?;
            if !self.is_right() {
                events.iter().try_for_each(|event| writeln!(f, "    {event}"))?;
            }
        } else if !self.missed().is_empty() {
            writeln!(f, "       never reached: {:?}", self.missed())?;
        }
        Ok(())
    }
}

/// As many threads as the machine has to offer.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Visits every state of a world, on `threads` threads; with one thread a trace is a shortest one.
#[must_use]
pub fn explore(world: World, threads: usize) -> Report {
    let begun = Instant::now();
    let small = Small::new(world);
    let checker =
        small.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    let broken = broken.map(|(promise, path)| (promise, trace(&path.into_vec())));
    Report {
        world,
        states: checker.unique_state_count(),
        events: checker.state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        seen: small.seen(),
        broken,
    }
}

/// The events of a path, members by name, each with what Kafka holds afterwards.
fn trace(path: &[(State, Option<Action>)]) -> Vec<String> {
    let after = path.iter().skip(1).map(|(state, _)| state);
    path.iter()
        .zip(after)
        .filter_map(|((state, action), next)| action.map(|a| line(state, a, next)))
        .collect()
}

fn line(state: &State, action: Action, next: &State) -> String {
    let name = |at: usize| char::from(b'A' + state.members[at].name);
    let mut text = match action {
        Action::Answer(at, asked, reply) => {
            format!("{}: {} is answered: {reply:?}", name(at), question(&state.members[at].asked[asked]))
        }
        Action::Fetch(at, partition) => format!("{} takes a record of partition {partition}", name(at)),
        Action::Wake(at) => format!("{} wakes", name(at)),
        Action::Assign(at, mask) => {
            format!("{} is given partitions {}", name(at), list(&mask.of(&state.unassigned())))
        }
        Action::Notice(at) => format!("{} learns that the group went on without it", name(at)),
        Action::Crash(at) => format!("{} crashes", name(at)),
        Action::Revoke(at, mask) => {
            format!("{} is asked for partitions {}", name(at), list(&mask.of(&state.members[at].share)))
        }
        Action::Evict(at) => format!("the group goes on without {}", name(at)),
        Action::Drain(at) => format!("{} is asked to stop", name(at)),
        Action::Stray(at, mask) => {
            let insert = state.strays.iter().nth(at).map(|insert| question(&Asked::Insert(insert.clone())));
            format!("left behind: {} lands, parts {mask:?}", insert.unwrap_or_default())
        }
        Action::Late(at, mask) => {
            format!("left behind: a commit of {} is stored, parts {mask:?}", entries(&state.late[at]))
        }
        Action::Reset(partition) => format!("partition {partition} is set back by hand"),
        Action::Regress(partition) => format!("Kafka loses the last commit of partition {partition}"),
        Action::Retention(partition) => {
            format!("retention deletes the oldest record of partition {partition}")
        }
        Action::Hour => "an hour passes".into(),
    };
    let changed = next.stored.iter().filter(|(partition, stored)| state.stored[partition] != **stored);
    for (partition, stored) in changed {
        let claim = stored.metadata.as_ref().and_then(|metadata| metadata.claim.as_ref());
        let claim = claim.map_or_else(|| "no claim".into(), |claim| batch(claim.id));
        let _ = write!(text, "; {partition} stands at {} with {claim}", stored.offset);
    }
    if next.rows != state.rows {
        let _ = write!(
            text,
            "; rows {:?}",
            next.rows.iter().map(|((t, p, o), times)| (t.0, p.0, o.0, times.len())).collect::<Vec<_>>()
        );
    }
    text
}

fn question(asked: &Asked) -> String {
    match asked {
        Asked::Commit(_, written) => format!("a commit of {}", entries(written)),
        Asked::Fenced(_) => "a commit that is fenced".into(),
        Asked::Insert(insert) => {
            format!("an insert of {} into table {}", batch(insert.batch), insert.table.0)
        }
        Asked::ReadStored(claim) => format!("what stands beside the partitions of {}", batch(claim.id)),
        Asked::Read(id, _) => format!("what was read beside the partitions of {}", batch(*id)),
        Asked::Rebuild(claim) => format!("a request to build {} again", batch(claim.id)),
        Asked::Origins(_, partitions) => format!("what stands behind the starts of {}", list(partitions)),
        Asked::Gaps(_, missing) => format!("a gap of {} records", missing.len()),
        Asked::Survey(id, _) => format!("whether nobody can insert {} any more", batch(*id)),
        Asked::Isolate(claim, table) => {
            format!("which rows of {} table {} refuses", batch(claim.id), table.0)
        }
        Asked::Probe(claim) => format!("whether the table has rows of {}", batch(claim.id)),
    }
}

fn entries(entries: &Entries) -> String {
    let each = entries.iter().map(|(partition, (offset, metadata))| {
        let claim = metadata.claim.as_ref().map_or_else(|| "no claim".into(), |claim| batch(claim.id));
        format!("{partition} at {offset} with {claim}")
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Batches by the order in which they were sealed.
fn batch(id: BatchId) -> String {
    format!("batch {}", id.0 / JITTERLESS)
}

fn list(partitions: &BTreeSet<Partition>) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
