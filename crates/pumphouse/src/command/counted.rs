//! A number with its noun: one letter, two letters. Knows no noun.

/// `1 letter`, `2 letters`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {}", several(noun)) }
}

fn several(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1, "dead letter"), "1 dead letter");
        assert_eq!(counted(0, "dead letter"), "0 dead letters");
        assert_eq!(counted(2, "entry"), "2 entries");
    }
}
