//! One server of ours as a process: started, ready, killed, paused, started again as it was.
//! Does not know what the server is or how it tells that it is ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Error;
use super::guard::{Guarded, Program};
use super::tool::last_lines;

const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 15;

/// A server that we started and may stop.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    exe: PathBuf,
    program: Program,
    running: Guarded,
}

impl ServerProcess {
    /// Starts `program` and waits until `ready` says so.
    pub(super) fn start(
        name: &'static str,
        exe: &Path,
        program: Program,
        ready: impl Fn() -> Result<(), String>,
    ) -> Result<Self, Error> {
        let running = spawn(exe, &program)?;
        let mut process = Self { name, exe: exe.to_owned(), program, running };
        process.wait_until_ready(ready)?;
        Ok(process)
    }

    /// Ends it with SIGKILL if it still runs, and starts it again as it was: same files, same ports.
    pub(super) fn restart(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<(), Error> {
        self.kill()?;
        self.running = spawn(&self.exe, &self.program)?;
        self.wait_until_ready(ready)
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<(), Error> {
        self.running.kill().map_err(Error::os("kill", &self.program.path))
    }

    /// Stops it in its tracks with SIGSTOP: it answers nobody and keeps its connections.
    pub(super) fn pause(&mut self) -> Result<(), Error> {
        self.running.signal(Signal::STOP).map_err(Error::os("stop", &self.program.path))
    }

    /// Lets it go on with SIGCONT.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        self.running.signal(Signal::CONT).map_err(Error::os("continue", &self.program.path))
    }

    /// The server's process id, not its guard's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Where the server writes what it has to say.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    fn wait_until_ready(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let Err(reason) = ready() else { return Ok(()) };
            let ended = self.running.ended().map_err(Error::os("watch", &self.program.path))?;
            if let Some(status) = ended {
                return Err(self.not_started(format!("it ended with {status}")));
            }
            if started.elapsed() > READY_WITHIN {
                let _ = self.running.kill();
                return Err(self.not_started(format!("not ready after {READY_WITHIN:?}: {reason}")));
            }
            thread::sleep(POLL);
        }
    }

    fn not_started(&self, reason: String) -> Error {
        let log = fs::read_to_string(&self.program.log).unwrap_or_default();
        Error::NotStarted { server: self.name, reason, log_end: last_lines(&log, LOG_LINES) }
    }
}

impl Error {
    /// Whether another process took a port between our look and the server's.
    pub(super) fn is_port_conflict(&self) -> bool {
        matches!(self, Self::NotStarted { log_end, .. } if log_end.contains("Address already in use"))
    }
}

fn spawn(exe: &Path, program: &Program) -> Result<Guarded, Error> {
    Guarded::spawn(exe, program).map_err(Error::os("start", &program.path))
}
