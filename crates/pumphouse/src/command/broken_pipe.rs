//! What happens when a print fails. Nobody reads on: `pumphouse explain PH-0021 | head -1` ends without a word, as other
//! tools do. A full disk: a line on standard error. Rust keeps SIGPIPE from ending a process, and a print that fails panics.

use std::io::{self, ErrorKind, Write as _};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use crate::fault::Exit;

/// What a shell sees of a process that SIGPIPE ended.
const ENDED_BY_SIGPIPE: u8 = 128 + 13;

/// From here on a print that fails ends the process. To be called once, before anything is printed.
pub fn end_quietly() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let failed = said(panic).and_then(failed_print);
        match failed {
            Some(FailedPrint::Unread) => end(ENDED_BY_SIGPIPE),
            Some(FailedPrint::Other(why)) => {
                // Standard error may be as full.
                let _ = writeln!(io::stderr(), "pumphouse: {why}");
                end(Exit::Failed.number());
            }
            None => others(panic),
        }
    }));
}

/// Whether an error comes from writing to somebody who has gone.
#[must_use]
pub fn is_cause_of(error: &anyhow::Error) -> bool {
    let gone = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(gone)
}

/// How a process ends that nobody listens to.
#[must_use]
pub fn exit() -> ExitCode {
    ExitCode::from(ENDED_BY_SIGPIPE)
}

/// Why a print failed.
#[derive(Debug, PartialEq, Eq)]
enum FailedPrint<'a> {
    /// Nobody reads on.
    Unread,
    /// Anything else, in the words of the system.
    Other(&'a str),
}

fn said<'a>(panic: &'a PanicHookInfo<'_>) -> Option<&'a str> {
    panic.payload().downcast_ref::<String>().map(String::as_str)
}

/// By the words with which `print!` panics.
fn failed_print(said: &str) -> Option<FailedPrint<'_>> {
    said.starts_with("failed printing to std")
        .then(|| if said.contains("Broken pipe") { FailedPrint::Unread } else { FailedPrint::Other(said) })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the panic is under way, and unwinding would only find more that can't be printed"
)]
fn end(code: u8) {
    std::process::exit(i32::from(code));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_and_a_closed_pipe_is_not() {
        let full = "failed printing to stdout: No space left on device (os error 28)";
        assert_eq!(failed_print(full), Some(FailedPrint::Other(full)));
        let closed = "failed printing to stdout: Broken pipe (os error 32)";
        assert_eq!(failed_print(closed), Some(FailedPrint::Unread));
        assert_eq!(failed_print("it was chosen from"), None);
    }
}
