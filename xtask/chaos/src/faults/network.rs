//! Faults between the processes and the servers, by the proxies: bad weather for a while, or a trap for one request.

use std::sync::Arc;
use std::time::Duration;

use super::Table;
use crate::proxy::{Proxy, Trap, Weather};
use crate::schedule::{Deck, Fault};

/// How long a trap waits for its request.
const TRAP_WAITS: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_millis(50);

/// What is done, and for how long.
enum Act {
    Weather(Weather),
    Trap(Trap),
    Cut,
}

pub(super) fn break_one(table: &Table, fault: Fault, deck: &mut Deck) {
    let time = deck.milliseconds(1_000..5_000);
    let delay = deck.milliseconds(20..400);
    let bytes_per_second = 20_000 + deck.below(200_000) as u64;
    let fair = Weather::default();
    let act = match fault {
        Fault::SlowKafka | Fault::SlowClickHouse => Act::Weather(Weather { delay, ..fair }),
        Fault::ThrottledKafka | Fault::ThrottledClickHouse => {
            Act::Weather(Weather { bytes_per_second, ..fair })
        }
        Fault::HalfOpenKafka | Fault::HalfOpenClickHouse => Act::Weather(Weather { frozen: true, ..fair }),
        Fault::UnreachableClickHouse => Act::Weather(Weather { deaf: true, ..fair }),
        Fault::CutCommit | Fault::CutInsert => Act::Trap(Trap::CutRequest),
        Fault::CutCommitAnswer | Fault::CutInsertAnswer => Act::Trap(Trap::CutAnswer),
        Fault::LostCommitAnswer | Fault::LostInsertAnswer => Act::Trap(Trap::LoseAnswer),
        _ => Act::Cut,
    };
    let proxies = proxies(table, fault);
    match act {
        Act::Cut => {
            table.report.begins(fault, "every connection");
            for proxy in &proxies {
                proxy.cut_all();
            }
        }
        Act::Weather(weather) => {
            table.report.begins(fault, &format!("{weather:?} for {time:?}"));
            for proxy in &proxies {
                proxy.set_weather(weather);
            }
            if weather.deaf {
                for proxy in &proxies {
                    proxy.cut_all();
                }
            }
            table.wait(time);
            if weather.frozen {
                // As a connection that was dead all the time: what hung in it does not arrive after all.
                for proxy in &proxies {
                    proxy.cut_all();
                }
            }
            for proxy in &proxies {
                proxy.set_weather(fair);
            }
        }
        Act::Trap(trap) => spring(table, fault, trap, &proxies),
    }
}

fn spring(table: &Table, fault: Fault, trap: Trap, proxies: &[Arc<Proxy>]) {
    let sprung = || proxies.iter().map(|proxy| proxy.sprung()).sum::<u64>();
    let before = sprung();
    for proxy in proxies {
        proxy.set_trap(trap);
    }
    let beats = TRAP_WAITS.as_millis() / BEAT.as_millis();
    for _ in 0..beats {
        if sprung() > before {
            break;
        }
        table.wait(BEAT);
    }
    for proxy in proxies {
        proxy.remove_trap();
    }
    match sprung() - before {
        0 => table.report.skips(fault, "no such request came in time"),
        times => table.report.begins(fault, &format!("{times} requests")),
    }
}

/// Kafka's proxy, or those of every process before ClickHouse.
fn proxies(table: &Table, fault: Fault) -> Vec<Arc<Proxy>> {
    use Fault as F;
    match fault {
        F::SlowKafka
        | F::ThrottledKafka
        | F::HalfOpenKafka
        | F::CutKafka
        | F::CutCommit
        | F::CutCommitAnswer
        | F::LostCommitAnswer => vec![Arc::clone(&table.ground.kafka_proxy)],
        _ => table.ground.clickhouse_proxies.clone(),
    }
}
