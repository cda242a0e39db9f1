//! A real ClickHouse on this machine: the pinned library in a child of our own binary, or an installed `clickhouse`,
//! or the server named in `PUMPHOUSE_CLICKHOUSE_URL`. Knows nothing of tables.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use super::clickhouse_config::Merges;
use super::guard::Program;
use super::home::{Home, on_path};
use super::http::Address;
use super::process::{ServerProcess, until_ports_are_free};
use super::{Error, clickhouse_config, fetch, ports};

const NAME: &str = "ClickHouse";
/// Names a running server to use instead of one of our own.
pub const URL_VARIABLE: &str = "PUMPHOUSE_CLICKHOUSE_URL";
const QUERY_TIMEOUT: Duration = Duration::from_mins(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

// The listeners live as long as the last query: 100,000 rows of 1,000 s each are three years.
const SERVE: &str = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
     SELECT sleepEachRow(1000) FROM system.numbers LIMIT 100000 SETTINGS max_block_size=1, max_threads=1";

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    exe: PathBuf,
    folder: Option<PathBuf>,
    merges: Merges,
}

/// A ClickHouse that answers. One of our own ends with this value or with this process.
#[derive(Debug)]
pub struct Server {
    address: Address,
    url: String,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    // First, so that the server is gone before its folder is.
    process: ServerProcess,
    tcp_port: u16,
    _home: Home,
}

impl Launch {
    /// A server in a temporary folder; `exe` is pumphouse's own binary.
    #[must_use]
    pub fn new(exe: &Path) -> Self {
        Self { exe: exe.to_owned(), folder: None, merges: Merges::default() }
    }

    /// Keeps the server's files in `folder`, which is made if it is not there.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// Gives the server so many merges at once instead of a packaged one's.
    #[must_use]
    pub fn merging(self, merges: Merges) -> Self {
        Self { merges, ..self }
    }

    /// The server named in `PUMPHOUSE_CLICKHOUSE_URL`, else one of our own.
    ///
    /// # Errors
    /// When the named one does not answer, or as [`Launch::start`].
    pub fn start_unless_given(self) -> Result<Server, Error> {
        match env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Server::given(&url),
            _ => self.start(),
        }
    }

    /// A server of our own, fetched first when this user never had one.
    ///
    /// # Errors
    /// When a tool is missing, a fetch fails, or the server is not ready within 60 s.
    pub fn start(self) -> Result<Server, Error> {
        let engine = Engine::find()?;
        let home = Home::open(self.folder, "pumphouse-clickhouse-")?;
        home.write("users.xml", clickhouse_config::USERS)?;
        let (process, [http_port, tcp_port]) =
            until_ports_are_free(|| start_on_free_ports(&self.exe, &engine, (&home, self.merges)))?;
        let url = format!("http://127.0.0.1:{http_port}");
        let ours = Some(Ours { process, tcp_port, _home: home });
        Ok(Server { address: Address::local(http_port), url, ours })
    }
}

impl Server {
    fn given(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url).ok_or_else(|| Error::BadAddress {
            variable: URL_VARIABLE,
            address: url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned(),
            expected: "http://[user[:password]@]host[:port]",
        })?;
        let server = Self { address, url: url.trim_end_matches('/').to_owned(), ours: None };
        server.query("SELECT 1")?;
        Ok(server)
    }

    /// The HTTP address, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of the native protocol, for a server of our own.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        self.ours.as_ref().map(|ours| ours.tcp_port)
    }

    /// The process id, for a server of our own.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.ours.as_ref().map(|ours| ours.process.pid())
    }

    /// The server's log, for a server of our own.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        self.ours.as_ref().map(|ours| ours.process.log())
    }

    /// Runs one statement and returns what it answers.
    ///
    /// # Errors
    /// When the server refuses it or can't be reached.
    pub fn query(&self, sql: &str) -> Result<String, Error> {
        let failed = |detail| Error::QueryFailed { address: self.address.authority.clone(), detail };
        self.address.query(sql, QUERY_TIMEOUT).map_err(failed)
    }

    /// Ends it with SIGKILL. Its files stay until this value is dropped.
    ///
    /// # Errors
    /// When the server is not ours, or the system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process("kill")?.kill()
    }

    /// Freezes it with SIGSTOP.
    ///
    /// # Errors
    /// As [`Server::kill`].
    pub fn pause(&mut self) -> Result<(), Error> {
        self.process("pause")?.pause()
    }

    /// Unfreezes it with SIGCONT.
    ///
    /// # Errors
    /// As [`Server::kill`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.process("resume")?.resume()
    }

    /// Kills it if it runs, and starts it on the same ports with the same data.
    ///
    /// # Errors
    /// When the server is not ours or is not ready within 60 s.
    pub fn restart(&mut self) -> Result<(), Error> {
        let address = self.address.clone();
        let process = self.process("restart")?;
        let home = process.folder().to_owned();
        process.restart(|| answers_from(&address, &home))
    }

    fn process(&mut self, action: &'static str) -> Result<&mut ServerProcess, Error> {
        let not_ours = Error::NotOurs { server: NAME, variable: URL_VARIABLE, action };
        self.ours.as_mut().map(|ours| &mut ours.process).ok_or(not_ours)
    }
}

/// Whether the server at `url` answers; the reason if it does not.
///
/// # Errors
/// The reason, in words.
pub fn probe(url: &str) -> Result<(), String> {
    answers(&Address::parse(url).ok_or("not an address of the form http://host:port")?)
}

/// What serves: the library in our own binary, or an installed program.
enum Engine {
    Library(PathBuf),
    Program(PathBuf),
}

impl Engine {
    /// The pinned library first: its version is the tested one. An installed program is for machines it is not made
    /// for, and for those that have neither the library nor npm.
    fn find() -> Result<Self, Error> {
        let installed = on_path("clickhouse");
        let fetchable = fetch::libchdb_is_cached() || on_path("npm").is_some() || installed.is_none();
        if let Some(library) = fetchable.then(fetch::libchdb).flatten() {
            return library.map(Self::Library);
        }
        let platform = format!("{} {}", env::consts::ARCH, env::consts::OS);
        installed.map(Self::Program).ok_or(Error::NoClickHouse { platform })
    }

    fn program(
        &self,
        exe: &Path,
        (home, merges): (&Home, Merges),
        [http_port, tcp_port]: [u16; 2],
    ) -> Result<Program, Error> {
        let config = clickhouse_config::server(home.path(), [http_port, tcp_port], merges);
        let config = home.write("config.xml", &config)?;
        let (path, arguments) = match self {
            Self::Program(path) => {
                (path.clone(), vec!["server".into(), "--config-file".into(), config.into_os_string()])
            }
            Self::Library(library) => {
                let mut arguments: Vec<OsString> = vec!["internal".into(), "clickhouse".into()];
                arguments.extend([library.into(), "--".into(), "-C".into(), config.into_os_string()]);
                arguments.extend(library_arguments(home.path(), http_port, tcp_port));
                (exe.to_owned(), arguments)
            }
        };
        let log = home.path().join("clickhouse.log");
        Ok(Program { path, arguments, log, scratch: home.scratch() })
    }
}

fn library_arguments(home: &Path, http_port: u16, tcp_port: u16) -> impl Iterator<Item = OsString> {
    let data = home.join("data");
    let ports = [format!("--http_port={http_port}"), format!("--tcp_port={tcp_port}")];
    [OsString::from("--path"), data.into_os_string(), "--listen_host".into(), "127.0.0.1".into()]
        .into_iter()
        .chain(ports.into_iter().map(OsString::from))
        // The sleep of `SERVE` needs the first; the library's defaults for the others differ from a server's.
        .chain(
            [
                "--function_sleep_max_microseconds_per_block=100000000000000",
                "--output_format_arrow_use_native_writer=1",
                "--storage_file_read_method=pread",
                "--implicit_select=0",
                "--allow_introspection_functions=0",
                "-q",
                SERVE,
            ]
            .map(OsString::from),
        )
}

fn start_on_free_ports(
    exe: &Path,
    engine: &Engine,
    (home, merges): (&Home, Merges),
) -> Result<(ServerProcess, [u16; 2]), Error> {
    let ports = ports::free()?;
    let program = engine.program(exe, (home, merges), ports)?;
    let address = Address::local(ports[0]);
    let ready = || answers_from(&address, home.path());
    ServerProcess::start(NAME, exe, program, ready).map(|process| (process, ports))
}

/// Whether our server answers, and not one that took the port before ours could.
fn answers_from(address: &Address, home: &Path) -> Result<(), String> {
    let path = address.query("SELECT path FROM system.disks WHERE name = 'default'", PROBE_TIMEOUT)?;
    if Path::new(path.trim_end()).starts_with(home) {
        return Ok(());
    }
    Err(format!("another server answers on {}", address.authority))
}

fn answers(address: &Address) -> Result<(), String> {
    match address.query("SELECT 1", PROBE_TIMEOUT)?.trim_end() {
        "1" => Ok(()),
        other => Err(format!("asked for 1, it answered {other:.60}")),
    }
}
