//! The folder a server lives in, and finding a program on the PATH. Does not know which server it is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Error;

/// A server's folder: given and kept, or temporary and removed with the server.
#[derive(Debug)]
pub(super) enum Home {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Home {
    /// `given`, made if it is not there, else a temporary folder.
    pub(super) fn open(given: Option<PathBuf>, prefix: &str) -> Result<Self, Error> {
        if let Some(folder) = given {
            fs::create_dir_all(&folder).map_err(Error::os("create the folder", &folder))?;
            let folder = folder.canonicalize().map_err(Error::os("find", &folder))?;
            return Ok(Self::Given(folder));
        }
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        folder.map(Self::Temporary).map_err(Error::os("create a folder in", &env::temp_dir()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// The folder that a guard removes if we can't.
    pub(super) fn scratch(&self) -> Option<PathBuf> {
        match self {
            Self::Given(_) => None,
            Self::Temporary(folder) => Some(folder.path().to_owned()),
        }
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        fs::write(&path, text).map_err(Error::os("write", &path))?;
        Ok(path)
    }
}

/// The first executable file `name` on the PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs =
        |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(runs)
}
