//! The value of a setting as a function of the rate of events, declared by points; and whether a change is worth making
//! now. Does not know what is set, on what, or how rates are measured.

use std::time::Duration;

use crate::moment::Time;

/// A change is worth making when the values differ by so many hundredths of what stands.
const STEP_PERCENT: u64 = 10;

/// Points in the order of their rates, of which there is at least one: events per second, and the value there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Curve {
    points: Vec<(u64, u64)>,
}

/// Why points make no curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACurve {
    /// There is none.
    #[error("no point")]
    Empty,
    /// Two of them.
    #[error("two values at {0} events/s")]
    Twice(u64),
}

impl Curve {
    /// A curve through these points, in whatever order they come.
    ///
    /// # Errors
    /// When there is no point, or two at one rate.
    pub fn new(mut points: Vec<(u64, u64)>) -> Result<Self, NotACurve> {
        points.sort_unstable();
        if points.is_empty() {
            return Err(NotACurve::Empty);
        }
        match points.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(NotACurve::Twice(pair[0].0)),
            None => Ok(Self { points }),
        }
    }

    /// The points, by rate.
    #[must_use]
    pub fn points(&self) -> &[(u64, u64)] {
        &self.points
    }

    /// The value at a rate: straight between two points, flat outside them, rounded to the nearest whole number.
    #[must_use]
    pub fn value_at(&self, rate: u64) -> u64 {
        let after = self.points.partition_point(|(at, _)| *at < rate);
        let Some(&(right, above)) = self.points.get(after) else {
            return self.points.last().map_or(0, |(_, value)| *value);
        };
        let Some(&(left, below)) = after.checked_sub(1).and_then(|before| self.points.get(before)) else {
            return above;
        };
        // From the lower end upwards: products of 64 bits fit into 128, and a half goes up on both kinds of lines.
        let (low, high, along) =
            if below <= above { (below, above, rate - left) } else { (above, below, right - rate) };
        let width = u128::from(right - left);
        let rise = (u128::from(high - low) * u128::from(along) + width / 2) / width;
        low.saturating_add(u64::try_from(rise).unwrap_or(u64::MAX))
    }

    /// What to set at a rate where `standing` is set: nothing while the two differ by less than a tenth. An end of the
    /// curve is reached whatever the difference.
    #[must_use]
    pub fn change(&self, rate: u64, standing: u64) -> Option<u64> {
        let value = self.value_at(rate);
        let difference = value.abs_diff(standing);
        let is_step = u128::from(difference) * 100 >= u128::from(standing) * u128::from(STEP_PERCENT);
        (difference > 0 && (is_step || self.is_outside(rate))).then_some(value)
    }

    /// Whether the rate lies at or beyond an end of the curve.
    fn is_outside(&self, rate: u64) -> bool {
        let ends = [self.points.first(), self.points.last()];
        let [Some((first, _)), Some((last, _))] = ends else { return false };
        rate <= *first || rate >= *last
    }
}

/// When a setting may be changed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pause {
    not_before: Option<Time>,
}

impl Pause {
    /// Whether it may be changed now.
    #[must_use]
    pub fn is_over(&self, now: Time) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    /// It was changed, or was tried in vain: not again for so long.
    pub fn begin(&mut self, now: Time, length: Duration) {
        self.not_before = Some(now.after(length));
    }
}

/// Events per second between two readings of the ends of a topic's partitions; nothing where no time has passed.
#[must_use]
pub fn rate(events: u64, within: Duration) -> Option<u64> {
    let millis = u64::try_from(within.as_millis()).ok().filter(|millis| *millis > 0)?;
    Some(events.saturating_mul(1000) / millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u64, u64)]) -> Curve {
        Curve::new(points.to_vec()).expect("points at different rates")
    }

    #[test]
    fn between_two_points_the_value_lies_on_the_line_and_outside_it_is_flat() {
        let rising = curve(&[(1_000_000, 20), (4_000_000, 50)]);
        let at = |rate| rising.value_at(rate);
        assert_eq!([at(0), at(1_000_000), at(2_500_000), at(4_000_000), at(9_000_000)], [20, 20, 35, 50, 50]);
        let falling = curve(&[(0, 100), (10, 0), (20, 5)]);
        let all: Vec<u64> = (0..=10).map(|tenth| falling.value_at(tenth * 2)).collect();
        assert_eq!(all, [100, 80, 60, 40, 20, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_value_is_rounded_to_the_nearest_whole_number() {
        let slow = curve(&[(0, 10), (4, 11)]);
        assert_eq!([1, 2, 3].map(|rate| slow.value_at(rate)), [10, 11, 11]);
        let falls = curve(&[(0, 11), (4, 10)]);
        assert_eq!([1, 2, 3].map(|rate| falls.value_at(rate)), [11, 11, 10]);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let whole = curve(&[(0, u64::MAX), (u64::MAX, 0)]);
        assert_eq!([whole.value_at(0), whole.value_at(u64::MAX)], [u64::MAX, 0]);
        assert_eq!(whole.value_at(u64::MAX / 2), u64::MAX / 2 + 1);
    }

    #[test]
    fn points_come_in_any_order_and_one_is_enough() {
        assert_eq!(curve(&[(5, 1), (1, 9)]).points(), [(1, 9), (5, 1)]);
        assert_eq!(curve(&[(5, 7)]).value_at(99), 7);
        assert_eq!(Curve::new(Vec::new()), Err(NotACurve::Empty));
        assert_eq!(Curve::new(vec![(5, 1), (5, 2)]), Err(NotACurve::Twice(5)));
    }

    #[test]
    fn less_than_a_tenth_is_no_change() {
        let rising = curve(&[(0, 0), (1_000, 1_000)]);
        assert_eq!(rising.change(500, 500), None);
        assert_eq!(rising.change(549, 500), None);
        assert_eq!(rising.change(550, 500), Some(550));
        assert_eq!(rising.change(451, 500), None);
        assert_eq!(rising.change(450, 500), Some(450));
        assert_eq!(rising.change(1, 0), Some(1), "a tenth of nothing is nothing");
    }

    #[test]
    fn an_end_of_the_curve_is_reached_and_not_left_for_less_than_a_tenth() {
        let rising = curve(&[(1_000, 20), (4_000, 50)]);
        assert_eq!(rising.change(3_900, 48), None);
        assert_eq!(rising.change(4_000, 48), Some(50));
        assert_eq!(rising.change(3_900, 50), None);
        assert_eq!(rising.change(900, 21), Some(20));
    }

    #[test]
    fn a_pause_ends_with_its_time() {
        let mut pause = Pause::default();
        assert!(pause.is_over(Time(0)));
        pause.begin(Time(0), Duration::from_mins(1));
        assert!(!pause.is_over(Time(0).after(Duration::from_secs(59))));
        assert!(pause.is_over(Time(0).after(Duration::from_mins(1))));
    }

    #[test]
    fn a_rate_is_events_by_time() {
        assert_eq!(rate(30, Duration::from_secs(10)), Some(3));
        assert_eq!(rate(1, Duration::from_millis(500)), Some(2));
        assert_eq!(rate(30, Duration::ZERO), None);
    }
}
