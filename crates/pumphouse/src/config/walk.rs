//! The walk through what was said: collects mistakes and reads sections by their declared keys, so that no key
//! is read that is not declared and none is passed over. Knows kinds of values, not what they mean together.

use std::cell::RefCell;
use std::time::Duration;

use super::keys::{self, Fallback, Key, Kind};
use super::mistake::{self, Mistake};
use super::said::{Entry, Node, Place, Said, Scalar};
use super::scalar::{self, Wrong};

/// The file that is read, and what was found wrong in it so far.
pub(super) struct Walk<'a> {
    file: &'a str,
    source: Vec<&'a str>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a str, source: &'a str) -> Self {
        Self { file, source: source.lines().collect(), mistakes: RefCell::default() }
    }

    /// Tells a mistake and shows its place. Not for places where a secret or an expanded value stands.
    pub(super) fn mistake(
        &self,
        place: Place,
        key: &str,
        what: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        let excerpt = mistake::excerpt(&self.source, place);
        self.push(mistake::MISTAKE, place, key, Wrong::new(what, suggestion), excerpt);
    }

    /// Tells a mistake by its place alone.
    pub(super) fn mistake_unseen(&self, code: &'static str, place: Place, key: &str, wrong: Wrong) {
        self.push(code, place, key, wrong, None);
    }

    /// Tells what is wrong with a value: shown, unless it came from a variable, or is an address
    /// that may hold a password.
    pub(super) fn wrong_value(&self, place: Place, key: &str, text: &Scalar, wrong: Wrong) {
        let may_hold_secret = text.text.contains(['@', '?']);
        if text.expanded || may_hold_secret {
            let what = format!("the value {}", wrong.what);
            self.mistake_unseen(mistake::MISTAKE, place, key, Wrong { what, ..wrong });
        } else {
            let what = format!("`{}` {}", shortened(&text.text), wrong.what);
            let excerpt = mistake::excerpt(&self.source, place);
            self.push(mistake::MISTAKE, place, key, Wrong { what, ..wrong }, excerpt);
        }
    }

    fn push(&self, code: &'static str, place: Place, key: &str, wrong: Wrong, excerpt: Option<[String; 2]>) {
        self.mistakes.borrow_mut().push(Mistake {
            code,
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            what: wrong.what,
            suggestion: Some(wrong.suggestion).filter(|suggestion| !suggestion.is_empty()),
            excerpt,
        });
    }

    /// The path of a key below another. What a user names is shortened, as it may be anything.
    pub(super) fn join(path: &str, name: &str) -> String {
        let name = shortened(name);
        if path.is_empty() { name } else { format!("{path}.{name}") }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

/// A text that fits a line.
fn shortened(text: &str) -> String {
    let line: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() && text.chars().count() > 60 { line + "…" } else { line }
}

/// A mistake was told; there is no value.
pub(super) struct Told;

/// A map of the file together with the keys declared for it.
pub(super) struct Section<'a> {
    pub walk: &'a Walk<'a>,
    /// Dotted path of the map.
    pub path: String,
    /// Where the key of the map stands.
    pub place: Place,
    keys: &'static [Key],
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// Opens a map and tells its unknown keys. An empty value is an empty map.
    pub(super) fn open(
        walk: &'a Walk<'a>,
        path: String,
        place: Place,
        node: Option<&'a Node>,
        keys: &'static [Key],
    ) -> Option<Self> {
        let entries: &[Entry] = match node.map(|node| &node.said) {
            None | Some(Said::Nothing) => &[],
            Some(Said::Map(entries)) => entries,
            Some(Said::Broken) => return None,
            Some(other) => {
                let first = keys.first().map_or("", |key| key.name);
                let what = format!("expected a map of keys, found {}", other.noun());
                walk.mistake(place, &path, what, format!("write `{first}: …` on a line of its own below it"));
                return None;
            }
        };
        let section = Self { walk, path, place, keys, entries };
        section.tell_unknown_keys();
        Some(section)
    }

    fn tell_unknown_keys(&self) {
        for entry in self.entries.iter().filter(|entry| self.keys.iter().all(|key| key.name != entry.name)) {
            let names = self.keys.iter().map(|key| key.name);
            let suggestion = match keys::nearest(&entry.name, names.clone()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => elsewhere(&entry.name)
                    .unwrap_or_else(|| format!("the keys here are {}", names.collect::<Vec<_>>().join(", "))),
            };
            self.walk.mistake(entry.place, &self.key_path(&entry.name), "unknown key", suggestion);
        }
    }

    pub(super) fn key_path(&self, name: &str) -> String {
        Walk::join(&self.path, name)
    }

    /// Whether an unknown key was told to be this one.
    pub(super) fn is_mistyped(&self, name: &str) -> bool {
        let names = || self.keys.iter().map(|key| key.name);
        let unknown = self.entries.iter().filter(|entry| names().all(|name| name != entry.name));
        unknown.into_iter().any(|entry| keys::nearest(&entry.name, names()) == Some(name))
    }

    fn declared(&self, name: &str) -> &'static Key {
        self.keys.iter().find(|key| key.name == name).expect("only declared keys are read")
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Whether the key was written.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Where the key stands; the section's own place where it was not written.
    pub(super) fn place_of(&self, name: &str) -> Place {
        self.entry(name).map_or(self.place, |entry| entry.place)
    }

    /// What was written for a key, if anything. Tells if it is required and missing.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        if matches!(self.declared(name).fallback, Fallback::Required) {
            self.require(name);
        }
        self.entry(name).map(|entry| &entry.node)
    }

    /// Tells that a key is missing, unless an unknown one was told to be this one.
    pub(super) fn require(&self, name: &str) {
        let key = self.declared(name);
        if self.entry(name).is_none() && !self.is_mistyped(name) {
            let example = if key.example.is_empty() { "…" } else { key.example };
            let suggestion = format!("add `{name}: {example}`");
            self.walk.mistake(self.place, &self.key_path(name), "missing", suggestion);
        }
    }

    /// The section below a key.
    pub(super) fn section(&self, name: &str) -> Option<Section<'a>> {
        let keys = self.declared(name).inner().expect("the key holds a section");
        let node = self.node(name);
        if node.is_none() && matches!(self.declared(name).fallback, Fallback::Required) {
            return None;
        }
        Section::open(self.walk, self.key_path(name), self.place_of(name), node, keys)
    }

    /// The entries of a map of names the user chooses.
    pub(super) fn entries(&self, name: &str) -> Option<&'a [Entry]> {
        match self.node(name).map(|node| &node.said) {
            None | Some(Said::Nothing) => Some(&[]),
            Some(Said::Map(entries)) => Some(entries),
            Some(Said::Broken) => None,
            Some(other) => {
                self.tell_shape(name, other);
                None
            }
        }
    }

    fn tell_shape(&self, name: &str, found: &Said) {
        let key = self.declared(name);
        let what = format!("expected {}, found {}", key.kind.expected(), found.noun());
        let suggestion = if key.example.is_empty() {
            String::new()
        } else {
            format!("for example `{name}: {}`", key.example)
        };
        self.walk.mistake(self.place_of(name), &self.key_path(name), what, suggestion);
    }

    /// Reads a single value by the kind its key declares, or its default.
    pub(super) fn value<T>(&self, name: &str, parse: impl Fn(&str, &Kind) -> Result<T, Wrong>) -> Option<T> {
        let key = self.declared(name);
        match self.node(name).map(|node| (node, &node.said)) {
            None => match key.fallback {
                Fallback::Is(text) => Some(parse(text, &key.kind).unwrap_or_else(|wrong| {
                    unreachable!("the default of `{name}` is valid, yet {}", wrong.what)
                })),
                Fallback::Required | Fallback::Absent(_) => None,
            },
            Some((node, Said::Text(text))) => match parse(&text.text, &key.kind) {
                Ok(value) => Some(value),
                Err(wrong) => {
                    self.walk.wrong_value(node.place, &self.key_path(name), text, wrong);
                    None
                }
            },
            Some((_, Said::Broken)) => None,
            Some((_, Said::Nothing)) => {
                let what = format!("empty; expected {}", key.kind.expected());
                self.walk.mistake(
                    self.place_of(name),
                    &self.key_path(name),
                    what,
                    "write a value or remove the key",
                );
                None
            }
            Some((_, other)) => {
                self.tell_shape(name, other);
                None
            }
        }
    }

    /// Tells what is wrong with the single value that was read for a key.
    pub(super) fn wrong(&self, name: &str, what: &str, suggestion: impl Into<String>) {
        let path = self.key_path(name);
        match self.node(name).map(|node| (node.place, &node.said)) {
            Some((place, Said::Text(text))) => {
                self.walk.wrong_value(place, &path, text, Wrong::new(what, suggestion));
            }
            _ => self.walk.mistake(self.place_of(name), &path, what, suggestion),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name, scalar::text)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.value(name, scalar::flag)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name, scalar::number)
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        self.value(name, scalar::duration)
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.value(name, scalar::size)
    }

    /// One of the words declared, in their spelling. Words of a later version are refused as such.
    pub(super) fn choice(&self, name: &str) -> Option<&'static str> {
        if let (Kind::Choice(choice), Some(Said::Map(entries))) =
            (&self.declared(name).kind, self.node(name).map(|node| &node.said))
            && let [only] = entries.as_slice()
            && choice.later.contains(&only.name.as_str())
        {
            let wrong = scalar::not_available(choice);
            let what = format!("`{}` {}", only.name, wrong.what);
            self.walk.mistake(only.place, &self.key_path(name), what, wrong.suggestion);
            return None;
        }
        self.value(name, scalar::choice)
    }

    /// One text or a list of them, each with the place it stands at.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<(&'a Scalar, Place)>> {
        let node = self.node(name)?;
        let nodes = match &node.said {
            Said::List(nodes) if !nodes.is_empty() => nodes.as_slice(),
            Said::Text(_) => std::slice::from_ref(node),
            Said::Broken => return None,
            _ => {
                self.walk.mistake(
                    self.place_of(name),
                    &self.key_path(name),
                    "empty",
                    "write at least one value",
                );
                return None;
            }
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.said {
                Said::Text(text) if !text.text.trim().is_empty() => texts.push((text, node.place)),
                Said::Broken => return None,
                other => {
                    let what = format!("expected a text, found {}", other.noun());
                    self.walk.mistake(node.place, &self.key_path(name), what, "");
                    return None;
                }
            }
        }
        Some(texts)
    }
}

/// Where a key of this name belongs, when it is not here. What one table has, the form with several has as well.
fn elsewhere(name: &str) -> Option<String> {
    let all = keys::all(super::declared::FILE);
    let places: Vec<&String> = all.iter().filter(|(_, key)| key.name == name).map(|(path, _)| path).collect();
    let short: Vec<_> = places.iter().filter(|path| !path.contains(".tables.")).collect();
    match (short.as_slice(), places.as_slice()) {
        ([only], _) => Some(format!("it belongs at `{only}`")),
        ([], [only]) => Some(format!("it belongs at `{only}`")),
        _ => None,
    }
}
