//! Telling that something takes a while: a spinner on a terminal, two plain lines elsewhere, both on standard error.
//! Does not know what is waited for.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Error;

const TICK: Duration = Duration::from_millis(120);

/// Runs `work` under the title `what`, for example "fetching Apache Kafka 4.3.1 (54 MB)".
pub(super) fn during<T>(what: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    if !io::stderr().is_terminal() {
        return in_plain_lines(what, work);
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is constant");
    let spinner = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    let outcome = work();
    spinner.finish_and_clear();
    outcome
}

fn in_plain_lines<T>(what: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    say(&format!("pumphouse: {what}"));
    let done = work()?;
    say(&format!("pumphouse: {what}: done in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(done)
}

/// A closed standard error is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
