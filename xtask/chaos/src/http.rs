//! Questions to ClickHouse over HTTP/1.0, a connection each. The oracle's own: the product's client is not used, so
//! that a mistake of it can't hide what it did.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// One question, answer included.
const WITHIN: Duration = Duration::from_mins(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A server to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClickHouse(pub(crate) SocketAddr);

impl ClickHouse {
    /// Hands each line of the answer to `take`; the whole answer was made before the first line comes.
    pub(crate) fn lines(
        self,
        sql: &str,
        mut take: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut stream =
            TcpStream::connect_timeout(&self.0, CONNECT_WITHIN).context("ClickHouse is not there")?;
        stream.set_read_timeout(Some(WITHIN))?;
        let head = format!("POST /?wait_end_of_query=1 HTTP/1.0\r\nContent-Length: {}\r\n\r\n", sql.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(sql.as_bytes())?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let is_fine = line.contains(" 200 ");
        let mut length = None;
        while line != "\r\n" {
            line.clear();
            if answer.read_line(&mut line)? == 0 {
                bail!("ClickHouse's answer has no end of its head");
            }
            let said = line.to_ascii_lowercase();
            length = said.strip_prefix("content-length:").map(|said| said.trim().parse::<u64>()).or(length);
        }
        if !is_fine {
            let mut said = String::new();
            answer.take(4096).read_to_string(&mut said)?;
            bail!("ClickHouse refuses `{sql:.200}`: {}", said.trim());
        }
        let mut bytes = 0;
        loop {
            line.clear();
            let taken = answer.read_line(&mut line)?;
            bytes += taken as u64;
            if taken == 0 {
                break;
            }
            take(line.strip_suffix('\n').unwrap_or(&line))?;
        }
        match length.transpose()? {
            Some(length) if length != bytes => bail!("{bytes} bytes of {length} came: the answer was cut"),
            _ => Ok(()),
        }
    }

    /// The whole answer.
    pub(crate) fn ask(self, sql: &str) -> anyhow::Result<String> {
        let mut answer = String::new();
        self.lines(sql, |line| {
            answer.push_str(line);
            answer.push('\n');
            Ok(())
        })?;
        Ok(answer.trim_end().to_owned())
    }

    /// One number.
    pub(crate) fn number(self, sql: &str) -> anyhow::Result<u64> {
        let answer = self.ask(sql)?;
        answer.parse().with_context(|| format!("`{sql:.200}` answers `{answer}`"))
    }
}
