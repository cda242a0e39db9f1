//! A line over time in plain characters, for a terminal. Knows nothing of parts.

use std::fmt::Write as _;

const WIDTH: usize = 72;
const HEIGHT: usize = 12;

/// Draws the largest value of each column; `limit` is a line of its own where it lies within the picture.
pub(super) fn chart(values: &[u64], limit: Option<(u64, &str)>, (from, to): (&str, &str)) -> String {
    let columns = columns(values);
    let most = columns.iter().copied().max().unwrap_or(0);
    // A limit that is far off would press the line to the ground.
    let limit = limit.filter(|(limit, _)| *limit > 0 && *limit <= most.saturating_mul(3));
    let top = round_up(most.max(limit.map_or(1, |(limit, _)| limit)).max(1));
    let row_of = |value: u64| usize::try_from(value * HEIGHT as u64 / top).unwrap_or(HEIGHT).min(HEIGHT - 1);
    let mut text = String::new();
    for row in (0..HEIGHT).rev() {
        let at_limit = limit.filter(|(limit, _)| row_of(*limit) == row);
        let mark = |value: &u64| match (*value > 0 && row_of(*value) >= row, at_limit.is_some()) {
            (true, _) => '#',
            (false, true) => '-',
            (false, false) => ' ',
        };
        let line: String = columns.iter().map(mark).collect();
        let label = if row == HEIGHT - 1 { top.to_string() } else { String::new() };
        let name = at_limit.map_or_else(String::new, |(limit, name)| format!(" {name} {limit}"));
        // Writing into a String can't fail.
        let _ = writeln!(text, "{}", format!("{label:>9} |{line}{name}").trim_end());
    }
    let _ = writeln!(text, "{:>9} +{}", 0, "-".repeat(columns.len()));
    let gap = columns.len().saturating_sub(from.len() + to.len());
    let _ = writeln!(text, "{:>11}{from}{}{to}", "", " ".repeat(gap));
    text
}

fn columns(values: &[u64]) -> Vec<u64> {
    let each = values.len().div_ceil(WIDTH).max(1);
    values.chunks(each).map(|chunk| chunk.iter().copied().max().unwrap_or(0)).collect()
}

/// The next of 1, 2, 5, 10, 20, …
pub(super) fn round_up(value: u64) -> u64 {
    let mut unit: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            if unit.saturating_mul(step) >= value {
                return unit.saturating_mul(step);
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_rises_is_a_staircase_under_its_limit() {
        let values: Vec<u64> = (0..72).collect();
        insta::assert_snapshot!(chart(&values, Some((90, "delay")), ("0", "72 s")));
    }

    #[test]
    fn a_limit_far_away_is_left_out() {
        assert!(!chart(&[1, 2, 3], Some((1000, "delay")), ("0", "1")).contains("delay"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0, 1, 3, 10, 11, 2100].map(round_up), [1, 1, 5, 10, 20, 5000]);
    }
}
