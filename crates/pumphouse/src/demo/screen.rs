//! Where the demo is shown: the live view on a terminal, a plain line a second elsewhere. Hears Ctrl-C on a terminal,
//! which sends no signal while the live view is there.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};

use super::view::{self, Snapshot};

/// A place to show snapshots.
pub enum Screen {
    /// A terminal that the view covers; given back when this value is dropped.
    Live(Box<DefaultTerminal>),
    /// Anything else.
    Lines(Lines),
}

/// Plain lines: one a second, and one for each happening.
pub struct Lines {
    out: Box<dyn Write>,
    next: Duration,
    told: usize,
}

impl Screen {
    /// Covers the terminal if standard output is one and `may_cover` says so; else lines, on standard output, or on
    /// standard error where standard output is kept for the result.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn open(may_cover: bool) -> io::Result<Self> {
        match (may_cover, io::stdout().is_terminal()) {
            (true, true) => ratatui::try_init().map(|terminal| Self::Live(Box::new(terminal))),
            (true, false) => Ok(Self::Lines(Lines::new(Box::new(io::stdout())))),
            (false, _) => Ok(Self::Lines(Lines::new(Box::new(io::stderr())))),
        }
    }

    /// Shows a snapshot. A terminal that went away is no reason to stop counting.
    pub fn show(&mut self, snapshot: &Snapshot) {
        match self {
            Self::Live(terminal) => drop(terminal.draw(|frame| view::draw(frame, snapshot))),
            Self::Lines(lines) => lines.show(snapshot),
        }
    }

    /// Whether Ctrl-C, `q` or Escape was pressed since the last time.
    #[must_use]
    pub fn asks_to_end(&mut self) -> bool {
        let Self::Live(_) = self else { return false };
        let mut asked = false;
        while event::poll(Duration::ZERO).unwrap_or(false) {
            asked |= matches!(event::read(), Ok(Event::Key(key)) if is_end(key));
        }
        asked
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Self::Live(_) = self {
            ratatui::restore();
        }
    }
}

fn is_end(key: KeyEvent) -> bool {
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

impl Lines {
    /// Lines to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write>) -> Self {
        Self { out, next: Duration::ZERO, told: 0 }
    }

    fn show(&mut self, snapshot: &Snapshot) {
        for happening in snapshot.happenings.iter().skip(self.told) {
            let _ = writeln!(self.out, "{}", view::happening_line(happening));
        }
        self.told = snapshot.happenings.len();
        if snapshot.elapsed >= self.next {
            self.next = Duration::from_secs(snapshot.elapsed.as_secs() + 1);
            let _ = writeln!(self.out, "{}", view::plain_line(snapshot));
        }
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn there_is_a_line_a_second_and_each_happening_once() {
        let shared = Shared::default();
        let mut lines = Lines::new(Box::new(shared.clone()));
        let mut snapshot = Snapshot::default();
        for tenth in 0..25_u64 {
            snapshot.elapsed = Duration::from_millis(tenth * 100);
            if tenth == 12 {
                snapshot.happenings.push((snapshot.elapsed, "something".to_owned()));
            }
            lines.show(&snapshot);
        }
        let text = shared.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("UTF-8");
        let starts: Vec<_> = text.lines().map(|line| line.trim_start().split("  ").next()).collect();
        assert_eq!(starts, [Some("0 s"), Some("1 s"), Some("1.2 s"), Some("2 s")], "{text}");
    }

    #[test]
    fn ctrl_c_ends_and_c_does_not() {
        assert!(is_end(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(is_end(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(!is_end(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE)));
    }
}
