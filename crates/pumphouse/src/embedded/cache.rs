//! The per-user cache of fetched programs: an entry is complete or absent, and several processes fill it once.
//! Does not know what an entry holds.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;

/// The cached folder `name`, filled first by `fill` when it is not there.
///
/// `fill` writes into a temporary folder that is renamed at its end, under a lock that other processes wait for.
pub(super) fn entry(name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    entry_below(&folder()?, name, fill)
}

/// Whether the entry `name` is already complete.
pub(super) fn holds(name: &str) -> bool {
    folder().is_ok_and(|folder| folder.join(name).is_dir())
}

fn entry_below(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let wanted = folder.join(name);
    if wanted.is_dir() {
        return Ok(wanted);
    }
    fs::create_dir_all(folder).map_err(Error::os("create the cache folder", folder))?;
    let lock_path = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::os("create the lock file", &lock_path))?;
    lock.lock().map_err(Error::os("lock", &lock_path))?;
    // Another process may have filled it while we waited.
    if !wanted.is_dir() {
        let prefix = format!(".unfinished-{name}-");
        remove_left_behind(folder, &prefix);
        let unfinished = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(folder)
            .map_err(Error::os("create a folder in", folder))?;
        fill(unfinished.path())?;
        fs::rename(unfinished.path(), &wanted).map_err(Error::os("move the fetched files to", &wanted))?;
    }
    Ok(wanted)
}

/// What a process that was killed while it filled this entry could not remove. The lock says that none fills it now.
fn remove_left_behind(folder: &Path, prefix: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// `$XDG_CACHE_HOME/pumphouse`, else `~/.cache/pumphouse`.
fn folder() -> Result<PathBuf, Error> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    let none = || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    let base = base.ok_or_else(none).map_err(Error::os("find", Path::new("the cache folder")))?;
    Ok(base.join("pumphouse"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn an_entry_is_filled_once_however_many_ask_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fills = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let filled = entry_below(folder.path(), "tool-1", |into| {
                        fills.fetch_add(1, Ordering::Relaxed);
                        fs::write(into.join("file"), "complete").map_err(Error::os("write", into))
                    });
                    let text = fs::read_to_string(filled.expect("filled").join("file")).expect("the file");
                    assert_eq!(text, "complete");
                });
            }
        });
        assert_eq!(fills.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_a_killed_process_left_behind_is_removed_by_the_next_fill() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let left = folder.path().join(".unfinished-tool-1-abc");
        fs::create_dir(&left).expect("a folder");
        entry_below(folder.path(), "tool-1", |_| Ok(())).expect("filled");
        assert!(!left.exists());
    }

    #[test]
    fn a_failed_fill_leaves_no_entry_and_the_next_one_succeeds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let failed = entry_below(folder.path(), "tool-1", |into| {
            fs::write(into.join("half"), "half").map_err(Error::os("write", into))?;
            Err(Error::FetchFailed { what: "tool".into(), detail: "cut off".into() })
        });
        assert!(failed.is_err());
        let filled = entry_below(folder.path(), "tool-1", |_| Ok(())).expect("filled");
        assert_eq!(fs::read_dir(filled).expect("a folder").count(), 0);
    }
}
