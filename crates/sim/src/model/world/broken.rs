//! Worlds in which the outside breaks a rule of its own, to see that the model would notice. Not promises of the pump.

use super::{Allows, Defect, Faults, LEAST, NO_FAULTS, World};

/// Worlds whose outside breaks a rule: each of them has to be found out.
pub const BROKEN_WORLDS: &[World] = &[
    World {
        name: "forgotten tokens",
        about: "ClickHouse remembers no token",
        faults: Faults { lost_inserts: 1, ..NO_FAULTS },
        defect: Some(Defect::ForgetsTokens),
        ..LEAST
    },
    World {
        name: "late commits",
        about: "Kafka takes commits of an older generation",
        faults: Faults { lost_commits: 1, ..NO_FAULTS },
        defect: Some(Defect::TakesLateCommits),
        ..LEAST
    },
    World {
        name: "wrong reads",
        about: "a claim is seen on partitions that moved on without it",
        faults: Faults { lost_commits: 1, torn_commits: 1, ..NO_FAULTS },
        defect: Some(Defect::SeesClaimsEverywhere),
        ..LEAST
    },
    World {
        name: "no deadlines",
        about: "ClickHouse does not look at deadlines, and hours pass",
        faults: Faults { crashes: 1, hours: 1, ..NO_FAULTS },
        allows: Allows::Halts,
        defect: Some(Defect::IgnoresDeadlines),
        ..LEAST
    },
    World {
        name: "other rows",
        about: "a batch that is built again lacks a record",
        faults: Faults { crashes: 1, ..NO_FAULTS },
        defect: Some(Defect::RebuildsLess),
        ..LEAST
    },
];
