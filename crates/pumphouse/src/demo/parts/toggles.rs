//! The feed of incident 002: flags that somebody toggled, as many of them as the rate says. Every message says where it
//! lies, so that rows can be held against messages.

use std::fmt::Write as _;

use fastrand::Rng;

use super::feed::Feed;

/// Kafka's partitions.
pub const PARTITIONS: u32 = 6;
/// 2026-06-01.
const BEGINS: u64 = 1_780_272_000;
const FLAGS: u64 = 400;
const USERS: u64 = 1_000_000;

/// Toggles without end.
#[derive(Debug)]
pub struct Toggles {
    rng: Rng,
    told: u64,
}

impl Toggles {
    /// A feed that told nothing yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), told: 0 }
    }
}

impl Feed for Toggles {
    fn next(&mut self) -> (u32, String) {
        let (number, partition) = (self.told, self.told % u64::from(PARTITIONS));
        self.told += 1;
        let (flag, user) = (self.rng.u64(..FLAGS), self.rng.u64(..USERS));
        let mut text = String::with_capacity(100);
        let _ = write!(
            text,
            r#"{{"ts":{},"flag":"flag-{flag}","user":{user},"on":{},"number":{number}}}"#,
            BEGINS + number / 1000,
            self.rng.u8(..2)
        );
        (u32::try_from(partition).unwrap_or(0), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_and_every_message_is_json() {
        let messages = |seed| {
            let mut feed = Toggles::new(seed);
            (0..500).map(|_| feed.next()).collect::<Vec<_>>()
        };
        assert_eq!(messages(1), messages(1));
        assert_ne!(messages(1), messages(2));
        for (_, message) in messages(1) {
            assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok(), "{message}");
        }
    }
}
