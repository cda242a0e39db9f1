//! Where a lane stands: its lag and memory, and whether its group answers it. Says so, and has the lane join anew where
//! the group stays silent; how long that takes is `patience`'s to say.

use pumphouse_core::offset::Partition;

use super::lane::Lane;
use super::patience::Turn;
use super::report::Lag;
use crate::fault::Code;
use crate::telemetry::event;

impl Lane {
    /// The group owes this lane an answer from now on. Under the newer protocol it owes none: a lane without partitions is
    /// told nothing, and there is no request whose answer could be lost.
    pub(super) fn await_group(&mut self) {
        if self.shared.member.get("group.protocol") == Some("consumer") {
            return;
        }
        let moment = self.shared.clock.moment();
        self.patience.begin(moment.now, moment.entropy);
    }

    /// Tells that the group is silent, and joins it anew where that goes on.
    pub(super) fn heed_silence(&mut self) {
        if !self.patience.is_waiting() {
            return;
        }
        self.leaving.retain(|leaving| !leaving.is_finished());
        let is_leaving = !self.leaving.is_empty();
        let (stream, code) = (&self.shared.stream.name, Code::GroupSilent.number());
        let turn = self.patience.turn(self.shared.clock.now(), is_leaving);
        let anew = matches!(turn, Turn::JoinAnew { .. });
        match turn {
            Turn::Wait => {}
            Turn::Tell { waited, left } => {
                let left = left.as_secs();
                tracing::warn!(
                    stream,
                    code,
                    waited_s = waited.as_secs(),
                    joins_anew_in_s = left,
                    is_leaving,
                    "{}",
                    event::GROUP_SILENT
                );
            }
            Turn::JoinAnew { waited } => {
                tracing::warn!(
                    stream,
                    code,
                    waited_s = waited.as_secs(),
                    "{}; joining as a new member",
                    event::GROUP_SILENT
                );
            }
        }
        if anew {
            self.rejoin();
        }
    }

    pub(super) fn report_standing(&self) {
        let paused = self.pump.is_paused();
        if self.report.pause_changed(paused) {
            let name = if paused { event::PAUSED } else { event::RESUMED };
            tracing::debug!(stream = %self.shared.stream.name, held_bytes = self.pump.held_bytes(), "{name}");
        }
        // One log whose end is not known makes the sum unknown: zero would say that nothing waits. So does a group that
        // owes an answer: nobody may own the partitions.
        let behind = self.pump.committed_offsets().map(|(partition, offset)| {
            let (_, high) = self.membership.known_watermarks(partition)?;
            Some(high.saturating_sub(offset.0))
        });
        let owns_nothing_yet = self.owned.is_empty() && self.membership.owes_answer();
        let is_known = !self.patience.is_waiting() && !owns_nothing_yet;
        let lag = match behind.sum() {
            Some(_) if is_known && self.owned.is_empty() => Lag::NoPartition,
            Some(records) if is_known => Lag::Behind(records),
            _ => Lag::Unknown,
        };
        self.report.owns_first(self.owned.contains(&Partition(0)));
        self.report.standing(lag, self.pump.held_bytes());
    }
}
