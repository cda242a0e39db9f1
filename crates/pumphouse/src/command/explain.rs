//! `pumphouse explain <code>`: the page of an error code, or the codes that may have been meant.
//! Reads no configuration and no server.

use std::fmt;

use crate::fault::{Code, Exit};

/// How many codes are offered for one that does not exist.
const NEAR_MAX: usize = 5;

/// No code has this number; these may have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode {
    /// What was asked for.
    pub said: String,
    /// Codes with one of the words in their title, or with a near number.
    pub near: Vec<Code>,
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no error code `{}`; did you mean:", self.said)?;
        self.near.iter().try_for_each(|code| write!(f, "\n  {code}  {}", code.title()))
    }
}

impl std::error::Error for UnknownCode {}

/// The page of a code written as `PH-0021`, `0021` or `21`.
///
/// # Errors
/// Where no such code exists, with the codes that come near: by the words of their title or by number.
pub fn explain(code: &str) -> Result<String, UnknownCode> {
    match code.parse::<Code>() {
        Ok(code) => Ok(code.page().to_owned()),
        Err(_) => Err(UnknownCode { said: code.to_owned(), near: near(code) }),
    }
}

/// Prints the page, or what may have been meant.
#[must_use]
pub fn print(code: &str) -> Exit {
    match explain(code) {
        Ok(page) => {
            println!("{page}");
            Exit::Fine
        }
        Err(unknown) => {
            eprintln!("{unknown}");
            Exit::Usage
        }
    }
}

fn near(said: &str) -> Vec<Code> {
    let mut codes = by_words(said);
    if codes.is_empty() {
        codes = by_number(said);
    }
    codes.truncate(NEAR_MAX);
    codes
}

/// Codes whose title or page title shares words with what was said, most words first.
fn by_words(said: &str) -> Vec<Code> {
    let said = said.to_lowercase();
    let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
    let score = |code: &Code| {
        let title = code.title().to_lowercase();
        words.iter().filter(|word| title.contains(**word)).count()
    };
    let mut codes: Vec<Code> = Code::ALL.iter().copied().filter(|code| score(code) > 0).collect();
    codes.sort_by_key(|code| std::cmp::Reverse(score(code)));
    codes
}

/// Codes by the distance of their numbers from the digits that were said.
fn by_number(said: &str) -> Vec<Code> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).take(9).collect::<String>();
    let wanted: u32 = digits(said).parse().unwrap_or(0);
    let distance = |code: &Code| digits(code.number()).parse::<u32>().unwrap_or(0).abs_diff(wanted);
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(distance);
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_gives_its_page() {
        let page = explain("21").expect("PH-0021 exists");
        assert!(page.starts_with("# PH-0021: too many parts\n"));
    }

    #[test]
    fn an_unknown_number_offers_its_neighbours() {
        let near = explain("PH-0015").expect_err("PH-0015 does not exist").near;
        assert_eq!(near.first(), Some(&Code::KafkaProperty));
        assert_eq!(near.len(), NEAR_MAX);
    }

    #[test]
    fn words_offer_the_codes_that_have_them_in_their_title() {
        let unknown = explain("too many parts").expect_err("words are not a code");
        assert_eq!(unknown.near.first(), Some(&Code::TooManyParts));
        assert!(unknown.to_string().contains("PH-0021  too many parts"), "{unknown}");
    }
}
