//! Which files belong to the project and what they say.
//! Knows no rule; where git is missing it walks the folders instead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The project's text files by path from the top, `/` between the parts.
pub(crate) struct Tree {
    top: PathBuf,
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the tree this chore was built from; files that are not UTF-8 count as empty.
    pub(crate) fn read() -> Result<Self> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in a folder")?;
        let paths = match listed_by_git(top) {
            Some(paths) => paths,
            None => walk(top)?,
        };
        let files = paths.into_iter().filter(|path| top.join(path).is_file());
        let files = files.map(|path| {
            let text = std::fs::read_to_string(top.join(&path)).unwrap_or_default();
            (path, text)
        });
        Ok(Self { top: top.to_owned(), files: files.collect() })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { top: PathBuf::from("/nowhere"), files: files.collect() }
    }

    /// Path and text of every file whose name ends so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all().filter(move |(path, _)| path.ends_with(end))
    }

    /// Path and text of every file.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether a file or a folder of the project has this path.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
            || self.top.join(path).exists()
    }
}

/// Tracked files and the new ones that are not ignored.
fn listed_by_git(top: &Path) -> Option<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top)
        .output()
        .ok()?;
    let text = String::from_utf8(listing.stdout).ok()?;
    let paths: Vec<String> = text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    (listing.status.success() && !paths.is_empty()).then_some(paths)
}

fn walk(top: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for path in entries.map(|entry| entry.map(|entry| entry.path())) {
            let path = path?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.is_dir() {
                true if matches!(name.as_str(), "target" | "node_modules" | ".git") => {}
                true => folders.push(path),
                false => found.extend(path.strip_prefix(top).map(|path| path.display().to_string()).ok()),
            }
        }
    }
    Ok(found)
}
