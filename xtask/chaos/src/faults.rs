//! Carries out what the schedule deals: each hand on a thread of its own, one fault at a time, each undone by whoever
//! did it. A fault that can't be undone is trouble.

mod network;
mod processes;
mod servers;
mod supervised;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pumphouse::embedded::{clickhouse, kafka};

use crate::ground::{Ground, Servers};
use crate::processes::Processes;
use crate::report::Report;
use crate::schedule::{Deck, Fault, Game, Hand};

/// How often a pause looks whether the run has ended.
const BEAT: Duration = Duration::from_millis(50);

/// What every hand needs.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) ground: Arc<Ground>,
    pub(crate) processes: Arc<Processes>,
    pub(crate) report: Arc<Report>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The four hands at work.
pub(crate) struct Hands {
    table: Table,
    kafka: JoinHandle<kafka::Server>,
    clickhouse: JoinHandle<clickhouse::Server>,
    others: Vec<JoinHandle<()>>,
}

impl Hands {
    /// Begins.
    pub(crate) fn start(table: &Table, servers: Servers, game: &Game) -> Self {
        let Servers { clickhouse, mut kafka } = servers;
        let [of_processes, of_kafka, of_clickhouse, of_network] =
            Hand::ALL.map(|hand| (table.clone(), Deck::new(hand, game)));
        let kafka = thread::spawn(move || {
            let (table, deck) = of_kafka;
            table.deal(deck, |table, fault, deck| servers::kafka(table, &mut kafka, fault, deck));
            kafka
        });
        let clickhouse = thread::spawn(move || {
            // Whatever it ends by, somebody has to start it again.
            let (table, deck) = of_clickhouse;
            let clickhouse = supervised::Supervised::new(clickhouse, &table.report);
            table.deal(deck, |table, fault, deck| servers::clickhouse(table, &clickhouse, fault, deck));
            clickhouse.let_go()
        });
        let processes = thread::spawn(move || of_processes.0.deal(of_processes.1, processes::break_one));
        let network = thread::spawn(move || {
            of_network.0.deal(of_network.1, |table, fault, deck| {
                network::break_one(table, fault, deck);
                Ok(())
            });
        });
        Self { table: table.clone(), kafka, clickhouse, others: vec![processes, network] }
    }

    /// Ends when each has undone its last fault; the servers, which run.
    pub(crate) fn finish(self) -> anyhow::Result<Servers> {
        self.table.stop.store(true, Ordering::Relaxed);
        for hand in self.others {
            hand.join().map_err(|_| anyhow::anyhow!("a hand panicked"))?;
        }
        let kafka = self.kafka.join().map_err(|_| anyhow::anyhow!("Kafka's hand panicked"))?;
        let clickhouse = self.clickhouse.join().map_err(|_| anyhow::anyhow!("ClickHouse's hand panicked"))?;
        Ok(Servers { clickhouse, kafka })
    }
}

impl Table {
    fn deal(&self, mut deck: Deck, mut carry_out: impl FnMut(&Self, Fault, &mut Deck) -> anyhow::Result<()>) {
        while let Some((pause, fault)) = deck.deal() {
            self.wait(pause);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = carry_out(self, fault, &mut deck) {
                self.report.trouble(format!("{fault:?}: {error:#}"));
            }
        }
    }

    /// Waits so long, or until the run ends.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(BEAT);
        }
    }
}
