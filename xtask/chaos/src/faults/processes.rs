//! Faults of pumphouse's processes: killed, stopped too long, coming and going, short of ClickHouse's memory.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Table;
use crate::ground::{INSERT_TIMEOUT, SESSION};
use crate::proxy::{LateAnswer, Trap};
use crate::schedule::{Deck, Fault};

/// How long an insert is waited for that may be kept back.
const CATCH_WITHIN: Duration = Duration::from_secs(20);
/// Deadlines are whole seconds by ClickHouse's clock: past them by so much, it is past them for certain.
const PAST_DEADLINE: Duration = Duration::from_secs(3);
/// Processes that are left alone when one is asked to leave.
const LEFT_MIN: usize = 2;

pub(super) fn break_one(table: &Table, fault: Fault, deck: &mut Deck) -> anyhow::Result<()> {
    let (processes, report) = (&table.processes, &table.report);
    let (running, choice, pause) = (processes.running(), deck.below(usize::MAX), deck.milliseconds(0..2_500));
    let Some(&victim) = running.get(choice % running.len().max(1)) else { return Ok(()) };
    match fault {
        Fault::Kill => {
            report.begins(fault, &format!("process {victim}, back after {pause:?}"));
            processes.kill(victim)?;
            table.wait(pause);
            processes.start(victim, None)
        }
        Fault::StopPastSession => {
            let time = SESSION + Duration::from_secs(1) + pause;
            report.begins(fault, &format!("process {victim} for {time:?}"));
            processes.signal(victim, Signal::STOP)?;
            table.wait(time);
            processes.signal(victim, Signal::CONT)
        }
        Fault::StopPastDeadline => stop_past_deadline(table),
        Fault::TightMemory => {
            report.begins(fault, &format!("process {victim}"));
            processes.kill(victim)?;
            processes.start(victim, Some(&table.ground.tight[victim]))?;
            table.wait(Duration::from_secs(5) + pause);
            processes.kill(victim)?;
            processes.start(victim, None)
        }
        Fault::Join => {
            if let Some(&free) = processes.free().first() {
                report.begins(fault, &format!("process {free}"));
                processes.start(free, None)
            } else {
                report.skips(fault, "every place has a process");
                Ok(())
            }
        }
        _ if running.len() > LEFT_MIN => {
            report.begins(fault, &format!("process {victim}"));
            let code = processes.leave(victim)?;
            report.note(&format!("process {victim} left with {code:?}"));
            Ok(())
        }
        _ => {
            report.skips(fault, "two processes are left");
            Ok(())
        }
    }
}

/// Keeps an insert back on its way, stops the process that sent it, and delivers the insert when its deadline has
/// passed: ClickHouse has to refuse it, since others have taken the batch over by then.
fn stop_past_deadline(table: &Table) -> anyhow::Result<()> {
    let (proxies, report) = (&table.ground.clickhouse_proxies, &table.report);
    let Some(victim) = catch_insert(table) else {
        report.skips(Fault::StopPastDeadline, "no insert came in time");
        return Ok(());
    };
    table.processes.signal(victim, Signal::STOP)?;
    report.begins(Fault::StopPastDeadline, &format!("process {victim}"));
    // Not cut short by the end of the run: what is kept back has to arrive late.
    thread::sleep(INSERT_TIMEOUT + PAST_DEADLINE);
    match proxies[victim].deliver_held() {
        Some(LateAnswer::Refused) => report.late("refused: its deadline had passed".to_owned()),
        Some(LateAnswer::Other(answer)) if answer.starts_with("HTTP/1.1 200") => {
            report.trouble(format!("ClickHouse took an insert past its deadline: {answer}"));
        }
        Some(LateAnswer::Other(answer)) => report.late(answer),
        None => {}
    }
    table.processes.signal(victim, Signal::CONT)
}

/// The place whose process first sends an insert, which is kept back; another one that came at once is passed on.
fn catch_insert(table: &Table) -> Option<usize> {
    let (proxies, running) = (&table.ground.clickhouse_proxies, table.processes.running());
    for place in &running {
        proxies[*place].set_trap(Trap::Hold);
    }
    let begun = Instant::now();
    let mut caught = None;
    while caught.is_none() && begun.elapsed() < CATCH_WITHIN && !table.stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(2));
        caught = running.iter().copied().find(|place| proxies[*place].holds());
    }
    for place in running {
        proxies[place].remove_trap();
        if Some(place) != caught {
            proxies[place].deliver_held();
        }
    }
    caught
}
