//! What happened, left to right: time, who, what. Nothing is written unless a single history is asked for.

use std::fmt::{Arguments, Write as _};

/// The lines of one history.
#[derive(Debug, Default)]
pub struct Trace {
    wanted: bool,
    text: String,
}

impl Trace {
    /// A trace that keeps its lines only if `wanted`.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self { wanted, text: String::new() }
    }

    /// Whether lines are kept.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Notes one line: the time in milliseconds, who it happened to, and what.
    pub fn line(&mut self, now: u64, who: &str, what: Arguments<'_>) {
        if self.wanted {
            let (seconds, milliseconds) = (now / 1000, now % 1000);
            writeln!(self.text, "{seconds:>5}.{milliseconds:03}  {who:<10}  {what}").expect("text grows");
        }
    }

    /// All lines.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}
