//! In which order ranges are read and judged: one range of each partition at a time, no more offsets at once than fit
//! into memory. Reads nothing.

use std::collections::{BTreeMap, VecDeque};

use pumphouse_core::offset::{Offset, Partition, Range};

use super::contents::Piece;
use super::tallies::Spans;

/// Offsets whose contents are asked for at once.
const OFFSETS_AT_ONCE: u64 = 1 << 20;
/// Chunks that are read although nobody asks about them, because to begin anew behind them takes longer.
const READ_ACROSS: u64 = 8;

/// A chunk that is to be looked at: partition, number, offsets.
pub(super) type Chunk = (Partition, u64, Range);
/// A range of each partition, with the chunks in it that are to be looked at.
pub(super) type Round = BTreeMap<Partition, Run>;
/// A range that is read in one go, and the chunks in it.
type Run = (Range, Vec<(u64, Range)>);

/// Chunks, in order, as rounds of reading.
pub(super) fn rounds(chunks: Vec<Chunk>, size: u64) -> Vec<Round> {
    let mut of: BTreeMap<Partition, VecDeque<Run>> = BTreeMap::new();
    for (partition, number, range) in chunks {
        let runs = of.entry(partition).or_default();
        match runs.back_mut() {
            Some((run, chunks)) if range.from.0 - run.to.0 <= READ_ACROSS * size => {
                *run = Range::new(run.from, range.to);
                chunks.push((number, range));
            }
            _ => runs.push_back((range, vec![(number, range)])),
        }
    }
    let mut rounds = Vec::new();
    while !of.is_empty() {
        let next = |(partition, runs): (&Partition, &mut VecDeque<_>)| Some((*partition, runs.pop_front()?));
        rounds.push(of.iter_mut().filter_map(next).collect());
        of.retain(|_, runs| !runs.is_empty());
    }
    rounds
}

/// Pieces cut and put together so that each portion has a bounded number of offsets.
pub(super) fn portions(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let (mut portions, mut open, mut offsets) = (Vec::new(), Vec::<Piece>::new(), 0);
    for (partition, range) in pieces {
        let mut rest = *range;
        while !rest.is_empty() {
            let cut = Offset(rest.to.0.min(rest.from.0 + OFFSETS_AT_ONCE - offsets));
            let piece = Range::new(rest.from, cut);
            match open.last_mut() {
                Some((last, run)) if *last == *partition && run.to == piece.from => {
                    *run = run.extended(piece);
                }
                _ => open.push((*partition, piece)),
            }
            offsets += piece.len();
            rest = Range::new(cut, rest.to);
            if offsets == OFFSETS_AT_ONCE {
                portions.push(std::mem::take(&mut open));
                offsets = 0;
            }
        }
    }
    portions.extend((!open.is_empty()).then_some(open));
    portions
}

/// Takes the first piece of each partition out.
pub(super) fn one_of_each(left: &mut VecDeque<Piece>) -> Spans {
    let mut spans = Spans::new();
    left.retain(|(partition, range)| {
        let is_first = !spans.contains_key(partition);
        if is_first {
            spans.insert(*partition, *range);
        }
        !is_first
    });
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> Range {
        Range::new(Offset(from), Offset(to))
    }

    #[test]
    fn near_chunks_are_read_in_one_go_and_far_ones_in_another() {
        let chunk =
            |partition, number: u64| (Partition(partition), number, range(number * 10, number * 10 + 10));
        let rounds = rounds(vec![chunk(0, 0), chunk(0, 2), chunk(0, 90), chunk(1, 5)], 10);
        assert_eq!(rounds.len(), 2);
        assert_eq!(rounds[0][&Partition(0)].0, range(0, 30));
        assert_eq!(rounds[0][&Partition(0)].1.len(), 2);
        assert_eq!(rounds[0][&Partition(1)].0, range(50, 60));
        assert_eq!(rounds[1][&Partition(0)].0, range(900, 910));
    }

    #[test]
    fn portions_are_bounded_and_have_every_offset_once() {
        let many = OFFSETS_AT_ONCE * 2 + 5;
        let pieces =
            [(Partition(0), range(0, many)), (Partition(1), range(7, 9)), (Partition(1), range(9, 12))];
        let portions = portions(&pieces);
        let offsets = |portion: &Vec<Piece>| portion.iter().map(|(_, range)| range.len()).sum::<u64>();
        assert_eq!(portions.iter().map(offsets).collect::<Vec<_>>(), [OFFSETS_AT_ONCE, OFFSETS_AT_ONCE, 10]);
        assert_eq!(
            portions[2],
            [(Partition(0), range(OFFSETS_AT_ONCE * 2, many)), (Partition(1), range(7, 12))]
        );
    }

    #[test]
    fn a_round_has_one_piece_of_each_partition() {
        let mut left = VecDeque::from([
            (Partition(0), range(0, 5)),
            (Partition(0), range(7, 9)),
            (Partition(1), range(0, 3)),
        ]);
        assert_eq!(one_of_each(&mut left), [(Partition(0), range(0, 5)), (Partition(1), range(0, 3))].into());
        assert_eq!(left, [(Partition(0), range(7, 9))]);
    }
}
