//! All randomness of a history: one seed gives which faults are on, how often they strike, and every delay.
//!
//! Each seed turns on its own few kinds of faults ("swarm"), so that rare combinations meet undisturbed by the others.

use crate::fault::{Fault, KINDS};

/// Odds are counted in this many parts.
const WHOLE: u32 = 1 << 16;

/// The seed's dice.
#[derive(Clone, Debug)]
pub struct Chance {
    rng: fastrand::Rng,
    odds: [u32; KINDS],
    struck: [u64; KINDS],
}

impl Chance {
    /// The dice of `seed`, with the kinds of faults that it turns on.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
        let mut odds = [0; KINDS];
        // Some histories are calm, some have everything at once.
        let crowd = rng.u32(1..=4);
        for fault in Fault::ALL {
            let on = rng.u32(..fault.rarity() * 4) < crowd;
            // Between one in five and one in some five hundred occasions.
            let strength = rng.u32(..7);
            if on {
                odds[fault as usize] = (WHOLE / 5) >> strength;
            }
        }
        Self { rng, odds, struck: [0; KINDS] }
    }

    /// Whether `fault` strikes now, and notes it if it does.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let odds = self.odds[fault as usize];
        let strikes = odds > 0 && self.rng.u32(..WHOLE) < odds;
        if strikes {
            self.struck[fault as usize] += 1;
        }
        strikes
    }

    /// Whether `fault` is on at all in this history.
    #[must_use]
    pub fn is_on(&self, fault: Fault) -> bool {
        self.odds[fault as usize] > 0
    }

    /// How often `fault` struck.
    #[must_use]
    pub fn struck(&self, fault: Fault) -> u64 {
        self.struck[fault as usize]
    }

    /// How often each kind of fault struck, in the order of [`Fault::ALL`].
    #[must_use]
    pub fn all_struck(&self) -> [u64; KINDS] {
        self.struck
    }

    /// From here on nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.odds = [0; KINDS];
    }

    /// A number from `low` up to, and with, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.u64(low..=high)
    }

    /// A place in something of this length.
    pub fn place(&mut self, length: usize) -> usize {
        self.rng.usize(..length)
    }

    /// One time in `n`.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// 128 bits that nobody has drawn before.
    pub fn entropy(&mut self) -> u128 {
        self.rng.u128(..)
    }

    /// How long a message between two machines takes, in milliseconds: mostly little, now and then much.
    pub fn latency(&mut self) -> u64 {
        if self.one_in(16) { self.rng.u64(20..=400) } else { self.rng.u64(1..=8) }
    }

    /// How long it takes until a batch that was read again, or searched, is told of: now and then longer than partitions
    /// are waited for.
    pub fn reading(&mut self) -> u64 {
        if self.one_in(4) { self.rng.u64(200..=8_000) } else { self.latency() }
    }
}
