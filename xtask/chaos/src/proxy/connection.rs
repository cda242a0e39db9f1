//! One connection through the proxy: a thread for each direction, which asks the weather before each chunk and
//! looks into requests for the one that the trap waits for.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::held::Held;
use super::{BEAT, CHUNK, Protocol, State, Trap, cut, lock};

/// What is to happen to the answer that comes next.
const PASS: u8 = 0;
const LOSE: u8 = 1;
const HALVE: u8 = 2;

/// Kafka's number for an offset commit.
const OFFSET_COMMIT: [u8; 2] = [0, 8];

struct Ends {
    client: TcpStream,
    server: TcpStream,
    answer: AtomicU8,
}

/// Passes both directions on until either ends.
pub(super) fn run(state: &Arc<State>, client: TcpStream, server: TcpStream) -> io::Result<()> {
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let number = state.connections.fetch_add(1, Ordering::Relaxed);
    lock(&state.open).push((number, client.try_clone()?, server.try_clone()?));
    let ends = Arc::new(Ends { client, server, answer: AtomicU8::new(PASS) });
    let (back, back_state) = (Arc::clone(&ends), Arc::clone(state));
    let answers = thread::spawn(move || {
        let _ = pass_answers(&back_state, &back);
        cut(&back.client, &back.server);
    });
    let _ = pass_requests(state, &ends);
    cut(&ends.client, &ends.server);
    let _ = answers.join();
    lock(&state.open).retain(|(open, ..)| *open != number);
    Ok(())
}

fn pass_requests(state: &State, ends: &Ends) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let taken = (&ends.client).read(&mut chunk)?;
        if taken == 0 {
            return Ok(());
        }
        let chunk = &chunk[..taken];
        endure(state, taken);
        let trap = if matters(state.protocol, chunk) { lock(&state.trap).take() } else { None };
        if trap.is_some() {
            state.sprung.fetch_add(1, Ordering::AcqRel);
        }
        match trap {
            None => (&ends.server).write_all(chunk)?,
            Some(Trap::CutRequest) => return (&ends.server).write_all(&chunk[..taken / 2]),
            Some(Trap::CutAnswer) => {
                ends.answer.store(HALVE, Ordering::Release);
                (&ends.server).write_all(chunk)?;
            }
            Some(Trap::LoseAnswer) => {
                ends.answer.store(LOSE, Ordering::Release);
                (&ends.server).write_all(chunk)?;
            }
            Some(Trap::Hold) => {
                let held = Held::take(chunk, &ends.client)?;
                *lock(&state.held) = Some(held);
                // The client waits for an answer that never comes; its connection stays open meanwhile.
                while (&ends.client).read(&mut [0; 1])? > 0 {}
                return Ok(());
            }
        }
    }
}

fn pass_answers(state: &State, ends: &Ends) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let taken = (&ends.server).read(&mut chunk)?;
        if taken == 0 {
            return Ok(());
        }
        endure(state, taken);
        match ends.answer.load(Ordering::Acquire) {
            LOSE => return Ok(()),
            HALVE => return (&ends.client).write_all(&chunk[..taken / 2]),
            _ => (&ends.client).write_all(&chunk[..taken])?,
        }
    }
}

/// Waits as the weather says.
fn endure(state: &State, bytes: usize) {
    let weather = *lock(&state.weather);
    let mut wait = weather.delay;
    if let Some(nanoseconds) = (bytes as u64 * 1_000_000_000).checked_div(weather.bytes_per_second) {
        wait += Duration::from_nanos(nanoseconds);
    }
    let until = Instant::now() + wait;
    while lock(&state.weather).frozen || Instant::now() < until {
        thread::sleep(
            BEAT.min(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))),
        );
    }
}

/// Whether a request of the kind that moves rows or offsets begins in this chunk.
fn matters(protocol: Protocol, chunk: &[u8]) -> bool {
    match protocol {
        Protocol::ClickHouse => {
            let insert = b"query=INSERT";
            chunk.starts_with(b"POST /") && chunk.windows(insert.len()).any(|window| window == insert)
        }
        Protocol::Kafka => requests(chunk).any(|kind| kind == OFFSET_COMMIT),
    }
}

/// The kinds of the requests that lie in a chunk, as long as it begins with one: length, kind, version, …
fn requests(chunk: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = chunk.get(at..at + 6)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        at += 4 + usize::try_from(length).ok()?;
        Some([head[4], head[5]])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_and_an_offset_commit_are_told_from_the_rest() {
        let insert = b"POST /?database=d&query=INSERT+INTO+t HTTP/1.1\r\n";
        assert!(matters(Protocol::ClickHouse, insert));
        assert!(!matters(Protocol::ClickHouse, b"POST /?query_id=1 HTTP/1.1\r\n\r\nSELECT 1"));
        let fetch = [0, 0, 0, 3, 0, 1, 9];
        let commit = [0, 0, 0, 2, 0, 8];
        assert!(!matters(Protocol::Kafka, &fetch));
        assert!(matters(Protocol::Kafka, &[fetch.as_slice(), &commit].concat()));
    }
}
