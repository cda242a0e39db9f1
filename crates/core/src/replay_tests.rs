//! The tables of `replay`, line by line; whole histories are in `tests/replays.rs`.

use super::*;

const NOW: i64 = 1_795_000_000_000;

fn moment(server: i64) -> Moment {
    Moment { now: crate::moment::Time(0), server: ServerTime(server), entropy: 7 }
}

fn policy() -> Policy {
    Policy { shape: 1, safe_age: SAFE_AGE_MAX, insert_timeout: Duration::from_secs(20) }
}

fn entry(shape: u32) -> Entry {
    let (claimed_at, until) = (ServerTime(NOW), ServerTime(NOW + 60_000));
    Entry { number: 4, id: BatchId(9), claimed_at, until, shape }
}

/// A replay that was told that the log's last entry is open.
fn found(shape: u32, server: i64) -> (Replay, Order) {
    let (mut replay, order) = Replay::begin(policy(), &moment(NOW));
    assert_eq!(order, Order::ReadLog);
    let order = replay.step(&moment(server), Fact::Log(Log::Open(entry(shape))));
    (replay, order)
}

#[test]
fn a_letter_is_judged_by_its_rows() {
    use Row::{Bad, Fit, Found};
    for (rows, judgement) in [
        (&[][..], Judgement::Filtered),
        (&[Fit], Judgement::Claim),
        (&[Found, Found], Judgement::Found),
        (&[Bad, Bad], Judgement::Bad),
        (&[Found, Bad], Judgement::Claim),
        (&[Fit, Found, Bad], Judgement::Claim),
    ] {
        assert_eq!(judge(rows.iter().copied()), judgement, "{rows:?}");
    }
}

#[test]
fn an_entry_is_later_than_its_letters_and_than_the_entry_before() {
    for (server, before, newest, claimed_at) in
        [(NOW, 5, 6, NOW), (NOW, NOW, 6, NOW + 1), (NOW, 5, NOW + 50, NOW + 51)]
    {
        let (mut replay, _) = Replay::begin(policy(), &moment(NOW));
        let log = Log::Settled { last: 3, claimed_at: ServerTime(before) };
        assert_eq!(replay.step(&moment(server), Fact::Log(log)), Order::Plan);
        let order = replay.step(&moment(server), Fact::Planned(Some(ServerTime(newest))));
        let Order::Claim { entry, .. } = order else { panic!("{order:?}") };
        assert_eq!((entry.number, entry.claimed_at.0, entry.until.0), (4, claimed_at, NOW + 60_000));
    }
}

#[test]
fn whoever_stands_in_the_log_is_finished_first() {
    let (mut replay, order) = found(1, NOW + 1_000);
    assert_eq!(order, Order::Build(entry(1)));
    let order = replay.step(&moment(NOW + 1_000), Fact::Built(Some(vec![TableId(0), TableId(2)])));
    assert!(matches!(order, Order::Insert { table: TableId(0), attempt: 1, .. }), "{order:?}");
    let order = replay.step(&moment(NOW + 50_000), Fact::Inserted(Answer::Done));
    let until = ServerTime(NOW + 60_000);
    assert_eq!(order, Order::Insert { entry: entry(1), table: TableId(2), deadline: until, attempt: 1 });
    let order = replay.step(&moment(NOW + 50_000), Fact::Inserted(Answer::Done));
    assert_eq!(order, Order::Settle(entry(1), None));
    assert_eq!(replay.step(&moment(NOW), Fact::Settled(Answer::Done)), Order::ReadLog);
}

#[test]
fn only_the_tables_tell_past_the_safe_age_and_under_another_shape() {
    for (shape, server) in [(1, NOW + 59_500), (2, NOW + 1_000)] {
        let (mut replay, order) = found(shape, server);
        let left = u64::try_from(NOW + 62_000 - server).expect("ahead");
        assert_eq!(order, Order::Wait(Duration::from_millis(left)));
        let later = moment(NOW + 62_000);
        assert_eq!(replay.step(&later, Fact::Waited), Order::LookForQueries(entry(shape)));
        assert_eq!(replay.step(&later, Fact::Running(true)), Order::Wait(LOOK_AGAIN_AFTER));
        assert_eq!(replay.step(&later, Fact::Waited), Order::LookForQueries(entry(shape)));
        assert_eq!(replay.step(&later, Fact::Running(false)), Order::AskTables(entry(shape)));
        let landed = vec![true, false];
        let order = replay.step(&later, Fact::Told(Some(landed.clone())));
        assert_eq!(order, Order::Settle(entry(shape), Some(landed)));
    }
}

#[test]
fn where_the_tables_can_not_tell_it_stops() {
    let (mut replay, _) = found(2, NOW + 70_000);
    assert!(matches!(replay.step(&moment(NOW + 70_000), Fact::Running(false)), Order::AskTables(_)));
    let order = replay.step(&moment(NOW + 70_000), Fact::Told(None));
    assert_eq!(order, Order::Stop(Stop::Undecidable(entry(2))));
}

#[test]
fn what_can_not_be_built_again_is_left_to_the_tables() {
    let (mut replay, _) = found(1, NOW + 1_000);
    assert!(matches!(replay.step(&moment(NOW + 1_000), Fact::Built(None)), Order::Wait(_)));
}

#[test]
fn an_insert_in_doubt_goes_again_until_its_time_is_over() {
    let (mut replay, _) = found(1, NOW);
    let _ = replay.step(&moment(NOW), Fact::Built(Some(vec![TableId(0)])));
    assert!(matches!(replay.step(&moment(NOW), Fact::Inserted(Answer::Unknown)), Order::Wait(_)));
    let order = replay.step(&moment(NOW + 30_000), Fact::Waited);
    assert!(matches!(order, Order::Insert { attempt: 2, .. }), "{order:?}");
    let refused = Fact::Inserted(Answer::Refused(Refusal::Overloaded));
    assert!(matches!(replay.step(&moment(NOW + 30_000), refused), Order::Wait(_)));
    let order = replay.step(&moment(NOW + 59_999), Fact::Waited);
    assert_eq!(order, Order::Wait(Duration::from_millis(2_001)), "until nothing of it can land");
}

#[test]
fn what_a_retry_can_not_mend_stops() {
    let (mut replay, _) = found(1, NOW);
    let _ = replay.step(&moment(NOW), Fact::Built(Some(vec![TableId(0)])));
    let order = replay.step(&moment(NOW), Fact::Inserted(Answer::Refused(Refusal::Block)));
    assert_eq!(order, Order::Stop(Stop::Refused(Refusal::Block)));
}

#[test]
fn a_claim_that_is_taken_and_never_seen_stops_but_a_lost_race_does_not() {
    let settled = |last| Fact::Log(Log::Settled { last, claimed_at: ServerTime(5) });
    for (grows, stops) in [(0, true), (1, false)] {
        let (mut replay, _) = Replay::begin(policy(), &moment(NOW));
        let mut stopped = false;
        for turn in 0..4 {
            let order = replay.step(&moment(NOW), settled(turn * grows));
            if let Order::Stop(reason) = &order {
                assert_eq!(*reason, Stop::Unseen(1));
                stopped = true;
                break;
            }
            assert_eq!(order, Order::Plan);
            let order = replay.step(&moment(NOW), Fact::Planned(Some(ServerTime(1))));
            assert!(matches!(order, Order::Claim { .. }));
            assert_eq!(replay.step(&moment(NOW), Fact::Claimed(Answer::Done)), Order::ReadLog);
        }
        assert_eq!(stopped, stops);
    }
}

#[test]
fn a_claim_is_refused_once_the_log_may_have_forgotten_who_was_first() {
    let planned = |after: i64| {
        let (mut replay, _) = Replay::begin(policy(), &moment(NOW));
        let settled = Fact::Log(Log::Settled { last: 0, claimed_at: ServerTime(0) });
        assert_eq!(replay.step(&moment(NOW + 5_000), settled), Order::Plan);
        replay.step(&moment(NOW + after), Fact::Planned(Some(ServerTime(1))))
    };
    let Order::Claim { deadline, .. } = planned(570_000) else { panic!("in time") };
    assert_eq!(deadline, ServerTime(NOW + 600_000), "counted from when the log was asked");
    assert_eq!(planned(600_000), Order::ReadLog);
}

#[test]
fn a_settling_that_is_taken_and_never_seen_stops() {
    let (mut replay, mut order) = found(1, NOW);
    for _ in 0..3 {
        assert!(matches!(order, Order::Build(_)), "{order:?}");
        assert!(matches!(replay.step(&moment(NOW), Fact::Built(Some(Vec::new()))), Order::Settle(..)));
        assert_eq!(replay.step(&moment(NOW), Fact::Settled(Answer::Done)), Order::ReadLog);
        order = replay.step(&moment(NOW), Fact::Log(Log::Open(entry(1))));
    }
    assert_eq!(order, Order::Stop(Stop::Unseen(4)));
}
