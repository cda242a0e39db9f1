//! What can go wrong with the servers we start ourselves, each in an operator's words.
//! Does not decide exit codes.

use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be fetched, started or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that we call is not installed.
    #[error(
        "PH-0200 `{tool}` is not installed, and it is needed {purpose}; nothing was started. \
         Install it with `{install}`, then give the same command again"
    )]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// "to …".
        purpose: &'static str,
        /// The line that installs it on Debian and Ubuntu.
        install: &'static str,
    },
    /// Neither a pinned library nor an installed ClickHouse for this kind of machine.
    #[error(
        "PH-0200 no ClickHouse for {platform}: the pinned library exists for x86_64 Linux with glibc only, \
         and there is no `clickhouse` on the PATH; nothing was started. \
         Install ClickHouse, or name a running one in PUMPHOUSE_CLICKHOUSE_URL"
    )]
    NoClickHouse {
        /// Architecture and system.
        platform: String,
    },
    /// A tool that fetches ended with an error.
    #[error(
        "PH-0201 fetching {what} failed: {detail}; the cache is as it was. \
         Check the network and the tool's registry settings, then give the same command again"
    )]
    FetchFailed {
        /// The package.
        what: String,
        /// The end of what the tool said.
        detail: String,
    },
    /// A fetched file is not the one that was pinned.
    #[error(
        "PH-0201 {file} was fetched with the SHA-256 {found}, pinned is {expected}; it was thrown away. \
         Something between here and the registry changes files: find out what before trying again"
    )]
    ChecksumDiffers {
        /// The file's name.
        file: String,
        /// As pinned in the sources.
        expected: String,
        /// As computed here; "none" for a file that did not arrive.
        found: String,
    },
    /// A server ended early or did not answer in time.
    #[error("PH-0202 {server} did not start: {reason}; it was stopped. Its log ends with:\n{log_end}")]
    NotStarted {
        /// Which server.
        server: &'static str,
        /// What was seen instead.
        reason: String,
        /// The last lines of its log.
        log_end: String,
    },
    /// Other processes took the ports between our look and the server's, again and again.
    #[error(
        "PH-0202 {server} did not start: another process took one of its ports; it was stopped. \
         Give the same command again"
    )]
    PortTaken {
        /// Which server.
        server: &'static str,
    },
    /// The server was given to us, so we neither stop nor start it.
    #[error(
        "PH-0202 {server} was named in {variable} and is not ours to {action}; nothing was done. \
         Unset {variable} to have a server started that can be"
    )]
    NotOurs {
        /// Which server.
        server: &'static str,
        /// The environment variable that named it.
        variable: &'static str,
        /// What was asked for.
        action: &'static str,
    },
    /// The given address is not one that can be used.
    #[error(
        "PH-0202 {variable} is `{address}`, which is not {expected}; nothing was started. Correct it or unset it"
    )]
    BadAddress {
        /// The environment variable.
        variable: &'static str,
        /// What it holds, without user and password.
        address: String,
        /// What it must look like.
        expected: &'static str,
    },
    /// A query was answered with an error or not at all.
    #[error("PH-0202 ClickHouse at {address} did not carry out a query: {detail}; it may have had effect")]
    QueryFailed {
        /// Host and port.
        address: String,
        /// The server's words or the connection's error.
        detail: String,
    },
    /// The operating system refused something.
    #[error("PH-0202 could not {action} {}: {source}; the server was not started. Check the path and the free space", path.display())]
    Os {
        /// A verb with its object: "create the folder".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    /// A closure for `map_err` that says what was tried on which path.
    pub(crate) fn os(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Os { action, path, source }
    }
}
