//! That work which panics still answers.

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
