//! The smallest HTTP client that can ask a local ClickHouse something: blocking, one connection per query.
//! Not the product's client (that is `pumphouse-clickhouse`): no TLS, no compression, no streaming.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a ClickHouse listens, and as whom we ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Host and port.
    pub(super) authority: String,
    user: String,
    password: String,
}

impl Address {
    /// A server on the loopback interface, as the user `default`.
    pub(super) fn local(port: u16) -> Self {
        Self { authority: format!("127.0.0.1:{port}"), user: "default".into(), password: String::new() }
    }

    /// Takes `http://[user[:password]@]host[:port][/]`; the port is 8123 when left out.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?.trim_end_matches('/');
        let (login, authority) = rest.rsplit_once('@').unwrap_or(("default", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        if authority.is_empty() || authority.contains(['/', '?', '#']) {
            return None;
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:8123") };
        Some(Self { authority, user: user.to_owned(), password: password.to_owned() })
    }

    /// Sends `sql` and returns the answer's body, or the server's words when it is not a success.
    pub(super) fn query(&self, sql: &str, timeout: Duration) -> Result<String, String> {
        let answer = self.exchange(sql, timeout).map_err(|error| error.to_string())?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of headers")?;
        let status = head.split(' ').nth(1).unwrap_or("none");
        if status == "200" { Ok(body.to_owned()) } else { Err(format!("HTTP {status}: {}", body.trim_end())) }
    }

    fn exchange(&self, sql: &str, timeout: Duration) -> io::Result<Vec<u8>> {
        let unresolved = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let address = self.authority.to_socket_addrs()?.next().ok_or_else(unresolved)?;
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        // HTTP/1.0: the answer is not chunked and ends with the connection. Without wait_end_of_query an error in the
        // middle of a result would come as part of a success.
        let head = format!(
            "POST /?wait_end_of_query=1 HTTP/1.0\r\nHost: {}\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\n\
             Content-Length: {}\r\n\r\n",
            self.authority,
            self.user,
            self.password,
            sql.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(sql.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> Option<(String, String, String)> {
        Address::parse(url).map(|address| (address.authority, address.user, address.password))
    }

    #[test]
    fn an_address_is_taken_apart_with_its_defaults() {
        let told = |authority: &str, user: &str, password: &str| {
            Some((authority.to_owned(), user.to_owned(), password.to_owned()))
        };
        assert_eq!(parts("http://localhost"), told("localhost:8123", "default", ""));
        assert_eq!(parts("http://10.0.0.1:9000/"), told("10.0.0.1:9000", "default", ""));
        assert_eq!(parts("http://me:p@ss@host:1"), told("host:1", "me", "p@ss"));
        assert_eq!(parts("https://host"), None);
        assert_eq!(parts("host:8123"), None);
        assert_eq!(parts("http://"), None);
    }
}
