//! Any text as a configuration: it is understood, or each mistake in it is told with a line. Used by the fuzz
//! target and by the test that replays its seeds.

use pumphouse::config;

/// Judges one input.
///
/// # Panics
/// Where the reader of the configuration breaks a promise.
pub(crate) fn judge(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let variable = |name: &str| (name != "NONE").then(|| "1".to_owned());
    let Err(mistakes) = config::parse("pumphouse.yaml", &text, &variable) else { return };
    let told = mistakes.to_string();
    assert!(!told.contains("can't name"), "a mistake without a name: {told}");
    assert!(!mistakes.mistakes.is_empty(), "refused without a mistake");
    // A carriage return alone ends a line of YAML, too.
    let lines = text.split(['\n', '\r']).count();
    for mistake in &mistakes.mistakes {
        assert!(mistake.line > 0 && mistake.column > 0, "a mistake without a line: {mistake}");
        assert!(mistake.line <= lines + 1, "a line that is not there: {mistake}");
        assert!(!mistake.what.is_empty(), "a mistake without words: {mistake}");
    }
}
