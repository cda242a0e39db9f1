//! Which fault comes when: four hands deal faults at once, each from a deck of its own, shuffled by the seed. Every
//! card of a deck is dealt before one comes again, so a run of two minutes meets every kind. Carries none out.

use std::time::Duration;

use fastrand::Rng;

/// Who deals: each hand does one thing at a time, and the four go on beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hand {
    Processes,
    Kafka,
    ClickHouse,
    Network,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Kill,
    StopPastSession,
    StopPastDeadline,
    Join,
    Leave,
    TightMemory,
    BrokerRestart,
    BrokerKill,
    BrokerPause,
    ClickHouseRestart,
    ClickHouseKill,
    ClickHousePause,
    TooManyParts,
    ReadOnlyTable,
    FullDisk,
    SlowKafka,
    SlowClickHouse,
    ThrottledKafka,
    ThrottledClickHouse,
    HalfOpenKafka,
    HalfOpenClickHouse,
    CutKafka,
    CutClickHouse,
    UnreachableClickHouse,
    CutCommit,
    CutCommitAnswer,
    LostCommitAnswer,
    CutInsert,
    CutInsertAnswer,
    LostInsertAnswer,
}

impl Hand {
    pub(crate) const ALL: [Self; 4] = [Self::Processes, Self::Kafka, Self::ClickHouse, Self::Network];

    /// Every card; what is twice in it comes twice as often.
    fn deck(self) -> &'static [Fault] {
        use Fault as F;
        match self {
            Self::Processes => &[
                F::Kill,
                F::Kill,
                F::Kill,
                F::StopPastSession,
                F::StopPastDeadline,
                F::Join,
                F::Leave,
                F::TightMemory,
            ],
            Self::Kafka => &[F::BrokerRestart, F::BrokerKill, F::BrokerPause],
            Self::ClickHouse => &[
                F::ClickHouseRestart,
                F::ClickHouseKill,
                F::ClickHousePause,
                F::TooManyParts,
                F::ReadOnlyTable,
                F::FullDisk,
            ],
            Self::Network => &[
                F::SlowKafka,
                F::SlowClickHouse,
                F::ThrottledKafka,
                F::ThrottledClickHouse,
                F::HalfOpenKafka,
                F::HalfOpenClickHouse,
                F::CutKafka,
                F::CutClickHouse,
                F::UnreachableClickHouse,
                F::CutCommit,
                F::CutCommitAnswer,
                F::LostCommitAnswer,
                F::CutInsert,
                F::CutInsertAnswer,
                F::LostInsertAnswer,
            ],
        }
    }

    /// Least and most milliseconds between the end of a fault and the next. Kafka has one broker here: while it is
    /// away everything stands, so it is given time.
    fn pause(self) -> std::ops::Range<u64> {
        match self {
            Self::Processes => 3_000..8_000,
            Self::Kafka => 18_000..32_000,
            Self::ClickHouse => 6_000..12_000,
            Self::Network => 2_000..5_000,
        }
    }
}

/// Every kind, in the order in which they are told.
pub(crate) fn kinds() -> Vec<Fault> {
    let mut kinds: Vec<Fault> = Hand::ALL.iter().flat_map(|hand| hand.deck()).copied().collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// What is dealt.
#[derive(Clone, Debug)]
pub(crate) struct Game {
    pub(crate) seed: u64,
    /// Kinds of faults; none for all.
    pub(crate) only: Vec<Fault>,
    /// Pauses are so many times as short.
    pub(crate) pace: f64,
}

/// One hand's cards, without end.
pub(crate) struct Deck {
    hand: Hand,
    random: Rng,
    cards: Vec<Fault>,
    pace: f64,
    left: Vec<Fault>,
}

impl Deck {
    /// The same seed gives the same cards in the same order.
    pub(crate) fn new(hand: Hand, game: &Game) -> Self {
        let random = Rng::with_seed(game.seed.wrapping_mul(31).wrapping_add(hand as u64 + 1));
        let mut cards = hand.deck().to_vec();
        cards.retain(|fault| game.only.is_empty() || game.only.contains(fault));
        Self { hand, random, cards, pace: game.pace, left: Vec::new() }
    }

    /// The next fault, and the pause before it; none where this hand has no cards.
    pub(crate) fn deal(&mut self) -> Option<(Duration, Fault)> {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            self.random.shuffle(&mut self.left);
        }
        let pause = Duration::from_millis(self.random.u64(self.hand.pause()));
        self.left.pop().map(|fault| (pause.div_f64(self.pace), fault))
    }

    /// A number that belongs to the fault just dealt.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.usize(0..limit.max(1))
    }

    /// A time that belongs to the fault just dealt.
    pub(crate) fn milliseconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(seed: u64) -> Game {
        Game { seed, only: Vec::new(), pace: 1.0 }
    }

    #[test]
    fn a_hand_deals_only_what_is_asked_for() {
        let game = Game { only: vec![Fault::BrokerKill, Fault::Kill], pace: 10.0, ..game(7) };
        let mut deck = Deck::new(Hand::Kafka, &game);
        let (pause, fault) = deck.deal().expect("one of its cards is asked for");
        assert_eq!(fault, Fault::BrokerKill);
        assert!(pause < Duration::from_millis(3_200), "{pause:?}");
        assert_eq!(Deck::new(Hand::Network, &game).deal(), None);
    }

    #[test]
    fn the_same_seed_deals_the_same_faults() {
        let dealt = |seed| {
            let mut deck = Deck::new(Hand::Network, &game(seed));
            (0..50).map(|_| deck.deal()).collect::<Vec<_>>()
        };
        assert_eq!(dealt(7), dealt(7));
        assert_ne!(dealt(7), dealt(8));
    }

    #[test]
    fn every_kind_comes_before_one_comes_again() {
        for hand in Hand::ALL {
            let mut deck = Deck::new(hand, &game(3));
            let mut dealt: Vec<Fault> =
                (0..hand.deck().len()).filter_map(|_| deck.deal()).map(|dealt| dealt.1).collect();
            let mut all = hand.deck().to_vec();
            dealt.sort_unstable();
            all.sort_unstable();
            assert_eq!(dealt, all);
        }
    }
}
