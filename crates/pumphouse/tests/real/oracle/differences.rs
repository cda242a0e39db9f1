//! The declared differences.

use pumphouse_core::schema::ColumnType;

use super::compare::Verdict;
use super::value::{Json, Place, places};

/// Which way the two disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// ClickHouse stores something.
    OnlyPumphouseRefuses,
    /// pumphouse stores something.
    OnlyClickHouseRefuses,
    /// Both store, and not the same.
    StoredDifferently,
}

/// One disagreement.
pub(super) struct Case<'c> {
    pub(super) of: &'c ColumnType,
    pub(super) has_unit: bool,
    pub(super) json: &'c Json,
    pub(super) ours: &'c Verdict,
    pub(super) theirs: &'c Verdict,
}

/// A class of disagreements.
pub(super) struct Difference {
    pub(super) name: &'static str,
    pub(super) side: Side,
    pub(super) why: &'static str,
    code: &'static str,
    at: fn(&Case<'_>, &Place<'_>) -> bool,
}

impl Difference {
    pub(super) fn holds(&self, case: &Case<'_>) -> bool {
        case.ours.code() == self.code && places(case.of, case.json).iter().any(|place| (self.at)(case, place))
    }
}

pub(super) const DIFFERENCES: &[Difference] = &[];
