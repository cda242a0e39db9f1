//! What Kafka is set to, against what delivery rests on: how long records and offsets stay, how many copies there are, what
//! is taken away or too large. Pure; asking is `ask_kafka`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_core::claim::METADATA_BYTES_MAX;

use super::finding::{Finding, Severity};
use super::load::{Asked, Load, span};
use crate::fault::Code;

/// Copies that everything is kept in where there are brokers enough.
const COPIES: usize = 3;

/// One topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TopicFacts {
    /// Its name.
    pub(super) name: String,
    /// Partitions.
    pub(super) partitions: usize,
    /// Copies of the partition that has the fewest.
    pub(super) copies: usize,
    /// Its settings as in force; empty where they were not told.
    pub(super) settings: BTreeMap<String, String>,
    /// For how long what its log holds lasts at the rate as it is, where records were deleted already.
    pub(super) lasts: Option<Duration>,
}

/// What the cluster is set to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KafkaFacts {
    /// Brokers.
    pub(super) brokers: usize,
    /// The settings of one of them; empty where they were not told.
    pub(super) settings: BTreeMap<String, String>,
    /// The topic of the offsets, where there is one yet.
    pub(super) offsets: Option<TopicFacts>,
    /// The stream's topic.
    pub(super) topic: TopicFacts,
    /// The topic of its dead letters.
    pub(super) letters: Option<TopicFacts>,
    /// What could not be looked at, and why.
    pub(super) untold: Vec<String>,
}

/// What the members can take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taking {
    /// Bytes of one answer of Kafka.
    pub(super) answer_bytes: u64,
    /// `process.memory`.
    pub(super) memory: u64,
    /// Lanes of all processes together.
    pub(super) lanes: u64,
}

/// Where a finding belongs.
struct Place<'a> {
    stream: &'a str,
    on: String,
}

impl Place<'_> {
    fn finding(&self, severity: Severity, code: Code, (what, why, mend): (String, &str, String)) -> Finding {
        let (stream, on) = (self.stream.to_owned(), self.on.clone());
        Finding { severity, code, stream, on, what, why: why.to_owned(), mend }
    }
}

/// All that Kafka's settings have against a stream.
pub(super) fn judge(stream: &str, facts: &KafkaFacts, asked: &Asked, taking: Taking) -> Vec<Finding> {
    let place = Place { stream, on: format!("topic {}", facts.topic.name) };
    let mut findings = Vec::new();
    findings.extend(retention(&place, &facts.topic, asked.outage));
    findings.extend(compacted(&place, &facts.topic));
    findings.extend(unclean(&place, &facts.topic));
    findings.extend(idle(&place, &facts.topic, taking.lanes));
    findings.extend(too_large(&place, facts, taking));
    findings.extend(copies(&place, &facts.topic, facts.brokers));
    let brokers = Place { stream: "", on: "Kafka's brokers".to_owned() };
    findings.extend(offsets_retention(&brokers, &facts.settings, asked.outage));
    findings.extend(metadata(&brokers, &facts.settings));
    if let Some(offsets) = &facts.offsets {
        let place = Place { stream: "", on: format!("topic {}", offsets.name) };
        findings.extend(copies(&place, offsets, facts.brokers));
    }
    findings
}

/// Lanes of all processes, whatever the partitions.
pub(super) fn lanes(lanes: u16, asked: &Asked) -> u64 {
    u64::from(lanes) * u64::from(asked.processes)
}

fn number(settings: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

fn alter(topic: &str, setting: &str) -> String {
    format!(
        "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {setting} \
         --bootstrap-server …"
    )
}

fn deletes(topic: &TopicFacts) -> bool {
    topic.settings.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"))
}

fn retention(place: &Place<'_>, topic: &TopicFacts, outage: Duration) -> Option<Finding> {
    let millis = number(&topic.settings, "retention.ms").and_then(|ms| u64::try_from(ms).ok());
    let by_time = millis.map(Duration::from_millis).filter(|kept| deletes(topic) && *kept < outage);
    let by_size = topic.lasts.filter(|lasts| {
        let is_bounded = number(&topic.settings, "retention.bytes").is_some_and(|bytes| bytes >= 0);
        is_bounded && *lasts < outage
    });
    let outage_said = span(outage);
    let (what, setting) = match (by_time, by_size) {
        (Some(kept), _) => (
            format!("retention.ms keeps records for {}, an outage may last {outage_said}", span(kept)),
            format!("retention.ms={}", outage.as_millis() * 7),
        ),
        (None, Some(lasts)) => (
            format!(
                "retention.bytes is {}, and at this rate that is {}; an outage may last {outage_said}",
                topic.settings["retention.bytes"],
                span(lasts)
            ),
            "retention.bytes=-1".to_owned(),
        ),
        (None, None) => return None,
    };
    let why = "records wait in Kafka while nothing takes them; what is deleted by then is a gap";
    Some(place.finding(Severity::Warning, Code::RetentionShort, (what, why, alter(&topic.name, &setting))))
}

fn compacted(place: &Place<'_>, topic: &TopicFacts) -> Option<Finding> {
    let policy = topic.settings.get("cleanup.policy").filter(|policy| policy.contains("compact"))?;
    let why = "a record that a later one with its key replaces before it is read never becomes a row, and leaves no \
               trace";
    let mend = alter(&topic.name, "cleanup.policy=delete");
    let what = format!("cleanup.policy is {policy}");
    Some(place.finding(Severity::Warning, Code::TopicCompacted, (what, why, mend)))
}

fn unclean(place: &Place<'_>, topic: &TopicFacts) -> Option<Finding> {
    let name = "unclean.leader.election.enable";
    topic.settings.get(name).filter(|value| *value == "true")?;
    let why = "after such an election acknowledged records are gone and others have their offsets";
    let mend = alter(&topic.name, &format!("{name}=false"));
    Some(place.finding(Severity::Warning, Code::UncleanElection, (format!("{name} is true"), why, mend)))
}

fn idle(place: &Place<'_>, topic: &TopicFacts, lanes: u64) -> Option<Finding> {
    let partitions = topic.partitions as u64;
    if lanes <= partitions {
        return None;
    }
    let what =
        format!("{lanes} lanes and {partitions} partitions: {} have nothing to do", lanes - partitions);
    let why = "a partition belongs to one lane at a time, and idle members only make rebalances longer";
    let mend = format!("process.lanes: {}, or more partitions", partitions.max(1));
    Some(place.finding(Severity::Advice, Code::LanesIdle, (what, why, mend)))
}

fn too_large(place: &Place<'_>, facts: &KafkaFacts, taking: Taking) -> Option<Finding> {
    let largest =
        number(&facts.topic.settings, "max.message.bytes").and_then(|bytes| u64::try_from(bytes).ok())?;
    let letters = facts.letters.as_ref().and_then(|topic| {
        let limit =
            number(&topic.settings, "max.message.bytes").and_then(|bytes| u64::try_from(bytes).ok())?;
        (limit < largest).then(|| (topic.name.clone(), limit))
    });
    let (limit, by, mend) = if largest + 512 > taking.answer_bytes {
        let property = "kafka.properties.receive.message.max.bytes";
        (taking.answer_bytes, property.to_owned(), format!("{property}: {}", largest * 2))
    } else if largest * 4 > taking.memory {
        let mend = format!("process.memory: {}MiB", (largest * 8).div_ceil(1 << 20));
        (taking.memory, "a quarter of process.memory".to_owned(), mend)
    } else {
        let (name, limit) = letters?;
        let mend = alter(&name, &format!("max.message.bytes={largest}"));
        (limit, format!("max.message.bytes of the dead letters' topic {name}"), mend)
    };
    let what = format!("max.message.bytes is {largest}; {by} allows {limit}");
    let why = "a message that can't be taken or kept whole stops its partition, or is a dead letter without its value";
    Some(place.finding(Severity::Warning, Code::MessagesTooLarge, (what, why, mend)))
}

fn copies(place: &Place<'_>, topic: &TopicFacts, brokers: usize) -> Option<Finding> {
    let possible = brokers.min(COPIES);
    let insync = number(&topic.settings, "min.insync.replicas");
    let why = "a broker that is lost takes along what only it had: records, or the claim that says what was inserted";
    let (what, mend) = if topic.copies < possible {
        let what = format!("{} on {brokers} brokers", counted(topic.copies, "copy", "copies"));
        (what, format!("{possible} copies of {}, by kafka-reassign-partitions.sh", topic.name))
    } else if topic.copies > 1 && insync == Some(1) {
        let what = format!("min.insync.replicas is 1 of {} copies", topic.copies);
        (what, alter(&topic.name, "min.insync.replicas=2"))
    } else {
        return None;
    };
    Some(place.finding(Severity::Warning, Code::TooFewCopies, (what, why, mend)))
}

fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

fn offsets_retention(
    place: &Place<'_>,
    settings: &BTreeMap<String, String>,
    outage: Duration,
) -> Option<Finding> {
    let minutes =
        number(settings, "offsets.retention.minutes").and_then(|minutes| u64::try_from(minutes).ok())?;
    let kept = Duration::from_mins(minutes);
    if kept >= outage {
        return None;
    }
    let what = format!(
        "offsets.retention.minutes keeps offsets for {}, an outage may last {}",
        span(kept),
        span(outage)
    );
    let why = "a group without members loses its offsets and claims then, and nobody knows any more what is inserted";
    let mend = format!(
        "kafka-configs.sh --alter --entity-type brokers --entity-default --add-config offsets.retention.minutes={} \
         --bootstrap-server …",
        outage.as_secs() / 60 * 7
    );
    Some(place.finding(Severity::Warning, Code::OffsetsRetentionShort, (what, why, mend)))
}

fn metadata(place: &Place<'_>, settings: &BTreeMap<String, String>) -> Option<Finding> {
    let limit = number(settings, "offset.metadata.max.bytes")?;
    if usize::try_from(limit).is_ok_and(|limit| limit >= METADATA_BYTES_MAX) {
        return None;
    }
    let what = format!("offset.metadata.max.bytes is {limit}; a claim takes up to {METADATA_BYTES_MAX}");
    let why = "a commit that carries a larger claim is refused, and the stream halts";
    let mend = "offset.metadata.max.bytes=4096 in each broker's properties".to_owned();
    Some(place.finding(Severity::Error, Code::MetadataBounded, (what, why, mend)))
}

/// The line about what was measured.
pub(super) fn note(stream: &str, facts: &KafkaFacts, load: &Load) -> String {
    let partitions = counted(facts.topic.partitions, "partition", "partitions");
    let brokers = counted(facts.brokers, "broker", "brokers");
    let rate = load.rate.map_or("unknown".to_owned(), super::load::figure);
    let alone = if facts.brokers == 1 { ": what it holds has no copy" } else { "" };
    format!("stream {stream}: {partitions}, {rate} events/s, {brokers}{alone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked { rate: None, spread: None, processes: 2, outage: Duration::from_hours(24) };
    const TAKING: Taking = Taking { answer_bytes: 100_000_000, memory: 256 << 20, lanes: 4 };

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn topic(copies: usize, pairs: &[(&str, &str)]) -> TopicFacts {
        let name = "t".to_owned();
        TopicFacts { name, partitions: 6, copies, settings: settings(pairs), lasts: None }
    }

    fn codes(facts: &KafkaFacts, taking: Taking) -> Vec<&'static str> {
        judge("s", facts, &ASKED, taking).iter().map(|finding| finding.code.number()).collect()
    }

    #[test]
    fn each_setting_of_the_topic_has_its_code() {
        for (copies, brokers, pairs, expected) in [
            (3, 3, vec![("retention.ms", "604800000"), ("cleanup.policy", "delete")], vec![]),
            (3, 3, vec![("retention.ms", "-1")], vec![]),
            (3, 3, vec![("retention.ms", "3600000")], vec!["PH-0226"]),
            (3, 3, vec![("retention.ms", "3600000"), ("cleanup.policy", "compact")], vec!["PH-0230"]),
            (
                3,
                3,
                vec![("retention.ms", "3600000"), ("cleanup.policy", "compact,delete")],
                vec!["PH-0226", "PH-0230"],
            ),
            (3, 3, vec![("unclean.leader.election.enable", "true")], vec!["PH-0232"]),
            (3, 3, vec![("max.message.bytes", "100000000")], vec!["PH-0231"]),
            (3, 3, vec![("max.message.bytes", "90000000")], vec!["PH-0231"]),
            (3, 3, vec![("max.message.bytes", "1048588")], vec![]),
            (3, 3, vec![("min.insync.replicas", "1")], vec!["PH-0228"]),
            (3, 3, vec![("min.insync.replicas", "2")], vec![]),
            (1, 3, vec![], vec!["PH-0228"]),
            (2, 2, vec![], vec![]),
            (1, 1, vec![("min.insync.replicas", "1")], vec![]),
        ] {
            let facts = KafkaFacts { brokers, topic: topic(copies, &pairs), ..KafkaFacts::default() };
            assert_eq!(codes(&facts, TAKING), expected, "{copies} of {brokers}, {pairs:?}");
        }
    }

    #[test]
    fn size_cuts_an_outage_short_only_where_it_is_bounded() {
        for (bytes, hours, found) in [("-1", 2, false), ("1000000", 2, true), ("1000000", 30, false)] {
            let lasts = Some(Duration::from_hours(hours));
            let topic = TopicFacts { lasts, ..topic(3, &[("retention.bytes", bytes)]) };
            let facts = KafkaFacts { brokers: 3, topic, ..KafkaFacts::default() };
            assert_eq!(codes(&facts, TAKING) == ["PH-0226"], found, "{bytes} {hours}");
        }
    }

    #[test]
    fn brokers_offsets_letters_and_lanes_have_theirs() {
        let fine = KafkaFacts {
            brokers: 3,
            topic: topic(3, &[("max.message.bytes", "1000000")]),
            ..KafkaFacts::default()
        };
        assert_eq!(codes(&fine, TAKING), [""; 0]);
        let short = settings(&[("offsets.retention.minutes", "60"), ("offset.metadata.max.bytes", "1024")]);
        assert_eq!(codes(&KafkaFacts { settings: short, ..fine.clone() }, TAKING), ["PH-0227", "PH-0236"]);
        assert_eq!(codes(&KafkaFacts { offsets: Some(topic(1, &[])), ..fine.clone() }, TAKING), ["PH-0228"]);
        let letters = Some(topic(3, &[("max.message.bytes", "999999")]));
        assert_eq!(codes(&KafkaFacts { letters, ..fine.clone() }, TAKING), ["PH-0231"]);
        assert_eq!(codes(&fine, Taking { lanes: 7, ..TAKING }), ["PH-0229"]);
    }
}
