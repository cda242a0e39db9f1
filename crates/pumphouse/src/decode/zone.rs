//! Local times of a zone as instants. The zones are the ones built into the program, not the machine's:
//! a batch that is decoded again elsewhere must give the same rows.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

/// A name that the IANA database does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownZone(pub(super) String);

/// Why a local time is not one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoInstant {
    /// The clocks skipped it.
    Skipped,
    /// The clocks showed it twice.
    Twice,
}

/// What a local time without an offset is read in.
pub(super) enum Zone {
    /// Its own instant.
    Utc,
    /// A zone with a history.
    Local(Box<Local>),
}

/// A zone, and the stretch of local time around the last question in which its offset holds.
pub(super) struct Local {
    zone: TimeZone,
    from: i64,
    to: i64,
    offset: i64,
}

impl Zone {
    /// The zone of this IANA name; UTC without one.
    pub(super) fn named(name: Option<&str>) -> Result<Self, UnknownZone> {
        let Some(name) = name else { return Ok(Self::Utc) };
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| UnknownZone(name.to_owned()))?;
        if zone == TimeZone::UTC || matches!(name, "UTC" | "Etc/UTC") {
            return Ok(Self::Utc);
        }
        Ok(Self::Local(Box::new(Local { zone, from: 0, to: 0, offset: 0 })))
    }

    /// The instant at which the zone's clocks show `local`; both in seconds from 1970-01-01 00:00:00.
    #[inline]
    pub(super) fn instant_of(&mut self, local: i64) -> Result<i64, NoInstant> {
        match self {
            Self::Utc => Ok(local),
            Self::Local(zone) => zone.instant_of(local),
        }
    }
}

impl Local {
    fn instant_of(&mut self, local: i64) -> Result<i64, NoInstant> {
        if !(self.from..self.to).contains(&local) {
            let Ok(as_utc) = Timestamp::from_second(local) else {
                // The last day of 9999: every column's range ends before it.
                return Ok(local);
            };
            let shown = Offset::UTC.to_datetime(as_utc);
            match self.zone.to_ambiguous_timestamp(shown).offset() {
                AmbiguousOffset::Unambiguous { offset } => self.learn(local, i64::from(offset.seconds())),
                AmbiguousOffset::Gap { .. } => return Err(NoInstant::Skipped),
                AmbiguousOffset::Fold { .. } => return Err(NoInstant::Twice),
            }
        }
        Ok(local - self.offset)
    }

    /// Notes that `offset` holds at `local`, and how far around it, up to the local times that the
    /// transitions before and after skip or show twice.
    fn learn(&mut self, local: i64, offset: i64) {
        self.offset = offset;
        (self.from, self.to) = (local, local + 1);
        let Ok(instant) = Timestamp::from_second(local - offset) else { return };
        let Ok(after) = Timestamp::from_second(local - offset + 1) else { return };
        let from = match self.zone.preceding(after).next() {
            Some(start) => self.beyond(start.timestamp(), -1, offset, i64::max),
            None => i64::MIN,
        };
        let to = match self.zone.following(instant).next() {
            Some(end) => self.beyond(end.timestamp(), 0, offset, i64::min),
            None => i64::MAX,
        };
        if (from..to).contains(&local) {
            (self.from, self.to) = (from, to);
        }
    }

    /// The local time of a transition by the offset on either side of it, whichever `pick` picks.
    fn beyond(&self, transition: Timestamp, other_side: i64, offset: i64, pick: fn(i64, i64) -> i64) -> i64 {
        let second = transition.as_second();
        let other = Timestamp::from_second(second + other_side).unwrap_or(transition);
        let other_offset = i64::from(self.zone.to_offset(other).seconds());
        second + pick(offset, other_offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local(text: &str) -> i64 {
        let shown: jiff::civil::DateTime = text.parse().expect(text);
        Offset::UTC.to_timestamp(shown).expect(text).as_second()
    }

    #[test]
    fn a_skipped_hour_and_a_repeated_one_are_told() {
        let mut berlin = Zone::named(Some("Europe/Berlin")).expect("a zone");
        for (shown, instant) in [
            ("2024-03-31T01:59:59", Ok("2024-03-31T00:59:59")),
            ("2024-03-31T02:00:00", Err(NoInstant::Skipped)),
            ("2024-03-31T02:59:59", Err(NoInstant::Skipped)),
            ("2024-03-31T03:00:00", Ok("2024-03-31T01:00:00")),
            ("2024-10-27T01:59:59", Ok("2024-10-26T23:59:59")),
            ("2024-10-27T02:00:00", Err(NoInstant::Twice)),
            ("2024-10-27T02:59:59", Err(NoInstant::Twice)),
            ("2024-10-27T03:00:00", Ok("2024-10-27T02:00:00")),
            ("2054-07-01T12:00:00", Ok("2054-07-01T10:00:00")),
        ] {
            assert_eq!(berlin.instant_of(local(shown)), instant.map(local), "{shown}");
        }
    }

    #[test]
    fn what_is_learnt_at_the_very_moment_of_a_transition_does_not_reach_back_behind_it() {
        for (at, before) in
            [("2024-03-31T03:00:00", "2024-03-30T12:00:00"), ("2024-10-27T03:00:00", "2024-10-26T12:00:00")]
        {
            let mut berlin = Zone::named(Some("Europe/Berlin")).expect("a zone");
            let alone = berlin.instant_of(local(before));
            let mut berlin = Zone::named(Some("Europe/Berlin")).expect("a zone");
            assert!(berlin.instant_of(local(at)).is_ok());
            assert_eq!(berlin.instant_of(local(before)), alone, "{before} after {at}");
        }
    }

    #[test]
    fn an_unknown_zone_is_told_at_once() {
        assert_eq!(Zone::named(Some("Europe/Berln")).err(), Some(UnknownZone("Europe/Berln".to_owned())));
        assert!(matches!(Zone::named(Some("UTC")), Ok(Zone::Utc)));
    }

    proptest! {
        #[test]
        fn what_was_learnt_never_differs_from_what_jiff_says(
            name in prop::sample::select(vec![
                "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
                "Pacific/Apia", "America/Sao_Paulo", "Europe/Dublin", "Antarctica/Troll",
            ]),
            near in -2_300_000_000_i64..4_000_000_000,
            steps in prop::collection::vec(-20_000_000_i64..20_000_000, 1..40))
        {
            let mut zone = Zone::named(Some(name)).expect("a zone");
            let truth = TimeZoneDatabase::bundled().get(name).expect("a zone");
            let mut shown = near;
            for step in steps {
                // Half of the questions are just around a transition.
                shown += step;
                let instant = Timestamp::from_second(shown).expect("in range");
                if let Some(next) = truth.following(instant).next().filter(|_| step % 2 == 0) {
                    shown = next.timestamp().as_second() + i64::from(next.offset().seconds()) + step % 7200;
                }
                let at = Offset::UTC.to_datetime(Timestamp::from_second(shown).expect("in range"));
                let expected = match truth.to_ambiguous_timestamp(at).offset() {
                    AmbiguousOffset::Unambiguous { offset } => Ok(shown - i64::from(offset.seconds())),
                    AmbiguousOffset::Gap { .. } => Err(NoInstant::Skipped),
                    AmbiguousOffset::Fold { .. } => Err(NoInstant::Twice),
                };
                prop_assert_eq!(zone.instant_of(shown), expected, "{} {}", name, at);
            }
        }
    }
}
