//! A ClickHouse that is started again when it ends by itself: some faults make it abort. One that is away on purpose is
//! left alone meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pumphouse::embedded::clickhouse::Server;

use crate::report::Report;

/// How often it is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The server and who looks after it.
pub(super) struct Supervised {
    server: Arc<Mutex<Server>>,
    ended: Arc<AtomicBool>,
    looking: JoinHandle<()>,
}

impl Supervised {
    pub(super) fn new(server: Server, report: &Arc<Report>) -> Self {
        let (server, ended) = (Arc::new(Mutex::new(server)), Arc::new(AtomicBool::new(false)));
        let (looked_after, until, report) = (Arc::clone(&server), Arc::clone(&ended), Arc::clone(report));
        let looking = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                revive(&mut lock(&looked_after), &report);
                thread::sleep(LOOK_EVERY);
            }
            revive(&mut lock(&looked_after), &report);
        });
        Self { server, ended, looking }
    }

    /// The server, for whoever breaks it: nobody looks after it until this is dropped.
    pub(super) fn hold(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    /// The server, running, with nobody to look after it any more.
    pub(super) fn let_go(self) -> Server {
        self.ended.store(true, Ordering::Relaxed);
        // It panics nowhere; and the server is what matters.
        let _ = self.looking.join();
        let server = Arc::into_inner(self.server).expect("only the thread that has ended had another");
        server.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn revive(server: &mut Server, report: &Report) {
    let is_there = |pid: u32| fs::exists(format!("/proc/{pid}")).unwrap_or(true);
    if server.pid().is_none_or(is_there) {
        return;
    }
    report.aborted();
    if let Err(error) = server.restart() {
        report.trouble(format!("ClickHouse ended by itself and does not start again: {error}"));
    }
}

fn lock(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}
