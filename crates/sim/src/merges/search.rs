//! The rate at which a scenario breaks: tried out, between powers of two, then closer.

use super::outcome::Trouble;
use super::run::run_until_trouble;
use super::scenario::Scenario;

/// Nobody asks for less.
const RATE_MIN: f64 = 1.0;
/// More rows a second than this are not searched for.
const RATE_MAX: f64 = 1e9;
/// The result is within this factor of the truth of the simulation.
const PRECISION: f64 = 1.05;

/// Where a scenario breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakingPoint {
    /// The highest rate that was seen to go well; 0 where none does.
    pub rate: f64,
    /// What went wrong at a rate a little above; `None` where nothing did up to the highest rate tried.
    pub trouble: Option<Trouble>,
}

/// Searches for the highest rate that goes well; says which one is tried next.
pub fn breaking_point(scenario: &Scenario, mut is_tried: impl FnMut(f64)) -> BreakingPoint {
    let mut trouble_at = |rate: f64| {
        is_tried(rate);
        run_until_trouble(&Scenario { rate, ..scenario.clone() }).trouble()
    };
    let (mut good, mut bad) = (0.0, None);
    let mut rate = scenario.rate.clamp(RATE_MIN, RATE_MAX);
    // Outwards from the rate that was asked for, until one goes well and one does not.
    loop {
        match (trouble_at(rate), bad) {
            (None, None) if rate >= RATE_MAX => return BreakingPoint { rate, trouble: None },
            (None, None) => (good, rate) = (rate, (rate * 4.0).min(RATE_MAX)),
            (None, Some(_)) => break good = rate,
            (Some(trouble), _) => {
                bad = Some((rate, trouble));
                if good > 0.0 || rate <= RATE_MIN {
                    break;
                }
                rate = (rate / 4.0).max(RATE_MIN);
            }
        }
    }
    let (mut too_much, mut trouble) = bad.map_or((RATE_MAX, None), |(rate, trouble)| (rate, Some(trouble)));
    while good > 0.0 && too_much / good > PRECISION {
        let between = (good * too_much).sqrt();
        match trouble_at(between) {
            None => good = between,
            Some(found) => (too_much, trouble) = (between, Some(found)),
        }
    }
    BreakingPoint { rate: good, trouble }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_breaking_point_goes_well_and_a_little_more_does_not() {
        let mut scenario = Scenario { span: Duration::from_mins(3), ..Scenario::default() };
        scenario.writers.batches.valve = None;
        scenario.machine.merge_bytes_per_second = 1e6;
        let mut tried = Vec::new();
        let found = breaking_point(&scenario, |rate| tried.push(rate));
        assert!(tried.len() > 2 && tried.contains(&found.rate), "each rate is told: {tried:?}");
        assert!(found.rate > 0.0 && found.trouble.is_some(), "{found:?}");
        let at = |rate| run_until_trouble(&Scenario { rate, ..scenario.clone() }).trouble();
        assert_eq!(at(found.rate), None);
        assert!(at(found.rate * PRECISION).is_some());
    }
}
