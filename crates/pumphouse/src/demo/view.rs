//! What the demo shows while it runs: a live view on a terminal, a plain line a second elsewhere. Draws one
//! [`Snapshot`]; does not know where its figures come from.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, Wrap};

/// How many seconds the curves go back.
pub const CURVE_SECONDS: usize = 120;

/// Everything that is shown, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How far the demo is.
    pub phase: Phase,
    /// Time since the first event.
    pub elapsed: Duration,
    /// How long events are produced; until Ctrl-C where absent.
    pub run_for: Option<Duration>,
    /// Events produced in each second, the oldest first.
    pub produced_each_second: Vec<u64>,
    /// Rows that arrived in each second.
    pub rows_each_second: Vec<u64>,
    /// Events that Kafka acknowledged.
    pub produced: u64,
    /// Rows in the table.
    pub rows: u64,
    /// Rows in `pumphouse.dead_letters`.
    pub dead_letters: u64,
    /// Events past the committed offsets.
    pub lag: u64,
    /// Whether events wait because Kafka's mock would drop what is not committed yet.
    pub is_held: bool,
    /// From an event to its batch: the median of the last seconds.
    pub freshness_p50: Option<Duration>,
    /// The same, 99th percentile.
    pub freshness_p99: Option<Duration>,
    /// Batches in the table.
    pub batches: u64,
    /// Active parts of the table.
    pub parts: u64,
    /// What the worker is doing.
    pub worker: Worker,
    /// How often the worker was killed.
    pub kills: u32,
    /// What happened and when, the oldest first.
    pub happenings: Vec<(Duration, String)>,
    /// ClickHouse's address.
    pub url: String,
    /// A command to try.
    pub command: String,
}

/// How far the demo is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Events flow.
    #[default]
    Running,
    /// No more events; the worker finishes what is there.
    Draining,
    /// The worker ended; everything is counted.
    Counting,
}

/// What the worker process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Worker {
    /// Not started yet.
    #[default]
    Absent,
    /// Started, and no row of it seen yet.
    Starting {
        /// The process id.
        pid: u32,
    },
    /// It moves rows.
    Running {
        /// The process id.
        pid: u32,
    },
    /// Killed with -9, and not started again yet.
    Killed,
    /// Started again; the group waits until the dead member's session ends.
    Restarting {
        /// The process id.
        pid: u32,
    },
    /// It ended after it was asked to.
    Ended,
}

/// Draws the live view.
pub fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot) {
    let [head, curves, figures, happenings, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Min(3),
        Constraint::Length(4),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(headline(snapshot)), head);
    draw_curves(frame, curves, snapshot);
    draw_figures(frame, figures, snapshot);
    draw_happenings(frame, happenings, snapshot);
    draw_foot(frame, foot, snapshot);
}

/// The state as one line of plain text.
#[must_use]
pub fn plain_line(snapshot: &Snapshot) -> String {
    let held = if snapshot.is_held { " (held)" } else { "" };
    format!(
        "{:>4} s  produced {}{held}  rows {}  dead letters {}  lag {}  freshness {}  batches {}  parts {}  worker {}",
        snapshot.elapsed.as_secs(),
        grouped(snapshot.produced),
        grouped(snapshot.rows),
        grouped(snapshot.dead_letters),
        grouped(snapshot.lag),
        freshness(snapshot),
        grouped(snapshot.batches),
        grouped(snapshot.parts),
        worker_text(snapshot.worker),
    )
}

/// A number with a comma after each three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn headline(snapshot: &Snapshot) -> Line<'static> {
    let seconds = snapshot.elapsed.as_secs();
    let state = match (snapshot.phase, snapshot.run_for) {
        (Phase::Running, Some(run_for)) => format!("{seconds} of {} s", run_for.as_secs()),
        (Phase::Running, None) => format!("{seconds} s"),
        (Phase::Draining, _) => "no more events; the worker finishes".to_owned(),
        (Phase::Counting, _) => "counting".to_owned(),
    };
    Line::from(vec![
        Span::styled(" pumphouse demo ", Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)),
        Span::raw("  "),
        Span::raw(state),
    ])
}

fn draw_curves(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let produced = ("events/s into Kafka", &snapshot.produced_each_second, Color::Cyan);
    let rows = ("rows/s into ClickHouse", &snapshot.rows_each_second, Color::Green);
    for (area, (title, each_second, color)) in [(left, produced), (right, rows)] {
        let now = each_second.last().copied().unwrap_or(0);
        let block = Block::bordered().title(format!(" {title}: {} ", grouped(now)));
        let width = usize::from(block.inner(area).width);
        let shown = &each_second[each_second.len().saturating_sub(width)..];
        let curve = Sparkline::default().block(block).data(shown).style(Style::new().fg(color));
        frame.render_widget(curve, area);
    }
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let waits = if snapshot.is_held { "  held until more is committed" } else { "" };
    let counts = [
        ("produced", format!("{}{waits}", grouped(snapshot.produced))),
        ("rows", grouped(snapshot.rows)),
        ("dead letters", grouped(snapshot.dead_letters)),
        ("lag", grouped(snapshot.lag)),
        ("freshness", freshness(snapshot)),
    ];
    let kills = match snapshot.kills {
        0 => "not yet".to_owned(),
        1 => "once".to_owned(),
        more => format!("{more} times"),
    };
    let states = [
        ("worker", worker_text(snapshot.worker)),
        ("killed -9", kills),
        ("batches", grouped(snapshot.batches)),
        ("active parts", grouped(snapshot.parts)),
    ];
    let events = Paragraph::new(counts.map(|(name, value)| figure(name, value)).to_vec());
    let process = states.map(|(name, value)| figure(name, value).style(worker_style(name, snapshot.worker)));
    frame.render_widget(events.block(Block::bordered().title(" events ")), left);
    let process = Paragraph::new(process.to_vec()).block(Block::bordered().title(" process "));
    frame.render_widget(process, right);
}

fn figure(name: &str, value: String) -> Line<'static> {
    Line::from(vec![Span::raw(format!(" {name:<13}")), Span::raw(value).bold()])
}

fn worker_style(name: &str, worker: Worker) -> Style {
    match worker {
        Worker::Killed | Worker::Restarting { .. } if name == "worker" => Style::new().fg(Color::Red),
        _ => Style::new(),
    }
}

fn draw_happenings(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let block = Block::bordered().title(" what happened ");
    let height = usize::from(block.inner(area).height);
    let shown = &snapshot.happenings[snapshot.happenings.len().saturating_sub(height)..];
    let lines: Vec<Line<'_>> = shown.iter().map(|happening| Line::raw(happening_line(happening))).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A happening as one line of plain text.
#[must_use]
pub fn happening_line((at, what): &(Duration, String)) -> String {
    format!(" {:>6.1} s  {what}", at.as_secs_f64())
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let until = match snapshot.run_for {
        Some(run_for) => format!("ClickHouse is there for these {} s and the count", run_for.as_secs()),
        None => "ClickHouse is there until Ctrl-C".to_owned(),
    };
    let lines = vec![
        Line::from(format!(" {until}: {}", snapshot.url)),
        Line::from(format!(" Try: {}", snapshot.command)),
        Line::from(" Ctrl-C ends and counts").dim(),
    ];
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn freshness(snapshot: &Snapshot) -> String {
    match (snapshot.freshness_p50, snapshot.freshness_p99) {
        (Some(p50), Some(p99)) => format!("p50 {:.2} s  p99 {:.2} s", p50.as_secs_f64(), p99.as_secs_f64()),
        _ => "-".to_owned(),
    }
}

fn worker_text(worker: Worker) -> String {
    match worker {
        Worker::Absent => "-".to_owned(),
        Worker::Starting { pid } => format!("{pid} starts"),
        Worker::Running { pid } => format!("{pid} runs"),
        Worker::Killed => "killed -9".to_owned(),
        Worker::Restarting { pid } => format!("{pid} takes over"),
        Worker::Ended => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn at(seconds: u64, what: &str) -> (Duration, String) {
        (Duration::from_secs(seconds), what.to_owned())
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            elapsed: Duration::from_millis(12_400),
            run_for: Some(Duration::from_secs(20)),
            produced_each_second: vec![20_000; 12],
            rows_each_second: vec![
                0, 17_000, 21_000, 20_000, 20_000, 0, 0, 9_000, 48_000, 24_000, 20_000, 19_804,
            ],
            produced: 248_004,
            rows: 221_334,
            dead_letters: 1_102,
            lag: 25_568,
            freshness_p50: Some(Duration::from_millis(612)),
            freshness_p99: Some(Duration::from_millis(3_218)),
            batches: 24,
            parts: 9,
            worker: Worker::Restarting { pid: 4711 },
            kills: 2,
            happenings: vec![
                at(6, "worker 4689 killed with -9 in the middle of its work"),
                at(9, "rows flow again"),
                at(12, "worker 4700 killed with -9 in the middle of its work"),
            ],
            url: "http://127.0.0.1:18123".to_owned(),
            command:
                "curl http://127.0.0.1:18123 -d 'SELECT service, count() FROM demo.requests GROUP BY service'"
                    .to_owned(),
            ..Snapshot::default()
        }
    }

    fn drawn(snapshot: &Snapshot, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal");
        terminal.draw(|frame| draw(frame, snapshot)).expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn the_view_after_a_kill() {
        insta::assert_snapshot!(drawn(&snapshot(), 100, 26));
    }

    #[test]
    fn the_first_view_without_an_end() {
        insta::assert_snapshot!(drawn(&Snapshot::default(), 80, 24));
    }

    #[test]
    fn a_tiny_terminal_is_drawn_without_a_panic() {
        for (width, height) in [(1, 1), (5, 3), (20, 8), (200, 4)] {
            assert!(!drawn(&snapshot(), width, height).is_empty());
        }
    }

    #[test]
    fn the_latest_happenings_are_the_ones_that_fit() {
        let happenings = (0..40).map(|second| at(second, &format!("number {second}"))).collect();
        let view = drawn(&Snapshot { happenings, ..snapshot() }, 100, 26);
        assert!(view.contains("number 39") && !view.contains("number 12"), "{view}");
    }

    #[test]
    fn the_plain_line_says_the_same() {
        insta::assert_snapshot!(plain_line(&Snapshot { is_held: true, ..snapshot() }), @"  12 s  produced 248,004 (held)  rows 221,334  dead letters 1,102  lag 25,568  freshness p50 0.61 s  p99 3.22 s  batches 24  parts 9  worker 4711 takes over");
    }

    #[test]
    fn thousands_are_grouped() {
        let grouped = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
