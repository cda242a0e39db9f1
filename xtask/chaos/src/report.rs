//! What the run says: a log of every fault with its time, a line every ten seconds, the figures at the end. Judges
//! nothing but the exit code.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use crate::oracle::Findings;
use crate::schedule::{Fault, kinds};

/// Written by all hands.
pub(crate) struct Report {
    begun: Instant,
    written: Mutex<Written>,
}

struct Written {
    log: File,
    faults: BTreeMap<Fault, u64>,
    skipped: BTreeMap<Fault, String>,
    late: BTreeMap<String, u64>,
    aborted: u64,
    /// What should not have happened, whatever the count says.
    troubles: Vec<String>,
}

/// The figures of a run.
pub(crate) struct Figures {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    pub(crate) drained_seconds: f64,
    pub(crate) late_refused_in_log: u64,
    /// Warnings that a view made by hand may lack a batch.
    pub(crate) warned: u64,
    pub(crate) findings: Findings,
}

impl Report {
    pub(crate) fn new(folder: &Path) -> std::io::Result<Self> {
        let written = Written {
            log: File::create(folder.join("chaos.log"))?,
            faults: BTreeMap::new(),
            skipped: BTreeMap::new(),
            late: BTreeMap::new(),
            aborted: 0,
            troubles: Vec::new(),
        };
        Ok(Self { begun: Instant::now(), written: Mutex::new(written) })
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// A line in the log of faults.
    pub(crate) fn note(&self, what: &str) {
        let seconds = self.seconds();
        let mut written = self.written();
        // A log that can't be written ends no run.
        let _ = writeln!(written.log, "{seconds:8.2}  {what}");
    }

    pub(crate) fn begins(&self, fault: Fault, how: &str) {
        self.note(&format!("{fault:?} {how}"));
        *self.written().faults.entry(fault).or_default() += 1;
    }

    /// A fault that was dealt and could not be done.
    pub(crate) fn skips(&self, fault: Fault, why: &str) {
        self.note(&format!("{fault:?} not done: {why}"));
        self.written().skipped.insert(fault, why.to_owned());
    }

    /// What became of an insert that was kept back past its deadline.
    pub(crate) fn late(&self, answer: String) {
        self.note(&format!("late insert: {answer}"));
        *self.written().late.entry(answer).or_default() += 1;
    }

    /// ClickHouse ended by itself.
    pub(crate) fn aborted(&self) {
        self.note("ClickHouse ended by itself; it is started again");
        self.written().aborted += 1;
    }

    /// Something that must not happen.
    pub(crate) fn trouble(&self, what: String) {
        self.note(&format!("TROUBLE {what}"));
        self.written().troubles.push(what);
    }

    pub(crate) fn faults(&self) -> u64 {
        self.written().faults.values().sum()
    }

    /// Prints the figures; whether all is well.
    pub(crate) fn end(&self, figures: &Figures, as_json: bool) -> bool {
        let written = self.written();
        let findings = &figures.findings;
        let is_well = findings.is_exact(figures.warned) && written.troubles.is_empty();
        if as_json {
            println!("{}", written.json(figures));
        } else {
            written.print(figures);
        }
        is_well
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn print(&self, figures: &Figures) {
        let Figures { findings, .. } = figures;
        println!("\nfaults by kind");
        for kind in kinds() {
            let times = self.faults.get(&kind).copied().unwrap_or_default();
            let name = format!("{kind:?}");
            match self.skipped.get(&kind) {
                Some(why) => println!("  {name:<24} {times:>5}  not always done: {why}"),
                None if times == 0 => println!("  {name:<24} {times:>5}  not drawn"),
                None => println!("  {name:<24} {times:>5}"),
            }
        }
        println!("late inserts, as ClickHouse answered them: {:?}", self.late);
        println!(
            "inserts that ClickHouse's log has as refused for their deadline: {}",
            figures.late_refused_in_log
        );
        println!("ClickHouse ended by itself: {} times", self.aborted);
        for trouble in &self.troubles {
            println!("trouble: {trouble}");
        }
        for told in &findings.told {
            println!("{told}");
        }
        println!(
            "{:.1} minutes, {} events, {} rows, {} dead letters, {} faults, drained in {:.0} s",
            figures.minutes,
            findings.events,
            findings.rows,
            findings.letters,
            self.faults.values().sum::<u64>(),
            figures.drained_seconds,
        );
        println!(
            "wrong sums of the rollup {}, of the view made by hand {} ({} warnings PH-0066 that it may lack a batch)",
            findings.sums, findings.views, figures.warned
        );
        println!(
            "lost {}, doubled {}, changed {}, not produced {}",
            findings.lost, findings.doubled, findings.changed, findings.foreign
        );
    }

    fn json(&self, figures: &Figures) -> serde_json::Value {
        let Figures { findings, .. } = figures;
        let faults: BTreeMap<String, u64> = kinds()
            .into_iter()
            .map(|kind| (format!("{kind:?}"), self.faults.get(&kind).copied().unwrap_or_default()))
            .collect();
        json!({
            "seed": figures.seed,
            "minutes": figures.minutes,
            "drained_seconds": figures.drained_seconds,
            "events": findings.events,
            "rows": findings.rows,
            "dead_letters": findings.letters,
            "faults": faults,
            "late_inserts": self.late,
            "clickhouse_ended_by_itself": self.aborted,
            "late_refused_in_log": figures.late_refused_in_log,
            "troubles": self.troubles,
            "lost": findings.lost,
            "doubled": findings.doubled,
            "changed": findings.changed,
            "not_produced": findings.foreign,
            "wrong_sums": findings.sums,
            "wrong_sums_of_view": findings.views,
            "view_warnings": figures.warned,
            "findings": findings.told,
        })
    }
}
