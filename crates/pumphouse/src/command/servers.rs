//! `internal servers start|stop|status`: one pair of real servers that outlives the command, told as shell exports.
//! A detached keeper holds both; when it is gone, by whatever, so are they.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, str};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal, kill_process, setsid};
use tokio::signal::unix::{SignalKind, signal};

use crate::embedded::{clickhouse, kafka, kafka_jars, libchdb};

const START_WITHIN: Duration = Duration::from_secs(150);
const STOP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Real servers that stay.
#[derive(Debug, Args)]
pub struct Servers {
    #[command(subcommand)]
    action: Action,
    /// The folder that remembers them [default: ~/.local/state/pumphouse/servers]
    #[arg(long, global = true)]
    state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Starts ClickHouse and Kafka if they do not run, and prints their addresses as shell exports
    Start,
    /// Stops both and removes their data
    Stop,
    /// Prints the addresses, or what is down (exit code 1)
    Status,
    /// Holds both until it is ended; what `start` detaches
    #[command(hide = true)]
    Keep,
}

pub(super) fn run(servers: &Servers) -> anyhow::Result<ExitCode> {
    let state = State::open(servers.state.as_deref())?;
    match servers.action {
        Action::Start => start(&state),
        Action::Stop => stop(&state),
        Action::Status => Ok(status(&state)),
        Action::Keep => keep(&state),
    }
}

fn start(state: &State) -> anyhow::Result<ExitCode> {
    if !state.is_kept()? {
        // Here, where progress is seen, not in the keeper.
        libchdb().transpose()?;
        kafka_jars()?;
        state.forget_exports()?;
        let log = File::create(state.keeper_log())?;
        let mut keeper = Command::new(env::current_exe()?);
        keeper.args(["internal", "servers", "keep", "--state"]).arg(&state.folder);
        keeper.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut keeper = keeper.spawn().context("the keeper could not be started")?;
        let started = Instant::now();
        while state.exports().is_none() {
            if let Some(status) = keeper.try_wait()? {
                let said = fs::read_to_string(state.keeper_log())?;
                bail!("the keeper ended with {status}:\n{}", said.trim_end());
            }
            if started.elapsed() > START_WITHIN {
                keeper.kill()?;
                bail!("not ready within {START_WITHIN:?}; see {}", state.keeper_log().display());
            }
            thread::sleep(POLL);
        }
    }
    Ok(status(state))
}

fn stop(state: &State) -> anyhow::Result<ExitCode> {
    if !state.is_kept()? {
        eprintln!("pumphouse: no servers were running");
        return Ok(ExitCode::SUCCESS);
    }
    let keeper = fs::read_to_string(state.keeper_pid()).context("reading the keeper's process id")?;
    let keeper = keeper.trim().parse().ok().and_then(Pid::from_raw).context("no process id in its file")?;
    let exports = state.exports();
    kill_process(keeper, Signal::TERM).context("ending the keeper")?;
    let started = Instant::now();
    while state.is_kept()? || exports.as_ref().is_some_and(Exports::any_is_up) {
        if started.elapsed() > STOP_WITHIN {
            bail!("still up after {STOP_WITHIN:?}");
        }
        thread::sleep(POLL);
    }
    state.forget_exports()?;
    eprintln!("pumphouse: both servers are stopped");
    Ok(ExitCode::SUCCESS)
}

fn status(state: &State) -> ExitCode {
    let Some(exports) = state.exports().filter(|_| state.is_kept().unwrap_or(false)) else {
        eprintln!("pumphouse: no servers are running; `cargo xtask servers start` starts them");
        return ExitCode::FAILURE;
    };
    let down = exports.down();
    for line in &down {
        eprintln!("pumphouse: {line}");
    }
    if !down.is_empty() {
        eprintln!(
            "pumphouse: `cargo xtask servers stop`, then `start`, brings up both; their log is {}",
            state.keeper_log().display()
        );
        return ExitCode::FAILURE;
    }
    print!("{}", exports.as_shell());
    ExitCode::SUCCESS
}

/// Holds both servers until it is told to end. Should it be killed, their guards notice.
fn keep(state: &State) -> anyhow::Result<ExitCode> {
    // A session of its own: closing the terminal must not reach us. Fails only when we lead a group already.
    let _ = setsid();
    let _lock = state.lock()?;
    fs::write(state.keeper_pid(), std::process::id().to_string())?;
    let exe = env::current_exe()?;
    let (clickhouse, kafka) = thread::scope(|scope| {
        let clickhouse = scope.spawn(|| clickhouse::Launch::new(&exe).start());
        let kafka = kafka::Launch::new(&exe).start();
        (clickhouse.join().expect("starting ClickHouse does not panic"), kafka)
    });
    let (clickhouse, kafka) = (clickhouse?, kafka?);
    state.remember(&Exports { url: clickhouse.url().to_owned(), brokers: kafka.brokers().to_owned() })?;
    // Ended in order, their folders go too, even that of a server that was killed by hand.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { anyhow::Ok(signal(SignalKind::terminate())?.recv().await) })?;
    Ok(ExitCode::SUCCESS)
}

/// What a client needs to know.
struct Exports {
    url: String,
    brokers: String,
}

impl Exports {
    fn as_shell(&self) -> String {
        let Self { url, brokers } = self;
        format!("export {}={url}\nexport {}={brokers}\n", clickhouse::URL_VARIABLE, kafka::BROKERS_VARIABLE)
    }

    fn from_shell(text: &str) -> Option<Self> {
        let value = |variable: &str| {
            let assigned = |line: &str| {
                line.strip_prefix("export ")?.strip_prefix(variable)?.strip_prefix('=').map(str::to_owned)
            };
            text.lines().find_map(assigned)
        };
        Some(Self { url: value(clickhouse::URL_VARIABLE)?, brokers: value(kafka::BROKERS_VARIABLE)? })
    }

    fn down(&self) -> Vec<String> {
        let clickhouse = clickhouse::probe(&self.url).err();
        let kafka = kafka::probe(&self.brokers).err();
        let told = [("ClickHouse", &self.url, clickhouse), ("Kafka", &self.brokers, kafka)];
        let told = told.into_iter().filter_map(|(name, at, reason)| Some((name, at, reason?)));
        told.map(|(name, at, reason)| format!("{name} at {at} does not answer: {reason}")).collect()
    }

    fn any_is_up(&self) -> bool {
        self.down().len() < 2
    }
}

/// The folder that remembers a pair of servers. A lock that the keeper holds says whether it lives: a process id in a
/// file could be another's by now.
struct State {
    folder: PathBuf,
}

impl State {
    fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match given {
            Some(folder) => folder.to_owned(),
            None => default_folder()?,
        };
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder: folder.canonicalize()? })
    }

    fn lock_file(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.folder.join("keeper.lock"))
    }

    fn lock(&self) -> anyhow::Result<File> {
        let file = self.lock_file()?;
        file.try_lock().context("another keeper holds these servers")?;
        Ok(file)
    }

    fn is_kept(&self) -> anyhow::Result<bool> {
        match self.lock_file()?.try_lock() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn keeper_pid(&self) -> PathBuf {
        self.folder.join("keeper.pid")
    }

    fn keeper_log(&self) -> PathBuf {
        self.folder.join("keeper.log")
    }

    fn exports_file(&self) -> PathBuf {
        self.folder.join("servers.env")
    }

    fn exports(&self) -> Option<Exports> {
        Exports::from_shell(&fs::read_to_string(self.exports_file()).ok()?)
    }

    fn remember(&self, exports: &Exports) -> io::Result<()> {
        let unfinished = self.folder.join("servers.env.new");
        File::create(&unfinished)?.write_all(exports.as_shell().as_bytes())?;
        fs::rename(unfinished, self.exports_file())
    }

    fn forget_exports(&self) -> io::Result<()> {
        match fs::remove_file(self.exports_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let base = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".local/state")));
    Ok(base.context("neither XDG_STATE_HOME nor HOME is set")?.join("pumphouse/servers"))
}
