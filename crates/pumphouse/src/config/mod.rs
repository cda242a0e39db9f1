//! The configuration: what was said (`said`) becomes what it means (`settings`). Every mistake of a file is told
//! at once. Reads the file and the variables it names, and nothing else: no server, no topic.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

mod column;
mod column_default;
mod condition;
mod declared;
mod declared_stream;
mod expand;
mod insert_settings;
mod json_schema;
mod kafka_properties;
mod keys;
mod meaning;
mod mistake;
mod rate_settings;
mod reference;
mod revision;
mod rollup;
mod said;
mod scalar;
mod schema_file;
mod schema_fit;
mod schema_type;
mod schema_ways;
pub mod settings;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod walk;

pub use expand::Env;
pub use json_schema::json_schema;
pub use mistake::{MISTAKE, Mistake, Mistakes, PROPERTY_REFUSED, UNREADABLE};
pub use rate_settings::ALLOWED as RATE_SETTINGS;
pub use reference::reference_page;
pub use revision::shape_hash;
pub use schema_file::Files;
pub(crate) use schema_file::validator;
pub use schema_fit::{Finding, Severity, schema_findings};
pub use settings::Settings;

use walk::Walk;

/// What is said of a file that has no meaning and no mistake: a fault of this program, that no test may find.
const NOT_TOLD: &str = "something is wrong that pumphouse can't name";

/// The most a file may hold.
const FILE_MAX: u64 = 4 << 20;

/// Reads a configuration file. `env` looks the variables of `${VAR}` up.
///
/// # Errors
/// All mistakes of the file, or the one reason why it can't be read.
pub fn load(path: &Path, env: Env<'_>) -> Result<Settings, Mistakes> {
    let file_name = path.display().to_string();
    let text = read_file(path).map_err(|what| {
        let suggestion = "give the path of a YAML file in UTF-8 with `--config FILE`";
        Mistakes::one(UNREADABLE, &file_name, what, suggestion)
    })?;
    let beside = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    parse_with_files(&file_name, &text, env, &|name| read_file(&beside.join(name)))
}

/// Reads a configuration from its text. `file_name` is only for mistakes; a file that the text names is not there.
///
/// # Errors
/// All mistakes of the text.
pub fn parse(file_name: &str, text: &str, env: Env<'_>) -> Result<Settings, Mistakes> {
    parse_with_files(file_name, text, env, &|_| Err("there are no files here".to_owned()))
}

/// Reads a configuration from its text, and the files it names by `files`.
///
/// # Errors
/// All mistakes of the text, and of these files.
pub fn parse_with_files(
    file_name: &str,
    text: &str,
    env: Env<'_>,
    files: Files<'_>,
) -> Result<Settings, Mistakes> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let walk = Walk::new(file_name, text);
    let settings = match said::read(text) {
        Ok(mut root) => {
            expand::expand_all(&mut root, "", &walk, env);
            meaning::settings(&root, &walk, files)
        }
        Err(error) => {
            // No line is shown: a broken line may hold a secret anywhere.
            walk.mistake_unseen(MISTAKE, error.place, "", scalar::Wrong::new(error.what, ""));
            None
        }
    };
    match (settings, Mistakes::in_order(file_name, walk.into_mistakes())) {
        (_, Some(mistakes)) => Err(mistakes),
        (Some(settings), None) => Ok(settings),
        (None, None) => {
            Err(Mistakes::one(MISTAKE, file_name, NOT_TOLD.to_owned(), "please report this file"))
        }
    }
}

/// The text of a file, or why there is none.
fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_MAX {
        return Err("it is larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
