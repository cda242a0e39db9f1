//! `internal calibrate`: what `simulate` says of three configurations against what a real ClickHouse does with them.
//! Everything runs as the user would run it, as processes of this binary; only the counting is done here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::demo::events;
use crate::embedded::{clickhouse, kafka};

/// Between two counts of parts.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Until the writer has its partitions and its first batch has landed.
const READY_WITHIN: Duration = Duration::from_mins(2);
const END_WITHIN: Duration = Duration::from_mins(1);

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Calibrate {
    /// Seconds of each configuration
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u64).range(20..=3600))]
    seconds: u64,
    /// Events per second
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=200_000))]
    rate: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One configuration.
struct Case {
    name: &'static str,
    freshness: &'static str,
    partition_by: &'static str,
    spread: Option<&'static str>,
    has_rollup: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: "months, 1 s",
        freshness: "1s",
        partition_by: "toYYYYMM(ts)",
        spread: None,
        has_rollup: false,
    },
    Case {
        name: "30 days, 1 s",
        freshness: "1s",
        partition_by: "toDate(ts - toIntervalDay(_offset % 30))",
        spread: Some("29d"),
        has_rollup: false,
    },
    Case {
        name: "months, 0.2 s, rollup",
        freshness: "200ms",
        partition_by: "toYYYYMM(ts)",
        spread: None,
        has_rollup: true,
    },
];

/// Parts at a moment: of the fullest table partition, and of all tables.
type Count = (u64, u64);

impl Calibrate {
    /// Runs all of them, one after the other.
    ///
    /// # Errors
    /// When a server does not start, or a process of ours does not do its part.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let exe = env::current_exe().context("the path of this program is not known")?;
        let clickhouse = clickhouse::Launch::new(&exe).start_unless_given()?;
        let kafka = kafka::Launch::new(&exe).start_unless_given()?;
        let folder = tempfile::tempdir()?;
        let bench = Bench { exe: &exe, clickhouse: &clickhouse, brokers: kafka.brokers(), asked: &self };
        let mut rows = Vec::new();
        for (number, case) in CASES.iter().enumerate() {
            eprintln!("{}: {} s", case.name, self.seconds);
            rows.push(bench.compare(case, number, folder.path())?);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            print!("{}", table(&rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Bench<'a> {
    exe: &'a Path,
    clickhouse: &'a clickhouse::Server,
    brokers: &'a str,
    asked: &'a Calibrate,
}

impl Bench<'_> {
    fn compare(&self, case: &Case, number: usize, folder: &Path) -> anyhow::Result<Value> {
        let database = format!("calibrate_{number}");
        let config = folder.join(format!("{database}.yaml"));
        fs::write(&config, self.yaml(case, &database))?;
        let counts = self.measure(&database, &config)?;
        let log = self.part_log(&database)?;
        let predicted = self.predict(case, &config, &log)?;
        let half = &counts[counts.len() / 2..];
        let sum: u64 = half.iter().map(|(_, all)| *all).sum();
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let mean = sum as f64 / half.len().max(1) as f64;
        Ok(json!({
            "case": case.name,
            "parts_most": { "measured": counts.iter().map(|(one, _)| *one).max(), "predicted": predicted["parts_most"] },
            "parts_mean": { "measured": mean, "predicted": predicted["parts_total_mean"] },
            "inserts": { "measured": log["inserts"], "predicted": predicted["inserts"] },
            "merged_per_inserted": { "measured": log["merged_per_inserted"], "predicted": predicted["merged_per_inserted"] },
            "part_log": log,
        }))
    }

    fn yaml(&self, case: &Case, database: &str) -> String {
        let Case { freshness, partition_by, has_rollup, .. } = case;
        let columns =
            events::COLUMNS.map(|(name, column_type)| format!("      {name}: {column_type}\n")).concat();
        let rollup = if *has_rollup {
            "    rollups:\n      per_minute: { every: 1 minute of ts, dimensions: [service, endpoint], metrics: { requests: count() } }\n"
        } else {
            ""
        };
        let (url, brokers) = (self.clickhouse.url(), self.brokers);
        format!(
            "clickhouse: {{ url: \"{url}\", database: {database} }}\nkafka: {{ brokers: \"{brokers}\" }}\nstreams:\n  \
             requests:\n    from: {{ topic: {database}, format: json }}\n    batch: {{ freshness: {freshness} }}\n    columns:\n\
             {columns}    table: {{ order_by: [service, endpoint, ts], partition_by: \"{partition_by}\" }}\n{rollup}"
        )
    }

    /// Lets events come and counts parts, once the first rows are there.
    fn measure(&self, database: &str, config: &Path) -> anyhow::Result<Vec<Count>> {
        let Calibrate { seconds, rate, .. } = *self.asked;
        let events = (rate * (seconds + READY_WITHIN.as_secs())).to_string();
        let rate = rate.to_string();
        let words =
            ["internal", "produce", "--brokers", self.brokers, "--topic", database, "--create", "--events"];
        let _producer =
            self.start(words.iter().copied().chain([events.as_str(), "--rate", &rate]), config)?;
        let file = config.to_string_lossy();
        self.finish(["apply", "--config", &file])?;
        let mut writer = self.start(["run", "--config", &file].into_iter(), config)?;
        let begun = Instant::now();
        while self.count(database)?.1 == 0 {
            if begun.elapsed() > READY_WITHIN || writer.0.try_wait()?.is_some() {
                bail!("no rows: {}", fs::read_to_string(log_of(config))?);
            }
            thread::sleep(COUNT_EVERY);
        }
        let (begun, mut counts) = (Instant::now(), Vec::new());
        while begun.elapsed() < Duration::from_secs(seconds) {
            counts.push(self.count(database)?);
            thread::sleep(COUNT_EVERY);
        }
        writer.end()?;
        Ok(counts)
    }

    fn count(&self, database: &str) -> anyhow::Result<Count> {
        let sql = format!(
            "SELECT toUInt64(max(n)), toUInt64(sum(n)) FROM (SELECT count() AS n FROM system.parts \
             WHERE database = '{database}' AND active GROUP BY table, partition_id) FORMAT TSV"
        );
        let answer = self.clickhouse.query(&sql)?;
        let (one, all) = answer.trim_end().split_once('\t').context("two numbers were asked for")?;
        Ok((one.parse()?, all.parse()?))
    }

    /// What inserts and merges did, as the server wrote it down.
    fn part_log(&self, database: &str) -> anyhow::Result<Value> {
        self.clickhouse.query("SYSTEM FLUSH LOGS")?;
        let sql = format!(
            "WITH event_type = 'NewPart' AS is_new, event_type = 'MergeParts' AS is_merge,
               duration_ms / 1000 AS seconds, ProfileEvents['OSCPUVirtualTimeMicroseconds'] / 1e6 AS cpu, length(merged_from) AS sources
             SELECT uniqIf(query_id, is_new) AS inserts, countIf(is_new) AS parts_made,
               sumIf(size_in_bytes, is_new AND table = 'requests') / sumIf(rows, is_new AND table = 'requests') AS row_bytes,
               countIf(is_merge) AS merges, avgIf(sources, is_merge) AS parts_a_merge,
               sumIf(size_in_bytes, is_merge) / sumIf(size_in_bytes, is_new) AS merged_per_inserted,
               avgIf(seconds, is_new) AS part_seconds,
               avgIf(seconds, is_merge AND size_in_bytes < 500000) AS small_merge_seconds,
               sumIf(size_in_bytes, is_merge AND size_in_bytes > 4000000)
                 / sumIf(seconds, is_merge AND size_in_bytes > 4000000) AS merge_bytes_per_second,
               tupleElement(simpleLinearRegressionIf(size_in_bytes, cpu, is_merge), 1) AS core_seconds_a_byte,
               tupleElement(simpleLinearRegressionIf(size_in_bytes, cpu, is_merge), 2) AS core_seconds_a_merge,
               (SELECT avg(query_duration_ms) / 1000 FROM system.query_log WHERE type = 'QueryFinish'
                 AND query_kind = 'Insert' AND has(databases, '{database}')) AS insert_seconds
             FROM system.part_log WHERE database = '{database}' AND error = 0 FORMAT JSONEachRow
             SETTINGS output_format_json_quote_64bit_integers = 0, output_format_json_quote_denormals = 0"
        );
        Ok(serde_json::from_str(&self.clickhouse.query(&sql)?)?)
    }

    fn predict(&self, case: &Case, config: &Path, log: &Value) -> anyhow::Result<Value> {
        let Calibrate { seconds, rate, .. } = *self.asked;
        let mut command = Command::new(self.exe);
        command.args(["simulate", "--json", "--config"]).arg(config);
        command.args(["--rate", &rate.to_string(), "--for", &format!("{seconds}s")]);
        command.args(["--row-bytes", &number_of(log, "row_bytes").to_string()]);
        // The simulation adds the time for its parts itself.
        let parts = number_of(log, "parts_made") / number_of(log, "inserts").max(1.0);
        let insert = (number_of(log, "insert_seconds") * 1000.0 - 2.0 * parts).max(1.0);
        command.args(["--insert-time", &format!("{insert:.0}ms")]);
        if let Some(spread) = case.spread {
            command.args(["--spread", spread]);
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        serde_json::from_slice(&output.stdout).context("simulate prints no JSON")
    }

    fn start<'w>(&self, words: impl Iterator<Item = &'w str>, config: &Path) -> anyhow::Result<Ours> {
        let log = fs::File::options().create(true).append(true).open(log_of(config))?;
        let mut command = Command::new(self.exe);
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Ours(command.spawn().context("a process of our own did not start")?))
    }

    fn finish<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> anyhow::Result<()> {
        let output = Command::new(self.exe).args(words).output()?;
        if !output.status.success() {
            bail!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

fn log_of(config: &Path) -> PathBuf {
    config.with_extension("log")
}

/// A process that ends with this value.
struct Ours(Child);

impl Ours {
    /// Asks it to end, and waits until it has.
    fn end(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let begun = Instant::now();
        while self.0.try_wait()?.is_none() {
            if begun.elapsed() > END_WITHIN {
                bail!("a process of our own did not end within {END_WITHIN:?}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number_of(log: &Value, name: &str) -> f64 {
    log[name].as_f64().unwrap_or_default()
}

/// The figures as the guide shows them.
fn table(rows: &[Value]) -> String {
    let head = "| configuration | what | measured | predicted | error |\n|---|---|---|---|---|\n";
    let lines = rows.iter().flat_map(|row| {
        let of = [
            ("parts_most", "most parts of a table partition"),
            ("parts_mean", "mean parts of all tables"),
            ("inserts", "inserts"),
            ("merged_per_inserted", "bytes merged per byte inserted"),
        ];
        of.map(|(name, what)| {
            let [measured, predicted] = ["measured", "predicted"].map(|side| number_of(&row[name], side));
            let error = 100.0 * (predicted - measured) / measured.max(f64::MIN_POSITIVE);
            let case = row["case"].as_str().unwrap_or_default();
            format!("| {case} | {what} | {measured:.1} | {predicted:.1} | {error:+.0} % |\n")
        })
    });
    let logs =
        rows.iter().map(|row| format!("{}: {}\n", row["case"].as_str().unwrap_or_default(), row["part_log"]));
    format!("{head}{}\n{}", lines.collect::<String>(), logs.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_the_error_in_percent() {
        let both = |measured: f64, predicted: f64| json!({ "measured": measured, "predicted": predicted });
        let row = json!({
            "case": "months", "parts_most": both(20.0, 25.0), "parts_mean": both(10.0, 9.0), "inserts": both(300.0, 300.0),
            "merged_per_inserted": both(4.0, 5.0), "part_log": {},
        });
        let text = table(&[row]);
        assert!(
            text.contains("| months | most parts of a table partition | 20.0 | 25.0 | +25 % |"),
            "{text}"
        );
        assert!(text.contains("| months | mean parts of all tables | 10.0 | 9.0 | -10 % |"), "{text}");
    }
}
