//! Ports for servers on the loopback interface. Does not hold them: a conflict is possible and tried again elsewhere.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use super::Error;

// Below what Linux gives to outgoing connections (32768 up). A port from there, asked for while its server is down,
// can be taken by a client that tries to reach the server: loopback TCP then even connects to itself.
const RANGE: Range<u16> = 15_000..32_000;
const TRIES: usize = 500;

/// As many different free ports as asked for.
pub(super) fn free<const N: usize>() -> Result<[u16; N], Error> {
    let mut found = Vec::with_capacity(N);
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        // Held until all are found, so that they differ.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            found.push((port, listener));
        }
        if found.len() == N {
            return Ok(std::array::from_fn(|index| found[index].0));
        }
    }
    let none = io::Error::new(io::ErrorKind::AddrInUse, "no free port after 500 tries");
    Err(Error::os("listen on", std::path::Path::new("127.0.0.1"))(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_lie_below_those_of_outgoing_connections() {
        let [a, b, c] = free().expect("free ports");
        assert!(a != b && b != c && a != c);
        assert!([a, b, c].iter().all(|port| RANGE.contains(port)));
    }
}
