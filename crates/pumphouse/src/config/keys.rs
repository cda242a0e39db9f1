//! What a key of the file is: its name, the type that carries its limits, its default, what it is for. The keys
//! themselves are in `declared`. Reading, reference page, JSON Schema and suggestions all come from here.

/// One key of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name in the map it stands in.
    pub name: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// What holds when it is not written.
    pub fallback: Fallback,
    /// What it does: one or two sentences.
    pub doc: &'static str,
    /// What one could write.
    pub example: &'static str,
    /// The version that brought it.
    pub since: &'static str,
}

/// What holds for a key that is not written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// It has to be written.
    Required,
    /// The text as if it had been written.
    Is(&'static str),
    /// No value; the text says what that means.
    Absent(&'static str),
}

/// What may be written for a key. Times are in milliseconds here, sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A map with the keys declared.
    Section(&'static [Key]),
    /// Such a map, or `false`.
    SectionOrOff(&'static [Key]),
    /// A map of names the user chooses to sections.
    Named(&'static str, &'static [Key]),
    /// A map of column names to a type or a section.
    Columns(&'static [Key]),
    /// A map of names the user chooses to single values.
    Pairs(&'static str),
    /// A map of names the user chooses to maps of whole numbers to whole numbers.
    Curves(&'static str),
    /// A text that is not empty.
    Text,
    /// One text or a list of them.
    Texts,
    /// A text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(Choice),
    /// A whole number.
    Number(u64, u64),
    /// A whole number, or `null` for none.
    NumberOrNull(u64, u64),
    /// A number with `ms`, `s`, `m`, `h` or `d`.
    Duration(u64, u64),
    /// A number of bytes, or one with a unit.
    Size(u64, u64),
    /// One address of a server over HTTP, or a list of them.
    Urls,
    /// `host:port` to listen on.
    Address,
    /// `earliest`, `latest` or a time.
    StartFrom,
    /// A ClickHouse type.
    ColumnType,
    /// Any value, as JSON would hold it.
    Json,
    /// A text, or `null` for none.
    TextOrNull,
    /// This word, or a map with the keys declared.
    WordOr(&'static str, &'static [Key]),
    /// `otherwise`, or a map of paths into the record to what is asked of the field.
    When,
}

/// The words of a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// What this version can do.
    pub now: &'static [&'static str],
    /// Other spellings, with the word they mean.
    pub also: &'static [(&'static str, &'static str)],
    /// Accepted by name, and refused as not there yet.
    pub later: &'static [&'static str],
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, fallback: Fallback) -> Self {
        Self { name, kind, fallback, doc: "", example: "", since: "0.1" }
    }

    pub(super) const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// The same key where its absence means something else.
    pub(super) const fn without(self, meaning: &'static str) -> Self {
        Self { fallback: Fallback::Absent(meaning), ..self }
    }

    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// The keys of the map that this key holds.
    pub(super) fn inner(&self) -> Option<&'static [Key]> {
        match self.kind {
            Kind::Section(keys)
            | Kind::SectionOrOff(keys)
            | Kind::Named(_, keys)
            | Kind::Columns(keys)
            | Kind::WordOr(_, keys) => Some(keys),
            _ => None,
        }
    }

    /// The key's part of a path, with a placeholder for what the user names: `streams.<stream>`.
    pub(super) fn path_part(&self) -> String {
        match self.kind {
            Kind::Named(each, _) => format!("{}.<{each}>", self.name),
            Kind::Columns(_) => format!("{}.<column>", self.name),
            _ => self.name.to_owned(),
        }
    }
}

impl Kind {
    /// What belongs here, for a sentence that begins with "expected".
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Section(_) | Self::SectionOrOff(_) => "a map of keys".to_owned(),
            Self::Named(each, _) => format!("a map with a name for each {each}"),
            Self::Columns(_) => "a map of column names to types".to_owned(),
            Self::Pairs(each) | Self::Curves(each) => format!("a map of {each}"),
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Texts => "a text or a list of texts".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Choice(choice) => one_of(choice.now),
            Self::Number(..) => "a whole number".to_owned(),
            Self::NumberOrNull(..) => "a whole number, or `null`".to_owned(),
            Self::Duration(..) => "a duration such as `5s`".to_owned(),
            Self::Size(..) => "a size such as `256MiB`".to_owned(),
            Self::Urls => "an address such as `http://localhost:8123`, or a list of them".to_owned(),
            Self::Address => "an address such as `127.0.0.1:9464`".to_owned(),
            Self::StartFrom => "`earliest`, `latest` or a time such as `2026-11-01T00:00:00Z`".to_owned(),
            Self::ColumnType => "a ClickHouse type such as `LowCardinality(String)`".to_owned(),
            Self::Json => "a value".to_owned(),
            Self::TextOrNull => "a text, or `null`".to_owned(),
            Self::WordOr(word, keys) => {
                let key = keys.first().map_or("", |key| key.name);
                format!("`{word}`, or `{{ {key}: … }}`")
            }
            Self::When => "`otherwise`, or a map of paths into the record to values".to_owned(),
        }
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The name most like `name`, if one is near enough to have been meant.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    names
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Every key of the file with its path, depth first, in the order declared.
pub(super) fn all(keys: &'static [Key]) -> Vec<(String, &'static Key)> {
    let mut found = Vec::new();
    collect("", keys, &mut found);
    found
}

fn collect(above: &str, keys: &'static [Key], found: &mut Vec<(String, &'static Key)>) {
    for key in keys {
        let path = if above.is_empty() { key.path_part() } else { format!("{above}.{}", key.path_part()) };
        found.push((path.clone(), key));
        if let Some(inner) = key.inner() {
            collect(&path, inner, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::declared::FILE;

    #[test]
    fn every_key_is_described_and_no_two_share_a_name() {
        for (path, key) in all(FILE) {
            assert!(!key.doc.is_empty() && key.doc.ends_with('.'), "{path} has no sentence");
            assert!(!key.example.is_empty() || key.inner().is_some(), "{path} has no example");
            let names: std::collections::BTreeSet<_> =
                key.inner().unwrap_or_default().iter().map(|key| key.name).collect();
            assert_eq!(names.len(), key.inner().map_or(0, <[Key]>::len), "{path}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("colums", ["columns", "table"]), Some("columns"));
        assert_eq!(nearest("Bactch", ["batch", "table"]), Some("batch"));
        assert_eq!(nearest("retention", ["columns", "table"]), None);
    }
}
