//! A rate on the command line: rows or events a second, within what anybody can mean. Does not know what is done with it.

/// More a second than this is a slip of the finger.
const RATE_MAX: f64 = 1e9;

/// A rate, with a fraction where somebody means one.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let wanted = || "write a number above 0 and up to 1000000000, in digits alone, such as 40000".to_owned();
    text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= RATE_MAX).ok_or_else(wanted)
}

/// A rate in whole events.
pub(super) fn whole_rate(text: &str) -> Result<u64, String> {
    rate(text)?;
    text.parse().map_err(|_| "write a whole number, in digits alone, such as 40000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_nobody_can_mean_is_refused_with_what_to_write() {
        for text in ["99999999999999999999", "0", "-1", "abc", "40k", "40_000", "", "inf", "NaN"] {
            assert!(rate(text).is_err_and(|said| said.contains("such as 40000")), "{text}");
            assert!(whole_rate(text).is_err_and(|said| said.contains("such as 40000")), "{text}");
        }
        assert_eq!((rate("0.5"), rate("1000000000")), (Ok(0.5), Ok(1e9)));
        assert_eq!(whole_rate("40000"), Ok(40_000));
        assert!(whole_rate("0.5").is_err());
    }
}
