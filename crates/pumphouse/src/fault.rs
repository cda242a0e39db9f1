//! Errors that an operator sees: a code with a page, and four parts in one line.
//! Does not decide what to do about a failure (`verdict` does) and knows no server.

mod code;

use std::fmt;
use std::process::ExitCode;

pub use code::Code;

/// One failure, in the words an operator reads.
///
/// ```text
/// PH-0021 insert into `events.clicks`: refused, 3,012 active parts, limit 3,000; the same batch is tried
/// again after a pause; see `pumphouse explain PH-0021`
/// ```
/// on one line. Never holds the contents of a row or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of failure.
    pub code: Code,
    /// What failed, with the figures that made it fail.
    pub what: String,
    /// On what: a table, a partition, a file and line.
    pub on: String,
    /// What pumphouse does next.
    pub next: String,
    /// What the reader can do, beyond the code's page; may be empty.
    pub advice: String,
}

impl Fault {
    /// A failure of this kind, on something; what happens next is the code's usual answer.
    #[must_use]
    pub fn new(code: Code, on: impl Into<String>, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), on: on.into(), next: code.next().to_owned(), advice: String::new() }
    }

    /// Says what happens next, where it is not the usual.
    #[must_use]
    pub fn then(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Says what the reader can do about this one.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// The exit code of a process that ends by this failure.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.code.ends().unwrap_or(Exit::Failed)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, OneLine(&self.on), OneLine(&self.what))?;
        for part in [&self.next, &self.advice].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "; {}", OneLine(part))?;
        }
        write!(f, "; see `pumphouse explain {}`", self.code)
    }
}

impl std::error::Error for Fault {}

/// A text without control characters: a server's answer may span lines, a line of the log may not.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.trim().split(|c: char| c.is_control()).filter(|piece| !piece.is_empty());
        f.write_str(words.next().unwrap_or_default())?;
        words.try_for_each(|piece| write!(f, " {}", piece.trim_start()))
    }
}

/// How a process ends; every command documents which of these it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Fine = 0,
    /// It did not work.
    Failed = 1,
    /// It worked and found something: a difference, a gap, a change to make.
    Findings = 2,
    /// The command line cannot be understood.
    Usage = 64,
    /// The configuration is wrong.
    Configuration = 65,
    /// A server could not be reached at start.
    Unreachable = 69,
    /// Stopped for a reason that needs a person; starting again changes nothing.
    Halted = 70,
}

impl Exit {
    /// The number the shell sees.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_one_line_with_its_four_parts_and_its_page() {
        let what = "refused, 3,012 active parts, limit 3,000";
        let fault = Fault::new(Code::TooManyParts, "insert into `events.clicks`", what)
            .then("the valve is shut and reopens below 2,400");
        let line = "PH-0021 insert into `events.clicks`: refused, 3,012 active parts, limit 3,000; \
                    the valve is shut and reopens below 2,400; see `pumphouse explain PH-0021`";
        assert_eq!(fault.to_string(), line);
    }

    #[test]
    fn advice_stands_between_what_happens_next_and_the_page() {
        let fault =
            Fault::new(Code::TopicMissing, "topic `a`", "does not exist").then("waiting").advise("create it");
        let line = "PH-0012 topic `a`: does not exist; waiting; create it; see `pumphouse explain PH-0012`";
        assert_eq!(fault.to_string(), line);
    }

    #[test]
    fn a_servers_answer_over_several_lines_stays_one_line() {
        let fault = Fault::new(Code::InsertUnknown, "table", "Code: 1.\n\n  at x\r\n\u{1b}[31mred").then("");
        let line = "PH-0020 table: Code: 1. at x [31mred; see `pumphouse explain PH-0020`";
        assert_eq!(fault.to_string(), line);
    }

    #[test]
    fn the_process_ends_with_the_number_of_the_code() {
        let exit = |code| Fault::new(code, "", "").exit().number();
        assert_eq!(exit(Code::ConfigurationMistakes), 65);
        assert_eq!(exit(Code::KafkaUnreachable), 69);
        assert_eq!(exit(Code::ClaimUndecided), 70);
        assert_eq!(exit(Code::DownloadFailed), 1);
        assert_eq!(exit(Code::TooManyParts), 1);
    }
}
