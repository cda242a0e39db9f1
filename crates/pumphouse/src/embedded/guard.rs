//! A child of our own binary that outlives us by a moment and kills a server when we are gone, even by kill -9.
//! It notices by the end of a pipe whose other end only we hold. Does not know what it guards.
//!
//! Not a death signal (`PR_SET_PDEATHSIG`): that one is tied to the thread that started the child, and threads end.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a server may take to end in order, before it is killed.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// A program to run under a guard.
#[derive(Clone, Debug)]
pub struct Program {
    /// What is run.
    pub path: PathBuf,
    /// With what.
    pub arguments: Vec<OsString>,
    /// Where its standard output and standard error are appended.
    pub log: PathBuf,
    /// A folder the guard removes when it had to kill the program; such a program gets no time to end in order.
    pub scratch: Option<PathBuf>,
}

/// A running program that dies with this process, and when this value is dropped.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    lifeline: Option<ChildStdin>,
    pid: Pid,
}

impl Guarded {
    /// Starts `program` under a guard; `exe` is pumphouse's own binary.
    pub fn spawn(exe: &Path, program: &Program) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(&program.log)?;
        let mut command = Command::new(exe);
        command.args(["internal", "guard"]);
        if let Some(scratch) = &program.scratch {
            command.arg("--scratch").arg(scratch);
        }
        command.arg("--").arg(&program.path).args(&program.arguments);
        // A group of its own: Ctrl-C in the terminal must reach the guard as the end of the pipe, not as a signal.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut guard = command.spawn()?;
        let lifeline = guard.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = guard.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let Some(pid) = line.trim().parse().ok().and_then(Pid::from_raw) else {
            guard.wait()?;
            return Err(io::Error::other(format!("the guard did not start it: {}", line.trim())));
        };
        Ok(Self { guard, lifeline, pid })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal to the program; does nothing once it has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        match kill_process(self.pid, signal) {
            // It ended between the two calls.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills the program with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(Signal::KILL)?;
        self.guard.wait().map(drop)
    }

    /// How the program ended, if it has. One that a signal ended has the exit code 128 + signal.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.guard.try_wait()
    }

    /// Waits for the program's end for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let started = Instant::now();
        loop {
            let ended = self.ended()?;
            if ended.is_some() || started.elapsed() > limit {
                return Ok(ended);
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The guard ends within GRACE; only then is the port free and the folder gone.
        let _ = self.guard.wait();
    }
}

/// The guard's own life: starts `command`, tells its process id on standard output, and ends with it.
///
/// # Errors
/// When `command` could not be started.
pub fn watch(command: &[OsString], scratch: Option<&Path>) -> io::Result<ExitCode> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut started = Command::new(program);
    // The log came as our standard error. The server's standard input ends with us, should we be killed.
    started.args(arguments).stdin(Stdio::piped()).stdout(io::stderr()).process_group(0);
    let mut server = match started.spawn() {
        Ok(server) => server,
        Err(error) => {
            tell(&error);
            return Err(error);
        }
    };
    let lifeline = server.stdin.take();
    let group = Pid::from_child(&server);
    tell(&server.id());

    let orphaned = Arc::new(AtomicBool::new(false));
    let grace = if scratch.is_some() { Duration::ZERO } else { GRACE };
    let heard = Arc::clone(&orphaned);
    thread::spawn(move || kill_at_end_of_pipe(group, grace, &heard));
    let status = server.wait()?;
    drop(lifeline);
    // Whatever it started in its group goes with it.
    let _ = kill_process_group(group, Signal::KILL);
    if let Some(scratch) = scratch.filter(|_| orphaned.load(Ordering::Acquire)) {
        let _ = fs::remove_dir_all(scratch);
    }
    Ok(exit_code(status))
}

/// Blocks until the parent is gone, or lets go of us.
fn kill_at_end_of_pipe(group: Pid, grace: Duration, orphaned: &AtomicBool) {
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    orphaned.store(true, Ordering::Release);
    if !grace.is_zero() {
        let _ = kill_process_group(group, Signal::TERM);
        thread::sleep(grace);
    }
    let _ = kill_process_group(group, Signal::KILL);
}

/// A parent that is gone already is no reason to panic: the pipe's end will tell.
fn tell(line: &impl Display) {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
