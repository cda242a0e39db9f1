//! Calling another program and telling a missing one from a failed one. Does not know what the programs fetch.

use std::io;
use std::process::{Command, Stdio};

use super::Error;

/// A program that must be installed, and how.
#[derive(Clone, Copy)]
pub(super) struct Tool {
    /// What is called.
    pub(super) name: &'static str,
    /// "to …".
    pub(super) purpose: &'static str,
    /// The line that installs it on Debian and Ubuntu.
    pub(super) install: &'static str,
}

pub(super) const NPM: Tool =
    Tool { name: "npm", purpose: "to fetch ClickHouse's library", install: "apt-get install -y npm" };
pub(super) const TAR: Tool =
    Tool { name: "tar", purpose: "to unpack ClickHouse's library", install: "apt-get install -y tar" };
pub(super) const MAVEN: Tool =
    Tool { name: "mvn", purpose: "to fetch Apache Kafka", install: "apt-get install -y maven" };
pub(super) const JAVA: Tool = Tool {
    name: "java",
    purpose: "to run Apache Kafka",
    install: "apt-get install -y openjdk-17-jre-headless",
};

impl Tool {
    /// Fails when the program can't be called at all.
    pub(super) fn require(self) -> Result<(), Error> {
        if super::home::on_path(self.name).is_some() { Ok(()) } else { Err(self.missing()) }
    }

    /// Runs it to its end with the arguments that `prepare` adds; `what` is named in the error.
    pub(super) fn run(self, what: &str, prepare: impl FnOnce(&mut Command)) -> Result<(), Error> {
        let mut command = Command::new(self.name);
        command.stdin(Stdio::null());
        prepare(&mut command);
        let failed = |detail: String| Error::FetchFailed { what: what.to_owned(), detail };
        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.missing()),
            Err(error) => return Err(failed(format!("`{}` could not be called: {error}", self.name))),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Err(failed(format!("`{}` ended with {}: {}", self.name, output.status, last_lines(&said, 6))))
    }

    fn missing(self) -> Error {
        Error::ToolMissing { tool: self.name, purpose: self.purpose, install: self.install }
    }
}

/// The last `count` lines that are not blank.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_told_with_the_line_that_installs_it() {
        let absent = Tool {
            name: "pumphouse-no-such-tool",
            purpose: "to test",
            install: "apt-get install -y no-such-tool",
        };
        let told = absent.run("a package", |_| ()).expect_err("it is not installed").to_string();
        assert!(told.starts_with("PH-0200 `pumphouse-no-such-tool` is not installed"), "{told}");
        assert!(told.contains("`apt-get install -y no-such-tool`"), "{told}");
        assert!(absent.require().is_err());
    }

    #[test]
    fn a_failed_tool_is_told_with_the_end_of_what_it_said() {
        let shell = Tool { name: "sh", purpose: "to test", install: "" };
        let told = shell
            .run("a package", |command| {
                command.args(["-c", "echo registry unreachable >&2; exit 3"]);
            })
            .expect_err("it fails")
            .to_string();
        assert!(told.starts_with("PH-0201 fetching a package failed"), "{told}");
        assert!(told.contains("registry unreachable"), "{told}");
    }

    #[test]
    fn last_lines_are_the_last_ones_without_blanks() {
        assert_eq!(last_lines("a\n\nb\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }
}
