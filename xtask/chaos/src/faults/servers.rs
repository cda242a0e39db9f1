//! Faults of the two servers: restarted, killed, frozen, out of room. Each is well again when its function returns.

use std::fs::{self, File};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use pumphouse::embedded::kafka;
use rustix::process::{Pid, Signal, kill_process};

use super::Table;
use super::supervised::Supervised;
use crate::ground::{DATABASE, TABLES};
use crate::http::ClickHouse;
use crate::schedule::{Deck, Fault};

/// How long a server gets to end in order.
const END_IN_ORDER: Duration = Duration::from_secs(4);
/// How long a setting is tried to be set back.
const UNDO_WITHIN: Duration = Duration::from_mins(1);
/// Room that is left: less than ClickHouse reserves, and enough that nothing ends in the middle of a file.
const LEFT: u64 = 900 << 10;
/// What the filler is written in.
const PIECE: usize = 4 << 20;

pub(super) fn kafka(
    table: &Table,
    kafka: &mut kafka::Server,
    fault: Fault,
    deck: &mut Deck,
) -> anyhow::Result<()> {
    let away = deck.milliseconds(500..4_000);
    table.report.begins(fault, &format!("away for {away:?}"));
    match fault {
        Fault::BrokerPause => {
            kafka.pause()?;
            table.wait(away * 2);
            kafka.resume()?;
        }
        Fault::BrokerRestart => {
            ask_to_end(kafka.pid());
            kafka.restart()?;
        }
        _ => {
            kafka.kill()?;
            table.wait(away);
            kafka.restart()?;
        }
    }
    Ok(())
}

pub(super) fn clickhouse(
    table: &Table,
    server: &Supervised,
    fault: Fault,
    deck: &mut Deck,
) -> anyhow::Result<()> {
    let (away, victim) = (deck.milliseconds(500..4_000), TABLES[deck.below(TABLES.len())]);
    match fault {
        Fault::TooManyParts => {
            let limits = (
                "parts_to_delay_insert = 1, parts_to_throw_insert = 1",
                "parts_to_delay_insert, parts_to_throw_insert",
            );
            return with_setting(table, fault, victim, limits, away * 2);
        }
        Fault::ReadOnlyTable => {
            return with_setting(table, fault, victim, ("table_readonly = 1", "table_readonly"), away * 2);
        }
        Fault::FullDisk => return fill_disk(table, away * 2),
        _ => {}
    }
    let mut server = server.hold();
    table.report.begins(fault, &format!("away for {away:?}"));
    match fault {
        Fault::ClickHousePause => {
            server.pause()?;
            table.wait(away * 2);
            server.resume()?;
        }
        Fault::ClickHouseRestart => {
            ask_to_end(server.pid());
            server.restart()?;
        }
        _ => {
            server.kill()?;
            table.wait(away);
            server.restart()?;
        }
    }
    Ok(())
}

/// SIGTERM, and time to heed it; whoever restarts the server kills what is left.
fn ask_to_end(pid: Option<u32>) {
    let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else { return };
    let asked = Instant::now();
    let _ = kill_process(pid, Signal::TERM);
    while asked.elapsed() < END_IN_ORDER
        && fs::exists(format!("/proc/{}", pid.as_raw_nonzero())).unwrap_or(false)
    {
        thread::sleep(Duration::from_millis(50));
    }
}

fn with_setting(
    table: &Table,
    fault: Fault,
    victim: &str,
    (set, reset): (&str, &str),
    time: Duration,
) -> anyhow::Result<()> {
    let clickhouse = table.ground.address;
    if let Err(error) = clickhouse.ask(&format!("ALTER TABLE {DATABASE}.{victim} MODIFY SETTING {set}")) {
        table.report.skips(fault, &format!("{victim}: {error:.120}"));
        return Ok(());
    }
    table.report.begins(fault, &format!("{victim} for {time:?}"));
    table.wait(time);
    until_answered(clickhouse, &format!("ALTER TABLE {DATABASE}.{victim} RESET SETTING {reset}"))
}

/// Undoes something, however long ClickHouse is away meanwhile.
fn until_answered(clickhouse: ClickHouse, undo: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match clickhouse.ask(undo) {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > UNDO_WITHIN => return Err(error).context("it can't be undone"),
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Writes a file until ClickHouse's disk has room for nothing that it reserves (a megabyte at least), and removes it
/// after a while. Merges rest meanwhile: one that meets the end of the disk on its way can leave a part with an empty
/// file of marks in the place of those it merged (seen on 26.7), and then ClickHouse has lost what it acknowledged.
fn fill_disk(table: &Table, time: Duration) -> anyhow::Result<()> {
    let Some(disk) = &table.ground.disk else {
        table.report.skips(Fault::FullDisk, "a small disk can be mounted by root only");
        return Ok(());
    };
    if let Err(error) = table.ground.address.ask("SYSTEM STOP MERGES") {
        table.report.skips(Fault::FullDisk, &format!("merges go on: {error:.80}"));
        return Ok(());
    }
    let path = disk.join("filler");
    let mut filler = File::create(&path)?;
    let mut piece = vec![0x5a; PIECE];
    // Ever smaller pieces, until not even one page is left.
    while piece.len() >= 4096 {
        if filler.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
    filler.set_len(filler.metadata()?.len().saturating_sub(LEFT))?;
    table.report.begins(Fault::FullDisk, &format!("for {time:?}"));
    table.wait(time);
    drop(filler);
    fs::remove_file(&path).context("the filler can't be removed")?;
    until_answered(table.ground.address, "SYSTEM START MERGES")
}
