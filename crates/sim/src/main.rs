//! `cargo xtask sim` ends here.

fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let one: Option<u64> = std::env::args().nth(2).and_then(|n| n.parse().ok());
    if let Some(seed) = one {
        let history = pumphouse_sim::world::history(seed, true);
        println!("{}{:?}", history.trace, history.failure);
        return;
    }
    let start = std::time::Instant::now();
    let (mut events, mut failures) = (0, 0);
    let mut halts = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..n {
        let history = pumphouse_sim::world::history(seed, false);
        events += history.events;
        for (name, count) in history.halts {
            *halts.entry(name).or_default() += count;
        }
        if let Some(failure) = history.failure {
            failures += 1;
            if failures < 20 {
                println!("{seed}: {failure}");
            }
        }
    }
    println!("{n} histories, {events} events, {halts:?} halts, {failures} failures, {:?}", start.elapsed());
}
