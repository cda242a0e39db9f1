//! Parts and the table partitions that hold them. Knows neither when a merge is worth while nor how long it takes.

use pumphouse_core::moment::Time;

/// One active part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its first block; parts of a table partition stand in this order.
    pub block: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Merges that led to it.
    pub level: u32,
    /// When it came to be.
    pub made_at: Time,
    /// Whether a merge is reading it.
    pub is_merging: bool,
}

/// The active parts of one table partition, by block.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    parts: Vec<Part>,
    blocks: u64,
}

impl Parts {
    /// Adds what an insert wrote.
    pub fn insert(&mut self, now: Time, rows: u64, bytes: u64) {
        let block = self.blocks;
        self.blocks += 1;
        self.parts.push(Part { block, bytes, rows, level: 0, made_at: now, is_merging: false });
    }

    /// The parts, by block.
    #[must_use]
    pub fn all(&self) -> &[Part] {
        &self.parts
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Marks `length` parts from `start` as being merged, and gives their first block and their bytes.
    pub fn begin_merge(&mut self, start: usize, length: usize) -> (u64, u64) {
        let sources = &mut self.parts[start..start + length];
        for part in sources.iter_mut() {
            assert!(!part.is_merging, "a part is read by one merge");
            part.is_merging = true;
        }
        (sources[0].block, sources.iter().map(|part| part.bytes).sum())
    }

    /// Puts one part in the place of the `length` parts from `block` on.
    pub fn end_merge(&mut self, now: Time, block: u64, length: usize, bytes: u64) {
        let start = self.parts.partition_point(|part| part.block < block);
        let sources = &self.parts[start..start + length];
        assert!(sources.iter().all(|part| part.is_merging), "only parts of a merge are replaced by it");
        let rows = sources.iter().map(|part| part.rows).sum();
        let level = sources.iter().map(|part| part.level).max().unwrap_or(0) + 1;
        let merged = Part { block, bytes, rows, level, made_at: now, is_merging: false };
        self.parts.splice(start..start + length, [merged]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_replaces_its_parts_where_they_stood() {
        let mut parts = Parts::default();
        for rows in 1..=6 {
            parts.insert(Time(rows), rows, rows * 10);
        }
        let (block, bytes) = parts.begin_merge(1, 3);
        assert_eq!((block, bytes), (1, 90));
        parts.insert(Time(7), 7, 70);
        parts.end_merge(Time(9), block, 3, bytes);
        let rows: Vec<(u64, u32)> = parts.all().iter().map(|part| (part.rows, part.level)).collect();
        assert_eq!(rows, [(1, 0), (9, 1), (5, 0), (6, 0), (7, 0)]);
        assert_eq!(parts.bytes(), 280, "nothing is lost by a merge");
        let (block, bytes) = parts.begin_merge(0, 2);
        parts.end_merge(Time(10), block, 2, bytes);
        assert_eq!(parts.all()[0].level, 2);
    }
}
