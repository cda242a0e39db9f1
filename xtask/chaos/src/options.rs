//! What the command line says.

use std::time::Duration;

use crate::schedule::{Fault, Game, kinds};

pub(crate) const HELP: &str = "\
cargo xtask chaos [--minutes M] [--seed S] [--rate N] [--only KIND[,KIND]] [--pace P] [--json] [--keep]

  --minutes M  how long faults go on, default 3
  --seed S     what they are and when, default drawn and told
  --rate N     events a second, default 1500
  --only KIND  these kinds of faults alone, as the table at the end names them
  --pace P     pauses between faults P times as short, default 1
  --json       figures for machines
  --keep       keep the logs also when all is well

Exit code 0 only if every event is a row or a dead letter, once, and nothing else happened that must not.
";

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) minutes: f64,
    pub(crate) seed: u64,
    pub(crate) rate: u64,
    /// Kinds of faults; none for all.
    pub(crate) only: Vec<Fault>,
    pub(crate) pace: f64,
    pub(crate) json: bool,
    pub(crate) keep: bool,
}

impl Options {
    /// Reads the words behind `chaos`.
    pub(crate) fn read(words: &[String]) -> Result<Self, String> {
        let seed = fastrand::u64(0..1_000_000);
        let mut options =
            Self { minutes: 3.0, seed, rate: 1500, only: Vec::new(), pace: 1.0, json: false, keep: false };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--json" => options.json = true,
                "--keep" => options.keep = true,
                "--minutes" => options.minutes = number(word, words.next())?,
                "--seed" => options.seed = number(word, words.next())?,
                "--only" => options.only = faults(words.next())?,
                "--pace" => options.pace = number(word, words.next())?,
                "--rate" => options.rate = number(word, words.next())?,
                _ => return Err(format!("`{word}` is not known")),
            }
        }
        if !(options.minutes > 0.0 && options.minutes <= 100_000.0) || options.rate == 0 {
            return Err("--minutes and --rate are above zero".to_owned());
        }
        if !(0.01..=100.0).contains(&options.pace) {
            return Err("--pace is from 0.01 to 100".to_owned());
        }
        Ok(options)
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    pub(crate) fn game(&self) -> Game {
        Game { seed: self.seed, only: self.only.clone(), pace: self.pace }
    }

    /// What gives the same faults again.
    pub(crate) fn command(&self) -> String {
        let Self { minutes, seed, rate, only, pace, .. } = self;
        let mut command =
            format!("cargo xtask chaos --minutes {minutes} --seed {seed} --rate {rate} --pace {pace}");
        if !only.is_empty() {
            let names: Vec<String> = only.iter().map(|fault| format!("{fault:?}")).collect();
            command.push_str(" --only ");
            command.push_str(&names.join(","));
        }
        command
    }
}

/// Kinds of faults by their names, between commas.
fn faults(said: Option<&str>) -> Result<Vec<Fault>, String> {
    let known = |name: &str| kinds().into_iter().find(|kind| format!("{kind:?}") == name);
    let said = said.ok_or("--only takes kinds of faults")?;
    said.split(',').map(|name| known(name).ok_or_else(|| format!("`{name}` is no kind of fault"))).collect()
}

fn number<T: std::str::FromStr>(word: &str, said: Option<&str>) -> Result<T, String> {
    said.and_then(|said| said.parse().ok()).ok_or_else(|| format!("{word} takes a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let read = |text: &str| Options::read(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let options = read("--minutes 2.5 --seed 7 --keep").expect("all of it is known");
        assert_eq!((options.minutes, options.seed, options.rate, options.keep), (2.5, 7, 1500, true));
        let some = read("--only BrokerKill,Kill --pace 3 --seed 1");
        let some = some.expect("all of it is known");
        assert_eq!(some.only, [Fault::BrokerKill, Fault::Kill]);
        assert!(some.command().ends_with("--pace 3 --only BrokerKill,Kill"), "{}", some.command());
        for wrong in
            ["--only Kil", "--only", "--pace 0", "--minutes", "--minutes 0", "--seed -1", "--rate x", "7"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
