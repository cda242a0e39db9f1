//! What a commit's answer means, and that work which panics still answers.

use std::sync::mpsc::sync_channel;

use super::*;

#[test]
fn work_that_panics_still_answers() {
    let (sender, answers) = sync_channel(1);
    let mailbox = Mailbox { epoch: 3, sender, thread: thread::current(), cancelled: Arc::default() };
    let work = thread::spawn(move || {
        let _owed = OwedAnswer(mailbox);
        panic!("as a test of what follows");
    });
    assert!(work.join().is_err());
    assert!(matches!(answers.try_recv(), Ok((3, Answer::Broken))));
}

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
