//! A real Apache Kafka on this machine: one KRaft node in Java, or the brokers named in `PUMPHOUSE_KAFKA_BROKERS`.
//! Knows nothing of topics or groups.

use std::env;
use std::ffi::OsString;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::guard::Program;
use super::home::{Home, on_path};
use super::process::{ServerProcess, until_ports_are_free};
use super::tool::{JAVA, last_lines};
use super::{Error, fetch, ports};

const NAME: &str = "Kafka";
/// Names running brokers to use instead of one of our own.
pub const BROKERS_VARIABLE: &str = "PUMPHOUSE_KAFKA_BROKERS";
/// Holds the Java heap of our own broker, for example `4G`.
pub const HEAP_VARIABLE: &str = "PUMPHOUSE_KAFKA_HEAP";
const HEAP: &str = "1G";
const LOG_LEVEL: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
// A fixed id: a folder is formatted once and never shared.
const CLUSTER_ID: &str = "cHVtcGhvdXNlLWxvY2FsIQ";

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    exe: PathBuf,
    folder: Option<PathBuf>,
    property: Option<String>,
    behind: Option<u16>,
}

/// A Kafka that answers. One of our own ends with this value or with this process.
#[derive(Debug)]
pub struct Server {
    brokers: String,
    proxied_port: Option<u16>,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    // First, so that the server is gone before its folder is.
    process: ServerProcess,
    _home: Home,
}

impl Launch {
    /// A broker in a temporary folder; `exe` is pumphouse's own binary.
    #[must_use]
    pub fn new(exe: &Path) -> Self {
        Self { exe: exe.to_owned(), folder: None, property: None, behind: None }
    }

    /// Keeps the broker's files in `folder`, which is made if it is not there.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// Sets a property of the broker.
    #[must_use]
    pub fn with_property(self, name: &str, value: &str) -> Self {
        Self { property: Some(format!("{name}={value}\n")), ..self }
    }

    /// Gives the broker a second listener that sends its clients to `proxy_port` on this machine, where somebody
    /// passes their requests on to [`Server::proxied_port`].
    #[must_use]
    pub fn behind(self, proxy_port: u16) -> Self {
        Self { behind: Some(proxy_port), ..self }
    }

    /// The brokers named in `PUMPHOUSE_KAFKA_BROKERS`, else one of our own.
    ///
    /// # Errors
    /// When the named ones do not answer, or as [`Launch::start`].
    pub fn start_unless_given(self) -> Result<Server, Error> {
        match env::var(BROKERS_VARIABLE) {
            Ok(brokers) if !brokers.is_empty() => Server::given(brokers),
            _ => self.start(),
        }
    }

    /// A broker of our own, fetched first when this user never had one.
    ///
    /// # Errors
    /// When a tool is missing, a fetch fails, or the broker is not ready within 60 s.
    pub fn start(self) -> Result<Server, Error> {
        JAVA.require()?;
        let java = on_path(JAVA.name).unwrap_or_else(|| JAVA.name.into());
        let jars = fetch::kafka_jars()?;
        let home = Home::open(self.folder.clone(), "pumphouse-kafka-")?;
        let (process, [port, proxied]) =
            until_ports_are_free(|| start_on_free_ports(&self, &java, &jars, &home))?;
        let proxied_port = self.behind.map(|_| proxied);
        let brokers = format!("127.0.0.1:{port}");
        Ok(Server { brokers, proxied_port, ours: Some(Ours { process, _home: home }) })
    }
}

impl Server {
    fn given(brokers: String) -> Result<Self, Error> {
        match probe(&brokers) {
            Ok(()) => Ok(Self { brokers, proxied_port: None, ours: None }),
            Err(reason) => Err(Error::NotStarted {
                server: NAME,
                reason: format!("{BROKERS_VARIABLE} names {brokers}, where nobody answers: {reason}"),
                log_end: "(not ours)".into(),
            }),
        }
    }

    /// What a client takes as `bootstrap.servers`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The port of the listener behind a proxy, where [`Launch::behind`] asked for one.
    #[must_use]
    pub fn proxied_port(&self) -> Option<u16> {
        self.proxied_port
    }

    /// The process id, for a broker of our own.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.ours.as_ref().map(|ours| ours.process.pid())
    }

    /// The broker's log, for a broker of our own.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        self.ours.as_ref().map(|ours| ours.process.log())
    }

    /// Ends it with SIGKILL. Its files stay until this value is dropped.
    ///
    /// # Errors
    /// When the broker is not ours, or the system refuses.
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

    /// Kills it if it runs, and starts it on the same port with the same records and offsets.
    ///
    /// # Errors
    /// When the broker is not ours or is not ready within 60 s.
    pub fn restart(&mut self) -> Result<(), Error> {
        let brokers = self.brokers.clone();
        self.process("restart")?.restart(|| probe(&brokers))
    }

    fn process(&mut self, action: &'static str) -> Result<&mut ServerProcess, Error> {
        let not_ours = Error::NotOurs { server: NAME, variable: BROKERS_VARIABLE, action };
        self.ours.as_mut().map(|ours| &mut ours.process).ok_or(not_ours)
    }
}

/// Whether the brokers answer a request for metadata; the reason if they do not.
///
/// # Errors
/// The reason, in words.
pub fn probe(brokers: &str) -> Result<(), String> {
    // librdkafka would wait for the whole time-out; a closed port is told at once. Brokers by name are left to it.
    if let Ok(address) = brokers.parse::<std::net::SocketAddr>() {
        TcpStream::connect_timeout(&address, PROBE_TIMEOUT).map_err(|error| error.to_string())?;
    }
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("log_level", "0")
        .create()
        .map_err(|error| error.to_string())?;
    let metadata = client.fetch_metadata(None, PROBE_TIMEOUT).map_err(|error| error.to_string())?;
    if metadata.brokers().is_empty() { Err("no broker is registered yet".into()) } else { Ok(()) }
}

fn start_on_free_ports(
    launch: &Launch,
    java: &Path,
    jars: &Path,
    home: &Home,
) -> Result<(ServerProcess, [u16; 2]), Error> {
    let [port, controller_port, proxied_port] = ports::free()?;
    let mut properties = properties(home.path(), port, controller_port);
    if let Some(proxy_port) = launch.behind {
        properties = behind_a_proxy(&properties, proxied_port, proxy_port);
    }
    properties.extend(launch.property.as_deref());
    let properties = home.write("server.properties", &properties)?;
    let class_path = jars.join("*");
    format_storage(java, &class_path, &properties)?;
    let heap = env::var(HEAP_VARIABLE).unwrap_or_else(|_| HEAP.to_owned());
    let mut arguments: Vec<OsString> = vec![format!("-Xmx{heap}").into(), LOG_LEVEL.into()];
    arguments.extend(["-cp".into(), class_path.into(), "kafka.Kafka".into(), properties.into_os_string()]);
    let log = home.path().join("kafka.log");
    let program = Program { path: java.to_owned(), arguments, log, scratch: home.scratch() };
    let brokers = format!("127.0.0.1:{port}");
    let process = ServerProcess::start(NAME, &launch.exe, program, || probe(&brokers))?;
    Ok((process, [port, proxied_port]))
}

/// The same with a second listener, whose clients are told to come to `proxy_port`.
fn behind_a_proxy(properties: &str, port: u16, proxy_port: u16) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some(("listeners", said)) => format!("listeners={said},PROXIED://127.0.0.1:{port}\n"),
        Some(("advertised.listeners", said)) => {
            format!("advertised.listeners={said},PROXIED://127.0.0.1:{proxy_port}\n")
        }
        Some(("listener.security.protocol.map", said)) => {
            format!("listener.security.protocol.map={said},PROXIED:PLAINTEXT\n")
        }
        _ => format!("{line}\n"),
    };
    properties.lines().map(line).collect()
}

/// Writes the identity a KRaft node refuses to start without; a folder that has one keeps it.
fn format_storage(java: &Path, class_path: &Path, properties: &Path) -> Result<(), Error> {
    let mut command = Command::new(java);
    command.arg("-cp").arg(class_path).args(["kafka.tools.StorageTool", "format", "--ignore-formatted"]);
    command.args(["--cluster-id", CLUSTER_ID, "--config"]).arg(properties);
    let output = command.output().map_err(Error::os("run", java))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::NotStarted {
        server: NAME,
        reason: format!("formatting its folder ended with {}", output.status),
        log_end: last_lines(&String::from_utf8_lossy(&said), 15),
    })
}

/// One node that is broker and controller. Group times are short, so that a take-over is seen within seconds, and the
/// broker's session too: after SIGKILL it may not come back before the old one has expired. Records stay for ever,
/// whatever their timestamps.
fn properties(home: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
message.max.bytes=20971520
replica.fetch.max.bytes=20971520
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=300
group.consumer.heartbeat.interval.ms=500
",
        data = home.join("data").display()
    )
}
