//! What happens when nobody reads on: `pumphouse explain PH-0021 | head -1` ends without a word, as other tools do.
//! Rust keeps SIGPIPE from ending a process, and a print that fails then panics.

use std::io::{self, ErrorKind};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

/// What a shell sees of a process that SIGPIPE ended.
const ENDED_BY_SIGPIPE: u8 = 128 + 13;

/// From here on a print that nobody reads ends the process. To be called once, before anything is printed.
pub fn end_quietly() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if is_unread_print(panic) {
            end();
        }
        others(panic);
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

/// The words with which `print!` panics.
fn is_unread_print(panic: &PanicHookInfo<'_>) -> bool {
    let said = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
    said.starts_with("failed printing to std") && said.contains("Broken pipe")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the panic is under way, and unwinding would only find more that can't be printed"
)]
fn end() {
    std::process::exit(i32::from(ENDED_BY_SIGPIPE));
}
