//! How mistakes in the file are told: all at once, like a compiler. Never knows a value that is secret or
//! came from a variable: whoever makes a mistake leaves those out, and a test holds them to it.

use std::fmt;

use serde::Serialize;

use super::said::Place;

/// The code of a mistake in the file.
pub const MISTAKE: &str = "PH-0001";
/// The code of a file that can't be read.
pub const UNREADABLE: &str = "PH-0002";
/// The code of a Kafka property that would break delivery.
pub const PROPERTY_REFUSED: &str = "PH-0014";

/// One thing that is wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The error code: `PH-0001` unless a page of its own explains this kind.
    pub code: &'static str,
    /// The file as it was named.
    pub file: String,
    /// The line, from 1; 0 where no line is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 where no line is meant.
    pub column: usize,
    /// The key as a dotted path: `streams.requests.columns`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The line up to the end of what is wrong, with a line of carets below.
    #[serde(skip)]
    pub(super) excerpt: Option<[String; 2]>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        if self.code != MISTAKE && self.code != UNREADABLE {
            write!(f, " ({})", self.code)?;
        }
        if let Some([line, carets]) = &self.excerpt {
            let number = self.line.to_string();
            write!(f, "\n  {number} | {line}\n  {:1$} | {carets}", "", number.len())?;
        }
        Ok(())
    }
}

/// Everything that is wrong in the file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Mistakes {
    /// The file as it was named.
    pub file: String,
    /// The mistakes.
    pub mistakes: Vec<Mistake>,
}

impl Mistakes {
    /// The code that heads the list: `PH-0002` where the file could not be read, else `PH-0001`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let unreadable = self.mistakes.iter().any(|mistake| mistake.code == UNREADABLE);
        if unreadable { UNREADABLE } else { MISTAKE }
    }

    /// One thing to say of the file as a whole.
    pub(super) fn one(code: &'static str, file: &str, what: String, suggestion: &str) -> Self {
        let mistake = Mistake {
            code,
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            what,
            suggestion: Some(suggestion.to_owned()),
            excerpt: None,
        };
        Self { file: file.to_owned(), mistakes: vec![mistake] }
    }

    /// Puts mistakes in the order of the file; `None` where there are none.
    pub(super) fn in_order(file: &str, mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        mistakes.dedup();
        (!mistakes.is_empty()).then(|| Self { file: file.to_owned(), mistakes })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code() == UNREADABLE {
            write!(f, "{UNREADABLE} the configuration can't be read")?;
        } else {
            let noun = if self.mistakes.len() == 1 { "mistake" } else { "mistakes" };
            write!(f, "{MISTAKE} {} {noun} in {}", self.mistakes.len(), self.file)?;
        }
        for mistake in &self.mistakes {
            write!(f, "\n\n{mistake}")?;
        }
        if self.code() == UNREADABLE {
            return write!(f, "\n\nNothing was started; `pumphouse explain {UNREADABLE}` says more.");
        }
        write!(
            f,
            "\n\nNothing was started. Correct the file, then try `pumphouse check --config {}`;",
            self.file
        )?;
        f.write_str(" every key is described in docs/reference/configuration.md.")
    }
}

/// The source line as far as the end of `place`, and carets below it. Only where nothing stands before it but
/// its own key: on a line of several values one of the others could be a secret.
pub(super) fn excerpt(source: &[&str], place: Place) -> Option<[String; 2]> {
    let line: Vec<char> = source.get(place.line.checked_sub(1)?)?.chars().collect();
    let start = place.column.checked_sub(1)?;
    let end = start.checked_add(place.width)?;
    if place.width == 0 || end > line.len() || end > 160 || !is_own_key(&line[..start]) {
        return None;
    }
    let visible = |c: &char| if c.is_control() { ' ' } else { *c };
    let carets = " ".repeat(start) + &"^".repeat(place.width);
    Some([line[..end].iter().map(visible).collect(), carets])
}

/// Whether a line begins with nothing, a dash, or one key and its colon.
fn is_own_key(before: &[char]) -> bool {
    let text: String = before.iter().collect();
    let text = text.trim().trim_start_matches("- ").trim();
    let name = match text.strip_suffix(':') {
        Some(name) => name.trim_matches(['"', '\'']),
        None => return text.is_empty() || text == "-",
    };
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}
