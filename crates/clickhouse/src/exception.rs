//! What an error of the server means, decided once. Knows no retry, no batch and no table.

use std::fmt;

use crate::quote;

/// Longest message that is kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// What stands before the name of a view that threw.
const PUSHING: &str = "while pushing to view ";
/// Longest name of a view that is told.
const VIEW_NAME_MAX: usize = 200;

/// What an insert says when ClickHouse sees its deadline passed.
pub const DEADLINE_MARK: &str = "PH_DEADLINE";

/// An error that ClickHouse, or a proxy before it, answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// ClickHouse's error code; 0 when only an HTTP status came.
    pub code: i32,
    /// ClickHouse's name of the code, or `HTTP_403`.
    pub name: String,
    /// The message, at most 500 characters, without the contents of rows.
    pub message: String,
    /// What it means.
    pub kind: Kind,
    /// Where it happened, as far as the message tells.
    pub stage: Stage,
    /// The first row of the block that breaks a constraint, counted from 0, where the message names it.
    pub row: Option<usize>,
    /// Whether a function threw on what it was given.
    pub of_a_function: bool,
    /// The view that threw, as the message names it.
    pub view: Option<String>,
}

/// Where an error happened, as far as its message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before ClickHouse saw the request.
    Proxy,
    /// While the body was read or made fit for the table, before any block was written.
    Reading,
    /// In a view or on another server, when the table itself may hold the rows.
    Beyond,
    /// The message does not tell.
    Untold,
}

impl Stage {
    fn of(message: &str) -> Self {
        if message.contains(PUSHING.trim_end()) || message.contains("Received from ") {
            Self::Beyond
        } else if message.contains("While executing Arrow")
            || message.contains("while converting source column")
        {
            Self::Reading
        } else {
            Self::Untold
        }
    }
}

/// A failure as far as it is treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// More active parts than the table takes: merges must catch up first.
    TooManyParts,
    /// The insert as a whole breaks a limit: too many partitions, bytes or rows.
    Block,
    /// The server ran out of memory.
    Memory,
    /// The table takes no writes now.
    ReadOnly,
    /// The server is too busy or too full: quotas, queries, threads, disk.
    Overloaded,
    /// The user may not do this, or is not who they say.
    Access,
    /// The table or database is not there.
    MissingTable,
    /// The table's columns are not the ones sent.
    ColumnMismatch,
    /// A setting is unknown to the server or forbidden to the user.
    Setting,
    /// A row breaks a constraint or can't become what the column holds.
    BadRow,
    /// ClickHouse evaluated the insert's deadline and found it passed.
    Deadline,
    /// The server gave up waiting.
    Timeout,
    /// Keeper or the other replicas did not answer as needed.
    Replica,
    /// None of the above.
    Unknown,
}

impl Kind {
    /// What a code means.
    ///
    /// | code | meaning |
    /// |---|---|
    /// | 395 with our mark | `Deadline` |
    /// | 252 "single INSERT block"; 158, 229, 307, 396, 565 | `Block` |
    /// | 252 otherwise | `TooManyParts` |
    /// | 173, 241, 777, 778 | `Memory` |
    /// | 242, 733, 774 | `ReadOnly` |
    /// | 201, 202, 203, 243, 364, 439, 574, 700, 749, 762, 776 | `Overloaded` |
    /// | 164, 192–194, 291, 392, 492, 497, 511, 516, 620, 720 | `Access` |
    /// | 60, 81, 218 | `MissingTable` |
    /// | 7–10, 15, 16, 20, 47, 50, 53, 70, 122, 728 | `ColumnMismatch` |
    /// | 115, 452, 471, 472 | `Setting` |
    /// | 6, 25–27, 32, 33, 38, 41, 69, 72, 117, 128, 130, 131, 190, 321, 349, 376, 407, 441, 467, 469, 675, 676, 691 | `BadRow` |
    /// | 159, 160, 209, 210 | `Timeout` |
    /// | 225, 236, 244, 254, 285, 286, 289, 319, 369, 659, 904, 999 | `Replica` |
    /// | all others | `Unknown` |
    #[must_use]
    pub fn of(code: i32, message: &str) -> Self {
        match code {
            395 if message.contains(DEADLINE_MARK) => Self::Deadline,
            252 if message.to_ascii_lowercase().contains("single insert block") => Self::Block,
            158 | 229 | 307 | 396 | 565 => Self::Block,
            252 => Self::TooManyParts,
            173 | 241 | 777 | 778 => Self::Memory,
            242 | 733 | 774 => Self::ReadOnly,
            201..=203 | 243 | 364 | 439 | 574 | 700 | 749 | 762 | 776 => Self::Overloaded,
            164 | 192..=194 | 291 | 392 | 492 | 497 | 511 | 516 | 620 | 720 => Self::Access,
            60 | 81 | 218 => Self::MissingTable,
            7..=10 | 15 | 16 | 20 | 47 | 50 | 53 | 70 | 122 | 728 => Self::ColumnMismatch,
            115 | 452 | 471 | 472 => Self::Setting,
            6
            | 25..=27
            | 32
            | 33
            | 38
            | 41
            | 69
            | 72
            | 117
            | 128
            | 130
            | 131
            | 190
            | 321
            | 349
            | 376
            | 407
            | 441
            | 467
            | 469
            | 675
            | 676
            | 691 => Self::BadRow,
            159 | 160 | 209 | 210 => Self::Timeout,
            225 | 236 | 244 | 254 | 285 | 286 | 289 | 319 | 369 | 659 | 904 | 999 => Self::Replica,
            _ => Self::Unknown,
        }
    }

    /// Whether messages of this kind may quote a row.
    fn may_quote_rows(self) -> bool {
        matches!(self, Self::BadRow | Self::Block | Self::Memory | Self::Timeout | Self::Unknown)
    }
}

impl ServerError {
    /// Reads an error out of an answer: the code from the header or the body, else what the status says.
    ///
    /// Returns none where the answer holds no error of ClickHouse and its status proves nothing: success
    /// with a clean body, redirects, and 5xx of a proxy, which may have passed the insert on.
    #[must_use]
    pub fn from_answer(status: u16, header_code: Option<i32>, body: &str) -> Option<Self> {
        let said = find_exception(body);
        match (header_code.filter(|code| *code != 0), said) {
            (Some(code), Some(said)) if said.code == code => Some(said.into_error()),
            (Some(code), _) => Some(Said { code, name: "", message: body }.into_error()),
            (None, Some(said)) => Some(said.into_error()),
            (None, None) => Self::from_status(status),
        }
    }

    /// What a status without ClickHouse's code proves: these come from a proxy that passed nothing on.
    fn from_status(status: u16) -> Option<Self> {
        let kind = match status {
            401 | 403 | 404 | 407 => Kind::Access,
            413 | 414 | 431 => Kind::Block,
            429 => Kind::Overloaded,
            _ => return None,
        };
        Some(Self {
            code: 0,
            name: format!("HTTP_{status}"),
            message: format!(
                "HTTP status {status} without an error code of ClickHouse: a proxy refused it, or this is not ClickHouse's address"
            ),
            kind,
            stage: Stage::Proxy,
            row: None,
            of_a_function: false,
            view: None,
        })
    }

    /// Whether a row may be at fault, met in the table itself: then the same row is refused again, and the block without
    /// it may be taken. What nobody knows is a row's only where a function threw on it.
    #[must_use]
    pub fn may_be_a_rows(&self) -> bool {
        let by_kind = match self.kind {
            Kind::BadRow => true,
            Kind::Unknown => self.of_a_function,
            _ => false,
        };
        by_kind && !matches!(self.stage, Stage::Beyond | Stage::Proxy)
    }

    /// Whether this answer to an insert proves that none of *its* rows landed. It says nothing of earlier
    /// attempts with the same token.
    ///
    /// | what failed | no views | views |
    /// |---|---|---|
    /// | in a view, or on another server | doubt | doubt |
    /// | refused by a proxy, before ClickHouse | proof | proof |
    /// | while reading the body | proof | proof |
    /// | deadline: evaluated on the only block, before it is written | proof | proof |
    /// | sign-in, query limit, unknown setting, syntax: before the insert begins | proof | proof |
    /// | too many parts or partitions, checked before the first part is written | proof | doubt |
    /// | rights, table, columns, settings: found when the insert is planned | proof | doubt |
    /// | constraint, NULL in a plain column: checked on the block before it is written | proof | doubt |
    /// | anything else, memory, read-only and Keeper included | doubt | doubt |
    ///
    /// With views the same errors may come from a view, after the table itself has taken the rows (measured
    /// on 26.7: the client gets the error, the source holds the rows). Without views, read-only, memory and
    /// conversions may still fail at the second table partition when the first is already there.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "one arm for each line of the table")]
    pub fn proves_nothing_landed(&self, has_views: bool) -> bool {
        match (self.kind, self.code) {
            _ if self.stage == Stage::Beyond => false,
            _ if self.stage == Stage::Proxy || self.stage == Stage::Reading => true,
            (Kind::Deadline, _) => true,
            (_, 62 | 115 | 192..=194 | 202 | 381 | 456 | 457 | 516 | 700 | 720 | 749 | 762) => true,
            (Kind::TooManyParts, _) | (Kind::Block, 252) => !has_views,
            (Kind::Access | Kind::MissingTable | Kind::ColumnMismatch | Kind::Setting, _) => !has_views,
            (Kind::BadRow, 349 | 469) => !has_views,
            _ => false,
        }
    }

    /// Whether it says that the user may not insert into this very table, which is asked before anything is written.
    #[must_use]
    pub fn denies_insert_into(&self, database: &str, table: &str) -> bool {
        let named = [format!(" ON {database}.{table}."), format!(" ON {}.", quote::table(database, table))];
        self.code == 497
            && self.stage != Stage::Beyond
            && self.message.contains("grant INSERT")
            && named.iter().any(|name| self.message.contains(name.as_str()))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => f.write_str(&self.message),
            code => write!(f, "code {code} {}: {}", self.name, self.message),
        }?;
        let mut unsaid = self.view.iter().filter(|_| !self.message.contains(PUSHING.trim_end()));
        unsaid.try_for_each(|view| write!(f, " (while pushing to view {view})"))
    }
}

impl std::error::Error for ServerError {}

/// The view that a message names: it stands behind what may be contents of rows.
fn throwing_view(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once(PUSHING)?;
    let mut quoted = false;
    let name = rest.chars().take(VIEW_NAME_MAX).take_while(|letter| {
        quoted ^= *letter == '`';
        quoted || letter.is_alphanumeric() || "_.`".contains(*letter)
    });
    let name: String = name.filter(|letter| !letter.is_control()).collect();
    let name = name.trim_end_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

/// An exception as it stood in the text.
struct Said<'a> {
    code: i32,
    name: &'a str,
    message: &'a str,
}

impl Said<'_> {
    fn into_error(self) -> ServerError {
        let kind = Kind::of(self.code, self.message);
        let name = if self.name.is_empty() { format!("CODE_{}", self.code) } else { self.name.to_owned() };
        ServerError {
            code: self.code,
            name,
            message: presentable(self.message, kind),
            kind,
            stage: Stage::of(self.message),
            row: violated_row(self.message),
            of_a_function: self.message.contains("while executing 'FUNCTION "),
            view: throwing_view(self.message),
        }
    }
}

/// Reads `… is violated at row 17. Expression: …`, which counts from 1.
fn violated_row(message: &str) -> Option<usize> {
    let (_, after) = message.split_once("is violated at row ")?;
    let digits = after.find(|letter: char| !letter.is_ascii_digit())?;
    after[..digits].parse::<usize>().ok()?.checked_sub(1)
}

/// Finds `Code: 252. DB::Exception: … (TOO_MANY_PARTS)` at the start of a line, the last one first: an answer
/// that had begun carries its exception at the end, between `__exception__` marks.
fn find_exception(body: &str) -> Option<Said<'_>> {
    let start = body.rmatch_indices("Code: ").map(|(at, _)| at).find(|at| {
        let begins_a_line = *at == 0 || body.as_bytes()[at - 1] == b'\n' || body.as_bytes()[at - 1] == b'\r';
        begins_a_line && body[*at..].contains("Exception")
    })?;
    let text = &body[start + "Code: ".len()..];
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let code = text[..digits].parse().ok().filter(|code| *code != 0)?;
    let text = text[digits..].split("\n__exception__").next().unwrap_or_default();
    let text = text.split("Stack trace:").next().unwrap_or_default();
    let text = text.split_once("Exception: ").map_or(text, |(_, message)| message);
    let text = text.rsplit_once(" (version ").map_or(text, |(message, _)| message).trim_end();
    let (message, name) = match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((message, name)) if is_code_name(name) => (message, name),
        _ => (text, ""),
    };
    Some(Said { code, name, message })
}

fn is_code_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

/// The message as an operator may see it: on one line, of bounded length, without contents of rows.
fn presentable(message: &str, kind: Kind) -> String {
    // What follows these words is a row, or repeats the statement.
    const ROWS_FOLLOW: [&str; 8] = [
        "JSON object here:",
        "JSON element:",
        "Column values:",
        "Row 1:",
        "parsed text:",
        "Buffer with data",
        ": while executing 'FUNCTION",
        "(in query:",
    ];
    let end = ROWS_FOLLOW.iter().filter_map(|words| message.find(words)).min().unwrap_or(message.len());
    let mut kept = message[..end].trim_end().replace(['\n', '\r', '\t'], " ");
    if kind.may_quote_rows() {
        kept = without_values(&kept);
    }
    match kept.char_indices().nth(MESSAGE_CHARS_MAX - 1) {
        Some((cut, _)) if kept[cut..].chars().count() > 1 => format!("{}…", &kept[..cut]),
        _ => kept,
    }
}

/// Leaves out everything between the first and the last quote, and every free-standing number: each may be a
/// value of a row.
fn without_values(message: &str) -> String {
    let first = message.char_indices().find(|(at, letter)| match letter {
        '\'' => !message[..*at].ends_with(char::is_alphanumeric),
        letter => *letter == '"',
    });
    let unquoted = match first.and_then(|(at, quote)| Some((at, message[at + 1..].rfind(quote)? + at + 1))) {
        Some((first, last)) => format!("{}…{}", &message[..=first], &message[last..]),
        None => message.to_owned(),
    };
    let mut out = String::with_capacity(unquoted.len());
    let mut letters = unquoted.chars().peekable();
    let mut inside_a_word = false;
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() && !inside_a_word {
            while letters.next_if(|next| next.is_ascii_alphanumeric() || matches!(next, '.' | '-')).is_some()
            {
            }
            out.push('…');
        } else {
            inside_a_word = letter.is_alphanumeric() || letter == '_';
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
#[path = "exception_tests.rs"]
mod tests;
