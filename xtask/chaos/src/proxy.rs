//! A TCP proxy that misbehaves when told: slow, frozen, deaf, cut, or in the middle of a request that matters (an
//! insert, an offset commit). Knows of the two protocols only how such a request begins.

mod connection;
mod held;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub(crate) use held::{Held, LateAnswer};

/// Bytes passed on at once.
const CHUNK: usize = 32 << 10;
/// How often a thread that waits looks whether the weather has changed.
const BEAT: Duration = Duration::from_millis(20);

/// Whose requests pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    ClickHouse,
    Kafka,
}

/// What happens to all that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Each chunk waits so long.
    pub(crate) delay: Duration,
    /// At most so many bytes a second and direction; 0 for no limit.
    pub(crate) bytes_per_second: u64,
    /// Nothing passes, and nobody is told: connections stay open.
    pub(crate) frozen: bool,
    /// New connections are closed at once.
    pub(crate) deaf: bool,
}

/// What happens once, to the next request that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// Half of the request is passed on, then both ends are cut.
    CutRequest,
    /// The request passes, half of its answer does.
    CutAnswer,
    /// The request passes, its answer does not.
    LoseAnswer,
    /// The request is kept back until [`Proxy::deliver_held`].
    Hold,
}

/// One listener and where it leads.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    protocol: Protocol,
    upstream: Mutex<Option<SocketAddr>>,
    weather: Mutex<Weather>,
    trap: Mutex<Option<Trap>>,
    open: Mutex<Vec<(u64, TcpStream, TcpStream)>>,
    held: Mutex<Option<Held>>,
    connections: AtomicU64,
    sprung: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens on a free port; leads nowhere before [`Proxy::lead_to`].
    pub(crate) fn start(protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            protocol,
            upstream: Mutex::default(),
            weather: Mutex::default(),
            trap: Mutex::default(),
            open: Mutex::default(),
            held: Mutex::default(),
            connections: AtomicU64::new(0),
            sprung: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, state })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn lead_to(&self, upstream: SocketAddr) {
        *lock(&self.state.upstream) = Some(upstream);
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *lock(&self.state.weather) = weather;
    }

    /// Sets a trap for the next request that matters, in place of one that waits already.
    pub(crate) fn set_trap(&self, trap: Trap) {
        *lock(&self.state.trap) = Some(trap);
    }

    /// Takes the trap away; `true` if nothing had fallen into it.
    pub(crate) fn remove_trap(&self) -> bool {
        lock(&self.state.trap).take().is_some()
    }

    /// How many requests fell into a trap so far.
    pub(crate) fn sprung(&self) -> u64 {
        self.state.sprung.load(Ordering::Acquire)
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&self) {
        for (_, client, server) in lock(&self.state.open).drain(..) {
            cut(&client, &server);
        }
    }

    /// Whether a whole request is kept back.
    pub(crate) fn holds(&self) -> bool {
        lock(&self.state.held).is_some()
    }

    /// Sends what was kept back, over a connection of its own, and returns what is answered.
    pub(crate) fn deliver_held(&self) -> Option<LateAnswer> {
        let held = lock(&self.state.held).take()?;
        let upstream = (*lock(&self.state.upstream))?;
        Some(held.deliver(upstream))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        self.cut_all();
        // The listener's thread looks after the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming().flatten() {
        if state.ended.load(Ordering::Acquire) {
            return;
        }
        if lock(&state.weather).deaf {
            continue;
        }
        let state = Arc::clone(state);
        thread::spawn(move || {
            let upstream = *lock(&state.upstream);
            let server = upstream.map(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)));
            // Dropped where there is no server: the client finds its connection closed.
            if let Some(Ok(server)) = server {
                let _ = connection::run(&state, client, server);
            }
        });
    }
}

fn cut(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
