//! `pumphouse explain`: the page of an error code, or the codes that may have been meant; or where one record went,
//! which `place` shows.

mod place;

use std::fmt;

use serde_json::{Value, json};

use super::configuration::ConfigurationFile;
use crate::fault::{Code, Exit};

/// Print the page of an error code, or say where one record went
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse explain PH-0021
  pumphouse explain PH-0021 --json | jq -r .page
  pumphouse explain requests 3 1207
  pumphouse explain requests 3 1207 --json | jq .fate

A code is written PH-0021, 0021 or 21. For a record, Kafka and the tables are asked, and nothing is changed.

Exit codes: 0 explained, 1 it did not work, 2 the record is lost or doubled, \
64 no such code (the nearest ones are named), stream or partition, 65 configuration, 69 a server was not reached.")]
pub struct Explain {
    /// An error code; or a stream, a partition and an offset
    #[arg(required = true, num_args = 1..=3, value_names = ["CODE|STREAM", "PARTITION", "OFFSET"])]
    what: Vec<String>,
    #[command(flatten)]
    file: ConfigurationFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Prints what was asked for.
    ///
    /// # Errors
    /// When a server does not answer or refuses.
    pub fn run(self) -> anyhow::Result<Exit> {
        match self.what.as_slice() {
            [code] => Ok(print(code, self.json)),
            [stream, partition, offset] => match (partition.parse(), offset.parse()) {
                (Ok(partition), Ok(offset)) => {
                    place::explain(&self.file, (stream, partition, offset), self.json)
                }
                _ => Ok(usage()),
            },
            _ => Ok(usage()),
        }
    }
}

fn usage() -> Exit {
    eprintln!("an error code, or a stream, a partition and an offset: pumphouse explain requests 3 1207");
    Exit::Usage
}

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
    known(code).map(|code| code.page().to_owned())
}

fn known(said: &str) -> Result<Code, UnknownCode> {
    said.parse::<Code>().map_err(|_| UnknownCode { said: said.to_owned(), near: near(said) })
}

/// Prints the page, or what may have been meant.
fn print(said: &str, is_json: bool) -> Exit {
    match known(said) {
        Ok(code) => {
            if is_json {
                println!("{}", told(code));
            } else {
                println!("{}", code.page());
            }
            Exit::Fine
        }
        Err(unknown) => {
            eprintln!("{unknown}");
            Exit::Usage
        }
    }
}

fn told(code: Code) -> Value {
    json!({ "code": code.to_string(), "title": code.title(), "page": code.page() })
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
    fn a_page_as_json_has_its_code_and_title_beside_it() {
        let told = told(known("21").expect("PH-0021 exists"));
        assert_eq!((&told["code"], &told["title"]), (&"PH-0021".into(), &"too many parts".into()));
        assert_eq!(told["page"], explain("21").expect("PH-0021 exists"));
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
