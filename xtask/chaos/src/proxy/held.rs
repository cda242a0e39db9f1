//! A whole HTTP request that was kept back and is delivered late. Knows of HTTP where a request ends.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The longest request that is kept.
const BYTES_MAX: usize = 64 << 20;
/// How long delivery is tried while the server is away.
const DELIVER_WITHIN: Duration = Duration::from_secs(15);
/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// By these the server's refusal is known: its number for a thrown exception, and the product's mark.
const REFUSED: [&str; 2] = ["Code: 395", "PH_DEADLINE"];

/// What the server made of a request that came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LateAnswer {
    /// Refused because its deadline had passed.
    Refused,
    /// Anything else: the first line of the answer, or why there is none.
    Other(String),
}

/// A request that was kept back.
pub(crate) struct Held(Vec<u8>);

impl Held {
    /// Reads the rest of the request that begins with `chunk`.
    pub(super) fn take(chunk: &[u8], mut from: &TcpStream) -> io::Result<Self> {
        let mut request = chunk.to_vec();
        let mut more = vec![0; 64 << 10];
        while request.len() < length(&request).unwrap_or(BYTES_MAX) {
            let taken = from.read(&mut more)?;
            if taken == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            request.extend_from_slice(&more[..taken]);
        }
        Ok(Self(request))
    }

    pub(super) fn deliver(self, upstream: SocketAddr) -> LateAnswer {
        let begun = Instant::now();
        loop {
            match self.exchange(upstream) {
                Ok(answer) if REFUSED.iter().all(|mark| answer.contains(mark)) => return LateAnswer::Refused,
                Ok(answer) => return LateAnswer::Other(answer.lines().next().unwrap_or_default().to_owned()),
                // Only a connection that was never made is made again: a request must not arrive twice.
                Err((false, error)) if begun.elapsed() > DELIVER_WITHIN => return LateAnswer::Other(error),
                Err((true, error)) => return LateAnswer::Other(error),
                Err((false, _)) => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The answer, or whether anything was sent and what failed.
    fn exchange(&self, upstream: SocketAddr) -> Result<String, (bool, String)> {
        let sent = |error: io::Error| (true, error.to_string());
        let stream = TcpStream::connect_timeout(&upstream, Duration::from_secs(2));
        let mut stream = stream.map_err(|error| (false, error.to_string()))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(sent)?;
        stream.write_all(&self.0).map_err(sent)?;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        // The server keeps the connection open: an answer with an error is whole when its text has come.
        loop {
            let taken = stream.read(&mut chunk).map_err(sent)?;
            answer.extend_from_slice(&chunk[..taken]);
            let text = String::from_utf8_lossy(&answer);
            if taken == 0 || text.starts_with("HTTP/1.1 200") || text.contains("DB::Exception") {
                return Ok(text.into_owned());
            }
        }
    }
}

/// Bytes of the request that begins here; none while its head is not whole.
fn length(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + 4 + body.and_then(|length| length.trim().parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_head_says() {
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-"), None);
        assert_eq!(length(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), Some(41));
    }
}
