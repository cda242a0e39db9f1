//! The servers themselves: they answer, keep what they were given over a kill, and never outlive their parent.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pumphouse::embedded::{clickhouse, kafka};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::world::{DEADLINE, Message, Pair, World, exe, told, wait_until};

/// Members of the classic protocol say themselves when they count as gone; with KIP-848 the broker does.
const CLASSIC: (&str, &str) = ("session.timeout.ms", "2000");
const KIP_848: (&str, &str) = ("group.protocol", "consumer");

#[test]
fn clickhouse_is_configured_as_a_normal_server_and_takes_any_setting() {
    let server = &Pair::shared().clickhouse;
    let pools = "SELECT value FROM system.server_settings WHERE name IN \
                 ('background_pool_size', 'background_schedule_pool_size') ORDER BY name";
    if server.pid().is_some() {
        assert_eq!(told(server.query(pools)), "16\n128\n");
    }
    assert_eq!(told(server.query("SELECT getSetting('async_insert') SETTINGS async_insert = 0")), "false\n");
    let refused = server.query("SELECT throwIf(1)").expect_err("the server refuses it").to_string();
    assert!(refused.contains("Code: 395"), "{refused}");
}

#[test]
fn clickhouse_keeps_rows_and_deduplication_tokens_over_kill_and_restart_on_the_same_ports() {
    let mut server = told(clickhouse::Launch::new(exe()).start());
    let (url, tcp_port, pid) = (server.url().to_owned(), server.tcp_port(), server.pid());
    told(
        server
            .query("CREATE TABLE t (n UInt64) ORDER BY n SETTINGS non_replicated_deduplication_window = 100"),
    );
    let insert = "INSERT INTO t SETTINGS insert_deduplication_token = 'a', deduplicate_insert = 'enable' \
                  SELECT number FROM numbers(1000)";
    told(server.query(insert));
    told(server.kill());
    assert!(server.query("SELECT 1").is_err(), "it answers after SIGKILL");

    told(server.restart());
    assert_eq!((server.url(), server.tcp_port()), (url.as_str(), tcp_port));
    assert_ne!(server.pid(), pid);
    assert_eq!(told(server.query("SELECT count(), sum(n) FROM t")), "1000\t499500\n");
    told(server.query(insert));
    assert_eq!(told(server.query("SELECT count() FROM t")), "1000\n");
}

#[test]
fn a_paused_clickhouse_answers_when_it_is_resumed() {
    let mut server = told(clickhouse::Launch::new(exe()).start());
    told(server.pause());
    let pid = server.pid().expect("our own server has a process");
    wait_until("stopped process", || is_stopped(pid).then_some(()));
    told(server.resume());
    assert_eq!(told(server.query("SELECT 1")), "1\n");
}

#[test]
fn kafka_returns_what_was_produced_and_keeps_the_metadata_of_a_commit() {
    let world = Pair::shared().world("round_trip", 3);
    produce_numbered(&world, 3000);
    let (seen, consumer) = consume(&world, CLASSIC, 3000);
    assert!((0..3000).all(|number| seen.contains(&format!("value {number}"))));

    let metadata = "x".repeat(3000);
    let mut commit = TopicPartitionList::new();
    told(commit.add_partition_offset(&world.topic, 1, Offset::Offset(7)));
    commit.find_partition(&world.topic, 1).expect("just added").set_metadata(&metadata);
    told(consumer.commit(&commit, CommitMode::Sync));
    assert_eq!(world.committed(1), (Offset::Offset(7), metadata));
    assert_eq!(world.committed(0).0, Offset::Invalid);
}

#[test]
fn kafka_serves_members_of_the_newer_group_protocol_and_takes_large_messages() {
    let world = Pair::shared().world("newer_protocol", 2);
    produce_numbered(&world, 100);
    assert_eq!(consume(&world, KIP_848, 100).0.len(), 100);
    let large = vec![b'x'; 15 << 20];
    world.produce([Message { partition: 0, key: None, payload: Some(&large) }]);
}

#[test]
fn kafka_shows_a_committed_transaction_and_hides_an_aborted_one() {
    let world = Pair::shared().world("transactions", 1);
    let producer: BaseProducer = told(world.client().set("transactional.id", &world.group).create());
    told(producer.init_transactions(DEADLINE));
    for (value, is_kept) in [("aborted", false), ("committed", true)] {
        told(producer.begin_transaction());
        let record = BaseRecord::<(), str>::to(&world.topic).partition(0).payload(value);
        told(producer.send(record).map_err(|(error, _)| error));
        // Written to the log either way: only the end of the transaction differs.
        told(producer.flush(DEADLINE));
        told(if is_kept {
            producer.commit_transaction(DEADLINE)
        } else {
            producer.abort_transaction(DEADLINE)
        });
    }
    assert_eq!(consume(&world, CLASSIC, 1).0, ["committed"]);
}

#[test]
fn kafka_keeps_records_and_commits_over_kill_and_restart_on_the_same_port() {
    let mut pair = Pair::own();
    let world = pair.world("kafka_restart", 2);
    produce_numbered(&world, 1000);
    let (_, consumer) = consume(&world, CLASSIC, 1000);
    let mut commit = TopicPartitionList::new();
    told(commit.add_partition_offset(&world.topic, 0, Offset::Offset(42)));
    commit.find_partition(&world.topic, 0).expect("just added").set_metadata("kept");
    told(consumer.commit(&commit, CommitMode::Sync));
    drop(consumer);

    let brokers = pair.kafka.brokers().to_owned();
    told(pair.kafka.kill());
    assert!(kafka::probe(&brokers).is_err(), "it answers after SIGKILL");
    told(pair.kafka.restart());
    assert_eq!(pair.kafka.brokers(), brokers);
    assert_eq!(world.committed(0), (Offset::Offset(42), "kept".to_owned()));
    assert_eq!(consume(&world, CLASSIC, 958).0.len(), 958);
}

#[test]
fn servers_are_gone_when_their_parent_is_killed_with_signal_9() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut parent = keeper(state.path());
    let exports = state.path().join("servers.env");
    let exports = wait_until("pair of servers", || std::fs::read_to_string(&exports).ok());
    let ports: Vec<SocketAddr> =
        exports.lines().filter_map(|line| line.rsplit(['=', '/']).next()?.parse().ok()).collect();
    assert_eq!(ports.len(), 2, "{exports}");
    let children = descendants(parent.id());
    // Two guards and two servers.
    assert_eq!(children.len(), 4, "{children:?}");
    assert!(ports.iter().all(is_open));

    told(parent.kill());
    told(parent.wait());
    wait_until("end of all servers", || {
        (!ports.iter().any(is_open) && !children.iter().any(|pid| is_alive(*pid))).then_some(())
    });
}

#[test]
fn started_servers_stay_until_they_are_stopped_and_status_says_which_is_down() {
    let chore = Chore { state: tempfile::tempdir().expect("a temporary folder") };
    assert_eq!(chore.run("status").0, Some(1));
    let (code, exports, said) = chore.run("start");
    assert_eq!(code, Some(0), "{said}");
    assert!(exports.contains("export PUMPHOUSE_CLICKHOUSE_URL=http://127.0.0.1:"), "{exports}");
    assert!(exports.contains("export PUMPHOUSE_KAFKA_BROKERS=127.0.0.1:"), "{exports}");
    assert_eq!(chore.run("start").1, exports, "a second start changes nothing");
    assert_eq!(chore.run("status").1, exports);

    let keeper = std::fs::read_to_string(chore.state.path().join("keeper.pid")).expect("the keeper's id");
    let servers = descendants(keeper.parse().expect("a number"));
    let is_clickhouse = |pid: &&u32| command_of(**pid).contains("internal\0clickhouse");
    let clickhouse = *servers.iter().find(is_clickhouse).expect("a ClickHouse below the keeper");
    told(kill_process(Pid::from_raw(signed(clickhouse)).expect("a process id"), Signal::KILL));
    wait_until("end of ClickHouse", || (!is_alive(clickhouse)).then_some(()));
    let (code, _, said) = chore.run("status");
    assert_eq!(code, Some(1));
    assert!(said.contains("ClickHouse at http://") && !said.contains("Kafka at"), "{said}");

    assert_eq!(chore.run("stop").0, Some(0));
    wait_until("end of all servers", || (!servers.iter().any(|pid| is_alive(*pid))).then_some(()));
    assert_eq!(chore.run("status").0, Some(1));
}

#[test]
fn clickhouse_is_gone_when_its_guard_is_killed_with_signal_9() {
    let mut server = told(clickhouse::Launch::new(exe()).start());
    let pid = server.pid().expect("our own server has a process");
    told(kill_process(Pid::from_raw(parent_of(pid)).expect("a process id"), Signal::KILL));
    wait_until("end of the server", || (!is_alive(pid)).then_some(()));
    told(server.restart());
    assert_eq!(told(server.query("SELECT 1")), "1\n");
}

#[test]
fn a_server_that_cannot_start_is_told_with_the_end_of_its_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // ClickHouse wants a folder where a file is.
    std::fs::write(folder.path().join("data"), "in the way").expect("a file");
    let told = clickhouse::Launch::new(exe()).in_folder(folder.path()).start();
    let told = told.map(drop).expect_err("it can't start").to_string();
    assert!(told.starts_with("PH-0202 ClickHouse did not start"), "{told}");
    assert!(told.contains("data"), "{told}");
}

/// `internal servers`, stopped at the test's end however it ends.
struct Chore {
    state: tempfile::TempDir,
}

impl Chore {
    /// The exit code, what went to standard output, and what to standard error.
    fn run(&self, action: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(exe());
        command.args(["internal", "servers", action, "--state"]).arg(self.state.path());
        let output = told(command.output());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Chore {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// The process that `servers start` detaches, as our own child.
fn keeper(state: &Path) -> Child {
    let mut command = Command::new(exe());
    command.args(["internal", "servers", "keep", "--state"]).arg(state);
    told(command.stdin(Stdio::null()).spawn())
}

fn produce_numbered(world: &World, count: i32) {
    let texts: Vec<(String, String)> =
        (0..count).map(|n| (format!("key {n}"), format!("value {n}"))).collect();
    world.produce(texts.iter().zip(0..).map(|((key, value), number): (_, i32)| Message {
        partition: number % 2,
        key: Some(key.as_bytes()),
        payload: Some(value.as_bytes()),
    }));
}

/// Reads `count` values as a member of the world's group; the member is still one.
fn consume(world: &World, protocol: (&str, &str), count: usize) -> (Vec<String>, BaseConsumer) {
    let mut config = world.client();
    config.set("group.id", &world.group).set("auto.offset.reset", "earliest");
    config.set("enable.auto.commit", "false").set(protocol.0, protocol.1);
    let consumer: BaseConsumer = told(config.create());
    told(consumer.subscribe(&[&world.topic]));
    let mut seen = Vec::new();
    wait_until(&format!("{count} messages"), || {
        while let Some(message) = consumer.poll(Duration::from_millis(200)) {
            let Ok(message) = message else { continue };
            seen.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
        (seen.len() >= count).then_some(())
    });
    (seen, consumer)
}

fn is_open(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok()
}

fn is_alive(pid: u32) -> bool {
    Pid::from_raw(signed(pid)).is_some_and(|pid| test_kill_process(pid).is_ok())
        // One that nobody has waited for yet is dead all the same.
        && status_field(pid, "State").is_some_and(|state| !state.starts_with('Z'))
}

fn is_stopped(pid: u32) -> bool {
    status_field(pid, "State").is_some_and(|state| state.starts_with('T'))
}

fn parent_of(pid: u32) -> i32 {
    status_field(pid, "PPid").and_then(|parent| parent.parse().ok()).expect("a running process has a parent")
}

fn status_field(pid: u32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned());
    status.lines().find_map(field)
}

/// The command line, its words separated by zero bytes.
fn command_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The children of a process and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let all: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let child = |candidate: &u32| status_field(*candidate, "PPid") == Some(pid.to_string());
    let children: Vec<u32> = all.into_iter().filter(child).collect();
    children.iter().flat_map(|child| descendants(*child)).chain(children.clone()).collect()
}

fn signed(pid: u32) -> i32 {
    i32::try_from(pid).expect("process ids are below 2^22 on Linux")
}
