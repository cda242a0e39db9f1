//! What is said and counted when a lane's valve opens or closes by a step. The valve itself is the core's.

use std::thread;

use pumphouse_core::pump::Input;

use super::lane::Lane;
use crate::telemetry::{self, Turn, TurnedBy};

impl Lane {
    /// Tells a change of the opening, once each.
    pub(super) fn heed_opening(&mut self, by: TurnedBy) {
        let opening = self.pump.opening();
        if opening == self.opening {
            return;
        }
        let before = std::mem::replace(&mut self.opening, opening);
        self.report.opening(opening);
        let turn = Turn { before, opening, by, fullest: self.shared.fullest.get() };
        let thread = thread::current();
        let lane = thread.name().and_then(|name| name.rsplit_once('/')).map_or("", |(_, number)| number);
        telemetry::valve_turned(&self.shared.stream.name, lane, &turn);
    }
}

/// What kind of fact this is to the valve.
pub(super) fn turned_by(input: &Input) -> TurnedBy {
    match input {
        Input::Pressure(_) => TurnedBy::Reading,
        Input::InsertRefused(..) | Input::Strained(_) => TurnedBy::Refusal,
        _ => TurnedBy::Time,
    }
}
