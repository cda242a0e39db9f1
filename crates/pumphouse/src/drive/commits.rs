//! What Kafka's answer to an offset commit means. Sends none and knows no batch.

use pumphouse_core::pump::CommitFailure;
use rdkafka::types::RDKafkaRespErr;

/// What a commit's answer means: `None` for stored everywhere.
///
/// | answer | meaning |
/// |---|---|
/// | no error anywhere | stored |
/// | metadata too large | the broker takes less than a claim needs |
/// | an error of the group for all: rebalance, older generation, coordinator loading or moved | nothing stored, again later |
/// | anything else: one partition failed, no answer, member unknown | what is stored has to be read |
///
/// An older generation is the usual answer while a cooperative rebalance goes on: the coordinator checks it before
/// it stores anything, and librdkafka stamps the newer one on the next try. A member that is truly out never gets
/// a newer one before it was told that its assignment is lost.
pub(super) fn judge_commit(error: RDKafkaRespErr, partitions: &[RDKafkaRespErr]) -> Option<CommitFailure> {
    use RDKafkaRespErr as E;
    let ok = E::RD_KAFKA_RESP_ERR_NO_ERROR;
    if error == ok && partitions.iter().all(|partition| *partition == ok) {
        return None;
    }
    if partitions.contains(&E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE) {
        return Some(CommitFailure::TooLarge);
    }
    let later = [
        E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    ];
    let all_later = !partitions.is_empty() && partitions.iter().all(|partition| later.contains(partition));
    Some(if all_later { CommitFailure::NotYet } else { CommitFailure::Unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_whole_group_leave_a_commit_to_be_repeated() {
        use RDKafkaRespErr as E;
        let (ok, later) = (E::RD_KAFKA_RESP_ERR_NO_ERROR, E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
        assert_eq!(judge_commit(ok, &[ok, ok]), None);
        assert_eq!(judge_commit(later, &[later, later]), Some(CommitFailure::NotYet));
        assert_eq!(judge_commit(later, &[ok, later]), Some(CommitFailure::Unknown));
        assert_eq!(judge_commit(E::RD_KAFKA_RESP_ERR__TIMED_OUT, &[]), Some(CommitFailure::Unknown));
        let member = E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
        assert_eq!(judge_commit(member, &[member]), Some(CommitFailure::Unknown));
        let large = E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE;
        assert_eq!(judge_commit(large, &[ok, large]), Some(CommitFailure::TooLarge));
    }
}
