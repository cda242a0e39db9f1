//! The seeds of the fuzz targets and what they have found, through the same functions that the targets call.
//! The bodies stand in the folder `fuzz`, which a compiler of another kind builds: a file shared by its path needs
//! neither a crate of its own nor `jiter` in the binary that is shipped.

#[path = "../../../fuzz/bodies/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/bodies/decode_json.rs"]
mod decode_json;

use std::path::Path;

/// Judges every seed of a target; tells which one it was before the panic goes on.
fn replay(target: &str, at_least: usize, judge: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(folder).expect("the seeds are part of the sources");
    let paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    assert!(paths.len() >= at_least, "{} seeds of {target}", paths.len());
    for path in paths {
        let seed = std::fs::read(&path).expect("a seed can be read");
        if let Err(panic) = std::panic::catch_unwind(|| judge(&seed)) {
            eprintln!("seed {}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_seed_of_the_decoder_is_judged_rightly() {
    replay("decode_json", 40, decode_json::judge);
}

#[test]
fn every_seed_of_the_configuration_is_judged_rightly() {
    replay("configuration", 10, configuration::judge);
}
