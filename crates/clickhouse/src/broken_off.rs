//! An insert of which only a part is sent, as by a process that dies on the way. Only in debug builds, for tests that
//! crash at such a moment. Does not read an answer, and signs in as nobody: ClickHouse's user `default`.

use std::io::{self, Write as _};
use std::net::TcpStream;

use reqwest::header::CONTENT_ENCODING;

use crate::client::Client;
use crate::insert::Insert;

impl Client {
    /// Sends the head of an insert and the first `bytes` of its body over a connection of its own, which the caller
    /// holds.
    ///
    /// # Errors
    /// When the server can't be asked or reached.
    pub async fn insert_broken_off(&self, insert: &Insert<'_>, bytes: usize) -> io::Result<TcpStream> {
        let known = self.known_settings(insert.url_index).await.map_err(io::Error::other)?;
        let address = self.insert_address(insert, &known);
        let (host, port) = (address.host_str().unwrap_or_default(), address.port_or_known_default());
        let mut stream = TcpStream::connect((host, port.unwrap_or_default()))?;
        let encoding = insert.body.compression.content_encoding();
        let encoding = encoding.map_or(String::new(), |name| format!("{CONTENT_ENCODING}: {name}\r\n"));
        let body = &insert.body.bytes;
        let head = format!(
            "POST {}?{} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n{encoding}\r\n",
            address.path(),
            address.query().unwrap_or_default(),
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body[..bytes.min(body.len())])?;
        stream.flush()?;
        Ok(stream)
    }
}
