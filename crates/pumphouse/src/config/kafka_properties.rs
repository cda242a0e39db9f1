//! Which properties of librdkafka may be given by hand. Refuses by name the ones that would break delivery, and
//! asks librdkafka itself whether it knows the others. Does not connect, and never shows a value.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::keys;
use super::mistake::{MISTAKE, PROPERTY_REFUSED};
use super::said::{Entry, Place, Said};
use super::scalar::Wrong;
use super::settings::Secret;
use super::walk::Walk;

const PATH: &str = "kafka.properties";

/// Properties that pumphouse sets itself or that would break delivery: name or `prefix.*`, why, what instead.
pub(super) const REFUSED: &[(&str, &str, &str)] = &[
    ("bootstrap.servers", "it is `kafka.brokers`", "write it there"),
    ("metadata.broker.list", "it is `kafka.brokers`", "write it there"),
    (
        "group.id",
        "a claim belongs to the group it was written in, `<kafka.group>.<stream>`",
        "set `kafka.group`",
    ),
    ("enable.auto.commit", "offsets are committed with their claim, after the insert", "remove it"),
    ("auto.commit.*", "offsets are committed with their claim, after the insert", "remove it"),
    ("enable.auto.offset.store", "offsets are committed with their claim, after the insert", "remove it"),
    ("offset.store.*", "offsets are kept in Kafka, beside their claims", "remove it"),
    (
        "auto.offset.reset",
        "an offset out of range is a gap to be told, not to be jumped over",
        "set `kafka.start_from`",
    ),
    (
        "isolation.level",
        "records of aborted transactions would become rows, so it is `read_committed`",
        "remove it",
    ),
    ("enable.partition.eof", "a claim is rebuilt up to the end of a partition, so it is on", "remove it"),
    ("statistics.interval.ms", "the metrics depend on it", "remove it"),
    ("transactional.id", "it is a producer's", "remove it"),
    ("transaction.timeout.ms", "it is a producer's", "remove it"),
    ("enable.idempotence", "it is a producer's", "remove it"),
    ("group.protocol.type", "the group is one of consumers", "remove it"),
    ("test.mock.*", "records would come from a mock instead of your brokers", "remove it"),
    ("plugin.library.paths", "a plugin can change what is read and committed", "remove it"),
    ("check.crcs", "damaged records would become rows, so it is on", "remove it"),
    (
        "allow.auto.create.topics",
        "a mistyped topic would be created and read as empty",
        "create the topic first",
    ),
    ("enabled_events", "the events of the client are handled by pumphouse", "remove it"),
];

/// With the group protocol `consumer` the broker decides these, and librdkafka refuses to start with them.
const DECIDED_BY_THE_BROKER: [&str; 3] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"];

/// The least `max.poll.interval.ms`: a revocation waits for a claimed batch to land.
const POLL_INTERVAL_LEAST: u64 = 60_000;

/// Usual properties, to suggest for a name that librdkafka does not know.
const USUAL: [&str; 34] = [
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "debug",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
];

/// Whether a property's value must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_location = name.ends_with(".location");
    let marks = ["password", "secret", "key", "token", "sasl.jaas", "sasl.oauthbearer.config"];
    let is_pem = name.strip_suffix("pem").is_some_and(|name| name.starts_with("ssl."));
    (!is_location && marks.iter().any(|mark| name.contains(mark))) || is_pem
}

/// Reads the map of properties.
pub(super) fn read(entries: &[Entry], walk: &Walk<'_>) -> BTreeMap<String, Secret> {
    let mut properties = BTreeMap::new();
    for entry in entries {
        let value = match &entry.node.said {
            Said::Text(text) => text.text.clone(),
            Said::Broken => continue,
            other => {
                let what = format!("expected a single value, found {}", other.noun());
                tell(walk, MISTAKE, entry.place, &entry.name, Wrong::new(what, "write the value as a text"));
                continue;
            }
        };
        if let Some(wrong) = refusal(&entry.name) {
            tell(walk, PROPERTY_REFUSED, entry.place, &entry.name, wrong);
        } else if let Some(wrong) = unknown_to_librdkafka(&entry.name, &value) {
            tell(walk, MISTAKE, entry.place, &entry.name, wrong);
        } else {
            properties.insert(entry.name.clone(), Secret::new(value));
        }
    }
    tell_combinations(entries, &properties, walk);
    properties
}

fn tell(walk: &Walk<'_>, code: &'static str, place: Place, name: &str, wrong: Wrong) {
    walk.mistake_unseen(code, place, &Walk::join(PATH, name), wrong);
}

/// Why a property is refused whatever its value.
fn refusal(name: &str) -> Option<Wrong> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    if name.ends_with("_cb") || name == "opaque" {
        return Some(Wrong::new("refused: it is a function of the program, not a setting", "remove it"));
    }
    let (_, why, instead) = REFUSED.iter().find(|(pattern, ..)| fits(pattern))?;
    Some(Wrong::new(format!("refused: {why}"), *instead))
}

/// What librdkafka says of a property. Its own words are left out: they hold the value.
fn unknown_to_librdkafka(name: &str, value: &str) -> Option<Wrong> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    if name.contains('\0') || value.contains('\0') {
        return Some(Wrong::new("holds a zero byte", "remove it"));
    }
    match config.create_native_config() {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let suggestion = keys::nearest(&name.replace('_', "."), USUAL).map_or_else(
                || "see librdkafka's list of properties".to_owned(),
                |usual| format!("did you mean `{usual}`?"),
            );
            Some(Wrong::new("librdkafka has no such property", suggestion))
        }
        Err(_) => Some(Wrong::new(
            "librdkafka does not accept this value",
            "see librdkafka's list of properties for what it takes",
        )),
        Ok(_) => None,
    }
}

/// A static member is one consumer: two lanes of its name would throw each other out of the group for ever.
pub(super) fn tell_shared_instance(entries: &[Entry], lanes: u16, walk: &Walk<'_>) {
    let instance = entries.iter().find(|entry| entry.name == "group.instance.id" && lanes > 1);
    if let Some(entry) = instance {
        let what = format!("refused: {lanes} lanes of this process would fence each other by it");
        let wrong = Wrong::new(what, "set `process.lanes: 1` and run more processes, or remove it");
        tell(walk, PROPERTY_REFUSED, entry.place, &entry.name, wrong);
    }
}

/// Properties that are fine alone and wrong together.
fn tell_combinations(entries: &[Entry], properties: &BTreeMap<String, Secret>, walk: &Walk<'_>) {
    let value = |name: &str| properties.get(name).map(|value| value.reveal().to_ascii_lowercase());
    let place = |name: &str| {
        entries.iter().find(|entry| entry.name == name).map_or(Place::START, |entry| entry.place)
    };
    let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
    if value("group.protocol").as_deref() == Some("consumer") {
        for name in DECIDED_BY_THE_BROKER.into_iter().filter(|name| properties.contains_key(*name)) {
            let what = "refused: with `group.protocol: consumer` the broker decides it";
            tell(
                walk,
                PROPERTY_REFUSED,
                place(name),
                name,
                Wrong::new(what, "remove it, or set it on the broker"),
            );
        }
    } else if properties.contains_key("group.remote.assignor") {
        let wrong = Wrong::new("works only with `group.protocol: consumer`", "add that, or remove this");
        tell(walk, MISTAKE, place("group.remote.assignor"), "group.remote.assignor", wrong);
    }
    if let Some(interval) = number("max.poll.interval.ms") {
        let session = number("session.timeout.ms").unwrap_or(45_000);
        if interval < POLL_INTERVAL_LEAST {
            let what = "refused: a revocation has to wait until a claimed batch has landed";
            let wrong = Wrong::new(what, format!("write at least {POLL_INTERVAL_LEAST}, or remove it"));
            tell(walk, PROPERTY_REFUSED, place("max.poll.interval.ms"), "max.poll.interval.ms", wrong);
        } else if interval < session {
            let wrong = Wrong::new("is below `session.timeout.ms`", "raise it, or lower that");
            tell(walk, MISTAKE, place("max.poll.interval.ms"), "max.poll.interval.ms", wrong);
        }
    }
    if value("security.protocol").is_some_and(|protocol| protocol.starts_with("sasl")) {
        tell_mechanism(properties, &place, walk);
    }
}

/// The mechanism that librdkafka takes by default, Kerberos, is not built in.
fn tell_mechanism(properties: &BTreeMap<String, Secret>, place: &dyn Fn(&str) -> Place, walk: &Walk<'_>) {
    let name = ["sasl.mechanism", "sasl.mechanisms"].into_iter().find(|name| properties.contains_key(*name));
    let Some(name) = name else {
        let wrong = Wrong::new(
            "needs `sasl.mechanism`",
            "add `sasl.mechanism: PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
        );
        return tell(walk, MISTAKE, place("security.protocol"), "security.protocol", wrong);
    };
    let mechanism = properties.get(name).map(|value| value.reveal().to_ascii_uppercase());
    if !matches!(mechanism.as_deref(), Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512")) {
        let wrong = Wrong::new(
            "this mechanism is not available in this version",
            "use `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
        );
        tell(walk, MISTAKE, place(name), name, wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_delivery_is_refused_by_name() {
        for name in [
            "bootstrap.servers",
            "group.id",
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.commit.interval.ms",
            "auto.offset.reset",
            "isolation.level",
            "enable.partition.eof",
            "offset.store.method",
            "statistics.interval.ms",
            "rebalance_cb",
            "test.mock.num.brokers",
        ] {
            assert!(refusal(name).is_some_and(|wrong| wrong.what.starts_with("refused: ")), "{name}");
        }
    }

    #[test]
    fn what_is_usual_passes() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("client.rack", "eu-1a"),
            ("group.instance.id", "pod-0"),
            ("group.protocol", "consumer"),
            ("queued.min.messages", "100000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("ssl.ca.location", "/etc/ssl/certs/ca-certificates.crt"),
        ] {
            assert_eq!(refusal(name), None, "{name}");
            assert_eq!(unknown_to_librdkafka(name, value), None, "{name}");
        }
    }

    #[test]
    fn every_usual_property_is_one_of_librdkafka() {
        for name in USUAL {
            let wrong = unknown_to_librdkafka(name, "0").map(|wrong| wrong.what);
            assert_ne!(wrong.as_deref(), Some("librdkafka has no such property"), "{name}");
        }
    }

    #[test]
    fn a_typing_mistake_gets_a_suggestion() {
        let wrong = unknown_to_librdkafka("fetch_min_bytes", "1").map(|wrong| wrong.suggestion);
        assert_eq!(wrong.as_deref(), Some("did you mean `fetch.min.bytes`?"));
        let wrong = unknown_to_librdkafka("fetch.min.bytes", "many").map(|wrong| wrong.what);
        assert_eq!(wrong.as_deref(), Some("librdkafka does not accept this value"));
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "sasl.oauthbearer.client.secret",
            "ssl.ca.pem",
            "ssl.key.pem",
            "sasl.jaas.config",
        ] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("security.protocol") && !is_secret("ssl.key.location") && !is_secret("client.id"));
    }
}
