//! Dead letters after a fix: listed, shown, exported, replayed, purged. A replay is killed, runs twice, is finished by
//! another configuration; at the end every letter that is fit is a row exactly once.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dead_ground::{Counts, Letters, PARTITIONS, WIDE, path, yaml};
use crate::world::{Message, told, wait_until};

/// Good events that keep coming; `next` is the number of the next one.
struct Flow<'a> {
    letters: &'a Letters,
    next: u64,
}

impl Flow<'_> {
    const FIRST: u64 = 1_000_000;

    /// A few more events, and a moment.
    fn go_on(&mut self) {
        let events: Vec<String> =
            (self.next..self.next + 30).map(|id| format!(r#"{{"id":{id},"n":9}}"#)).collect();
        self.next += 30;
        let partitions = (0..PARTITIONS).cycle();
        self.letters.world.produce(events.iter().zip(partitions).map(|(event, partition)| Message {
            partition,
            key: None,
            payload: Some(event.as_bytes()),
        }));
        thread::sleep(Duration::from_millis(20));
    }

    fn events(&self) -> u64 {
        self.next - Self::FIRST
    }
}

#[test]
fn ten_thousand_letters_become_rows_through_kills_while_the_stream_flows() {
    const KILLS: u32 = 20;
    let counts = Counts { good: 300, wide: 9_900, bad: 100 };
    let letters = Letters::with_letters("dead_flow", counts);
    letters.slow_down();
    let seed = 20_261_121;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut flow = Flow { letters: &letters, next: Flow::FIRST };
    let mut pump = letters.world.run(&letters.wide);
    let (mut replay_kills, mut run_kills, mut ends) = (0, 0, 0);
    let begun = Instant::now();
    while ends == 0 || replay_kills < KILLS {
        // The other one has to wait until nothing of the last entry can land any more.
        let (file, life) = match random.u8(..6) {
            0 => (&letters.other, 6_500),
            _ => (&letters.wide, random.u64(150..900)),
        };
        let mut replay = letters.start_replay(file, "150");
        let mortal = replay_kills < KILLS;
        let until = Instant::now() + Duration::from_millis(life);
        while replay.is_running() && !(mortal && Instant::now() > until) {
            flow.go_on();
        }
        if replay.is_running() {
            replay.kill();
            replay_kills += 1;
        } else {
            assert_eq!(replay.wait(), Some(2), "some letters stay:\n{}", replay.log());
            ends += 1;
        }
        if run_kills < 5 && random.u8(..3) == 0 {
            pump.kill();
            run_kills += 1;
            pump = letters.world.run(&letters.wide);
        }
        if ends > 0 && replay_kills < KILLS {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rows = u64::from(counts.good + counts.wide) + flow.events();
    letters.wait_for_rows(rows);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    letters.assert_exact(rows, 100);
    println!(
        "10,000 dead letters: 9,900 replayed, 100 stay; {} entries, {} of them finished by another configuration, {} letters \
         missed and replayed again; {replay_kills} kills of the replay, {run_kills} of the run, {} events meanwhile, \
         {seconds:.1} s, seed {seed}",
        letters.entries(),
        letters.taken_over(),
        letters.outcomes("missed"),
        flow.events(),
    );
    assert!(replay_kills >= 5, "{replay_kills} kills");
}

#[test]
fn two_replays_at_once_make_each_letter_a_row_once() {
    let letters = Letters::with_letters("dead_two", Counts { good: 30, wide: 3_000, bad: 0 });
    let mut both = [letters.start_replay(&letters.wide, "100"), letters.start_replay(&letters.wide, "100")];
    for replay in &mut both {
        assert_eq!(replay.wait(), Some(0), "{}", replay.log());
    }
    letters.assert_exact(3_030, 0);
    println!("two replays of 3,000 letters: {} entries", letters.entries());
}

#[test]
fn a_row_that_is_there_already_is_found() {
    let letters = Letters::with_letters("dead_found", Counts { good: 30, wide: 300, bad: 6 });
    // Another group reads it all again, with the wide column: what were letters are rows now, and the good ones too.
    let database = &letters.world.database;
    letters.sql(&format!("TRUNCATE TABLE {database}.events"));
    letters.sql(&format!("TRUNCATE TABLE {database}.totals"));
    let again = letters
        .world
        .write("again.yaml", &yaml(&letters.world, WIDE, "").replace("group: ", "group: again_"));
    let mut pump = letters.world.run(&again);
    letters.wait_for_rows(330);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let (code, report, said) = Letters::replay(&letters.wide, &[]);
    assert_eq!(code, Some(2), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["found"], &report["replayed"], &report["entries"]),
        (&300.into(), &0.into(), &0.into())
    );
    assert_eq!(letters.outcomes("found"), 300);
    letters.assert_exact(330, 6);
}

#[test]
fn rows_that_landed_are_told_by_the_table_under_another_configuration() {
    let letters = Letters::with_letters("dead_landed", Counts { good: 30, wide: 300, bad: 0 });
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&letters.wide, &["--safe-age", "4"]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "the rows are there, their entry is not settled: {said}");
    assert_eq!((letters.rows(), letters.outcomes("replayed")), (330, 0));
    let (code, report, said) = Letters::replay(&letters.other, &[]);
    assert_eq!(code, Some(0), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["finished"], &report["replayed"], &report["missed"]),
        (&1.into(), &300.into(), &0.into())
    );
    letters.assert_exact(330, 0);
}

#[test]
fn an_entry_without_its_rows_is_settled_as_missed_and_its_letters_go_again() {
    let letters = Letters::with_letters("dead_missed", Counts { good: 30, wide: 300, bad: 0 });
    let table = format!("{}.events", letters.world.database);
    // Not a constraint: rows that a table refuses are found before they are claimed.
    letters.sql(&format!(
        "ALTER TABLE {table} MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1"
    ));
    let mut replay = letters.start_replay(&letters.wide, "1000");
    wait_until("claimed entry", || (letters.entries() == 1).then_some(()));
    replay.kill();
    letters.sql(&format!("ALTER TABLE {table} RESET SETTING parts_to_delay_insert, parts_to_throw_insert"));
    // Under another shape only the table decides, once nothing of the entry can land any more.
    let (code, report, said) = Letters::replay(&letters.other, &[]);
    assert_eq!(code, Some(2), "what was missed is told: {said}");
    let report = &report["streams"][0];
    assert_eq!((&report["missed"], &report["replayed"]), (&300.into(), &300.into()));
    letters.assert_exact(330, 0);
}

#[test]
fn an_entry_within_its_safe_age_is_sent_again_with_the_same_tokens() {
    let letters = Letters::with_letters("dead_again", Counts { good: 30, wide: 300, bad: 0 });
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&letters.wide, &[]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "{said}");
    let begun = Instant::now();
    let (code, report, said) = Letters::replay(&letters.wide, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(40), "nobody waited for the safe age to end");
    assert_eq!((&report["streams"][0]["finished"], letters.entries()), (&1.into(), 1));
    letters.assert_exact(330, 0);
}

#[test]
fn without_lineage_an_old_entry_stops_for_a_person() {
    let letters = Letters::with_letters("dead_stops", Counts { good: 30, wide: 300, bad: 0 });
    let blind = letters.world.write("blind.yaml", &yaml(&letters.world, WIDE, "    lineage: false\n"));
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&blind, &["--safe-age", "4"]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "{said}");
    thread::sleep(Duration::from_secs(4));
    let (code, _, said) = Letters::replay(&blind, &[]);
    assert_eq!(code, Some(70), "{said}");
    assert!(said.contains("PH-0050"), "{said}");
    assert_eq!(letters.rows(), 330, "nothing was sent on a guess");
}

#[test]
fn a_message_that_holds_several_records_is_taken_apart_once_the_stream_says_so() {
    let letters = Letters::new("dead_parts");
    Letters::ok(&["apply", "-c", &path(&letters.narrow)]);
    let messages = (0..40).map(|m| {
        let (a, b, c) = (3 * m, 3 * m + 1, 3 * m + 2);
        format!(r#"[{{"id":{a},"n":1}},{{"id":{b},"n":70000}},{{"id":{c},"n":2}}]"#)
    });
    let messages: Vec<String> = messages.collect();
    letters.world.produce(messages.iter().zip((0..PARTITIONS).cycle()).map(|(message, partition)| Message {
        partition,
        key: None,
        payload: Some(message.as_bytes()),
    }));
    let mut pump = letters.world.run(&letters.narrow);
    wait_until("letters", || (letters.open() == 40).then_some(()));
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let table = format!("{}.events", letters.world.database);
    letters.sql(&format!("ALTER TABLE {table} ADD COLUMN _index UInt32 AFTER _offset"));
    let array = |name, columns: &str| {
        letters.world.write(name, &yaml(&letters.world, columns, "    values: array\n"))
    };
    let (code, report, said) = Letters::replay(&array("array.yaml", "id: UInt64, n: UInt8"), &[]);
    assert_eq!(code, Some(2), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["replayed"], &report["anew"]),
        (&40.into(), &40.into()),
        "of each message a part is bad"
    );
    let places =
        format!("SELECT count(), uniqExact(id), uniqExact(_partition, _offset, _index) FROM {table}");
    assert_eq!(letters.sql(&places), "80\t80\t80");
    letters.sql(&format!("ALTER TABLE {table} MODIFY COLUMN n UInt32"));
    let (code, report, said) = Letters::replay(&array("wider.yaml", "id: UInt64, n: UInt32"), &[]);
    assert_eq!((code, &report["streams"][0]["replayed"]), (Some(0), &40.into()), "{said}");
    assert_eq!(letters.sql(&places), "120\t120\t120");
    assert_eq!(letters.sql(&format!("SELECT countIf(_index = id % 3) FROM {table}")), "120");
    // Of what is open again, each record's own row is found, not its neighbours'.
    let resolved = "ALTER TABLE pumphouse.dead_letters_resolved DELETE WHERE";
    letters.sql(&format!(
        "{resolved} stream = '{}' AND partition = 0 AND `index` = 1 SETTINGS mutations_sync = 2",
        letters.world.database
    ));
    letters.sql(&format!(
        "ALTER TABLE {table} DELETE WHERE _partition = 0 AND _index = 1 AND id < 61 SETTINGS mutations_sync = 2"
    ));
    for arguments in [&["--dry-run"][..], &[]] {
        let (code, report, said) = Letters::replay(&array("wider.yaml", "id: UInt64, n: UInt32"), arguments);
        let report = &report["streams"][0];
        assert_eq!((code, &report["replayed"], &report["found"]), (Some(0), &7.into(), &7.into()), "{said}");
    }
    assert_eq!(letters.sql(&places), "120\t120\t120");
    // An array inside an array is a bad element, under every revision.
    let nested = r#"[[{"id":900,"n":1},{"id":901,"n":1}],{"id":902,"n":1}]"#;
    letters.world.produce([Message { partition: 0, key: None, payload: Some(nested.as_bytes()) }]);
    let mut pump = letters.world.run(&array("wider.yaml", "id: UInt64, n: UInt32"));
    letters.wait_for_rows(121);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let (code, report, said) = Letters::replay(
        &array("later.yaml", "id: UInt64, n: UInt32, m: { type: UInt8, default: 0 }"),
        &["--dry-run"],
    );
    assert_eq!((code, report), (Some(2), Value::Null), "the table lacks a column: {said}");
    letters.sql(&format!("ALTER TABLE {table} ADD COLUMN m UInt8"));
    let later = array("later.yaml", "id: UInt64, n: UInt32, m: { type: UInt8, default: 0 }");
    let (code, report, said) = Letters::replay(&later, &[]);
    let stays = &report["streams"][0]["remaining"]["PH-0111"]["letters"];
    assert_eq!((code, stays), (Some(2), &1.into()), "{report} {said}");
    assert_eq!(letters.sql(&places), "121\t121\t121");
}

#[test]
fn of_many_inserts_with_one_token_the_first_stays() {
    let letters = Letters::new("dead_tokens");
    let table = format!("{}.log", letters.world.database);
    letters.sql(&format!(
        "CREATE TABLE {table} (number UInt64, who UInt64) ENGINE = MergeTree ORDER BY number \
         SETTINGS non_replicated_deduplication_window = 10000"
    ));
    let (numbers, contenders) = (40, 6);
    thread::scope(|scope| {
        for who in 0..contenders {
            let (letters, table) = (&letters, &table);
            scope.spawn(move || {
                for number in 0..numbers {
                    letters.sql(&format!(
                        "INSERT INTO {table} SETTINGS insert_deduplication_token = 'log/{number}', async_insert = 0 \
                         VALUES ({number}, {who})"
                    ));
                }
            });
        }
    });
    let counts = letters.sql(&format!("SELECT count(), uniqExact(number) FROM {table}"));
    assert_eq!(counts, format!("{numbers}\t{numbers}"));
}

#[test]
fn letters_are_listed_shown_exported_and_purged() {
    let letters = Letters::with_letters("dead_list", Counts { good: 3, wide: 30, bad: 3 });
    let (file, stream) = (path(&letters.wide), letters.world.database.clone());
    let json = |arguments: &[&str]| -> Value {
        let mut all = vec!["dead", "list", "-c", &file, "--json", "--stream", &stream];
        all.extend(arguments);
        told(serde_json::from_str(&Letters::ok(&all)))
    };
    for (arguments, count) in [
        (&[][..], 33),
        (&["--code", "104"], 33),
        (&["--code", "PH-0100"], 0),
        (&["--partition", "1"], 11),
        (&["--partition", "1", "--offset", "5"], 1),
        (&["--offsets", "2..4"], 6),
        (&["--since", "1h"], 33),
        (&["--until", "1h"], 0),
        (&["--table", "nowhere.events"], 0),
        (&["--resolved"], 0),
    ] {
        assert_eq!(json(arguments)["count"], count, "{arguments:?}");
    }
    assert_eq!(json(&["--limit", "5"])["letters"].as_array().map(Vec::len), Some(5));
    let listed = Letters::ok(&[
        "dead",
        "list",
        "-c",
        &file,
        "--stream",
        &stream,
        "--partition",
        "0",
        "--offset",
        "11",
    ]);
    insta::assert_snapshot!(stable(&listed, &stream), @"
    time stream partition offset index code table column reason
    TIME STREAM 0 11 0 PH-0104 STREAM.events n expected UInt8 (a whole number from 0 to 255), found the number 70000

    stream code letters first last what
    STREAM PH-0104 1 TIME TIME out of range

    1 open dead letter
    ");
    let shown = Letters::ok(&["dead", "show", "-c", &file, &stream, "0", "11"]);
    assert!(shown.contains(r#"{"id":33,"n":70000}"#) && shown.contains("What you can do"), "{shown}");
    assert_eq!(Letters::output(&["dead", "show", "-c", &file, &stream, "0", "999"]).status.code(), Some(1));
    let raw =
        Letters::ok(&["dead", "export", "-c", &file, "--stream", &stream, "--format", "raw", "--to", "-"]);
    assert_eq!((raw.lines().count(), raw.lines().next()), (33, Some(r#"{"id":3,"n":1000}"#)));
    let lines =
        Letters::ok(&["dead", "export", "-c", &file, "--stream", &stream, "--offset", "1", "--to", "-"]);
    let first: Value = told(serde_json::from_str(lines.lines().next().unwrap_or_default()));
    assert_eq!((&first["payload"], &first["key"]), (&r#"{"id":3,"n":1000}"#.into(), &"key".into()));
    let (code, report, _) = Letters::replay(&letters.wide, &["--dry-run", "--stream", &stream]);
    assert_eq!((code, &report["streams"][0]["replayed"]), (Some(2), &30.into()));
    assert_eq!((letters.rows(), letters.entries()), (3, 0), "a dry run changes nothing");
    assert_eq!(Letters::replay(&letters.wide, &["--stream", &stream]).0, Some(2));
    letters.assert_exact(33, 3);
    assert_eq!(json(&["--resolved"])["count"], 30);
    assert_eq!(json(&["--all"])["count"], 33);
    let purge = ["dead", "purge", "-c", &file, "--stream", &stream, "--json"];
    assert_eq!(Letters::output(&purge).status.code(), Some(1), "nobody can be asked");
    let purged: Value = told(serde_json::from_str(&Letters::ok(&[&purge[..], &["--yes"]].concat())));
    assert_eq!(purged["purged"], serde_json::json!({ "resolved": 30, "open": 0 }));
    let purged: Value =
        told(serde_json::from_str(&Letters::ok(&[&purge[..], &["--yes", "--open"]].concat())));
    assert_eq!(purged["purged"], serde_json::json!({ "resolved": 0, "open": 3 }));
    assert_eq!((letters.open(), letters.outcomes("purged")), (0, 3), "what is given up is noted");
}

/// What was said, without what differs from run to run.
fn stable(text: &str, stream: &str) -> String {
    let year = format!("{}-", jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    let mut told = String::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| match word {
            word if word.starts_with(&year) => "TIME".to_owned(),
            word => word.replace(stream, "STREAM"),
        });
        told += words.collect::<Vec<_>>().join(" ").trim_end();
        told.push('\n');
    }
    told
}
