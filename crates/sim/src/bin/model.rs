//! `cargo xtask model` ends here: explores the named small worlds to the last state and prints what that gave.
//!
//! Exit code 0 where every promise holds and every broken world is found out, 2 where not, 64 for words nobody knows.

use std::process::ExitCode;

use pumphouse_sim::model::report;
use pumphouse_sim::model::world::{self, World};

const HELP: &str = "\
usage: pumphouse-model [--world NAME]... [--small] [--json] [--list]

  --world NAME  only this world; may be given several times
  --small       only the worlds that every run of the tests explores
  --json        one JSON object a line
  --list        the worlds' names, and nothing is explored
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = match Asked::read(&words) {
        Ok(asked) => asked,
        Err(mistake) => {
            eprint!("{mistake}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    if asked.list {
        for world in &asked.worlds {
            println!("{:20} {}{}", world.name, world.about, if world.large { " (large)" } else { "" });
        }
        return ExitCode::SUCCESS;
    }
    // A failed assertion of a pump is a broken promise with a trace, and needs no backtrace besides.
    std::panic::set_hook(Box::new(|_| {}));
    let mut right = true;
    for world in asked.worlds {
        let report = report::explore(*world, report::threads());
        right &= report.is_right();
        print!("{}", if asked.json { report.json() } else { report.to_string() });
    }
    if right { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

struct Asked {
    worlds: Vec<&'static World>,
    json: bool,
    list: bool,
}

impl Asked {
    fn read(words: &[String]) -> Result<Self, String> {
        let mut asked = Self { worlds: Vec::new(), json: false, list: false };
        let mut small = false;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => asked.json = true,
                "--list" => asked.list = true,
                "--small" => small = true,
                "--world" => {
                    let name = words.next().ok_or("--world needs a name")?;
                    asked.worlds.push(world::named(name).ok_or_else(|| format!("no world is named {name}"))?);
                }
                other => return Err(format!("unknown word: {other}")),
            }
        }
        if asked.worlds.is_empty() {
            asked.worlds = world::WORLDS.iter().chain(world::BROKEN_WORLDS).collect();
        }
        asked.worlds.retain(|world| !(small && world.large));
        Ok(asked)
    }
}
