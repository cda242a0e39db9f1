//! What was written: the YAML as a tree in which every node knows its place. Keeps texts as they were typed
//! and keys that were given twice. Knows no key by name and no type.
//!
//! Nothing here derives `Debug`: the tree holds secrets.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// Nodes a file may have, aliases counted as often as they are used.
const NODES_MAX: usize = 100_000;
/// How deep nodes may be nested.
const DEPTH_MAX: usize = 32;

/// Where something stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Characters on that line; 0 where it goes on over several lines.
    pub width: usize,
}

impl Place {
    /// The start of the file.
    pub(super) const START: Self = Self { line: 1, column: 1, width: 0 };

    fn of(span: Span) -> Self {
        let one_line = span.start.line() == span.end.line();
        let width = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 0 };
        Self { line: span.start.line().max(1), column: span.start.col() + 1, width }
    }
}

/// One value in the file.
#[derive(Clone)]
pub(super) struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub said: Said,
}

impl Node {
    /// What stands under these keys, one in another.
    pub(super) fn find(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| match &node.said {
            Said::Map(entries) => entries.iter().find(|entry| entry.name == *key).map(|entry| &entry.node),
            _ => None,
        })
    }
}

/// What stands at a node.
#[derive(Clone)]
pub(super) enum Said {
    /// An empty value, `~` or `null`.
    Nothing,
    /// A scalar, of whatever type it may become.
    Text(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<Entry>),
    /// A value whose mistake has been told already.
    Broken,
}

impl Said {
    /// What the node is, for a sentence: `found a list`.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Nothing | Self::Broken => "nothing",
            Self::Text(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// A scalar.
#[derive(Clone)]
pub(super) struct Scalar {
    /// Its text, without quotes and with escapes resolved.
    pub text: String,
    /// Written without quotes.
    pub plain: bool,
    /// Holds what a variable held: never to be shown.
    pub expanded: bool,
}

/// One key of a map with its value.
#[derive(Clone)]
pub(super) struct Entry {
    /// The key.
    pub name: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub node: Node,
}

/// Why the text is not the YAML this program reads.
pub(super) struct NotYaml {
    pub place: Place,
    pub what: String,
}

/// Reads one document. An empty file gives `Said::Nothing`.
pub(super) fn read(text: &str) -> Result<Node, NotYaml> {
    let mut tree = Tree::default();
    let mut parser = Parser::<StrInput<'_>>::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| NotYaml {
            place: Place { line: error.marker().line().max(1), column: error.marker().col() + 1, width: 0 },
            what: format!("not YAML: {}{}", error.info(), remedy(error.info())),
        })?;
        tree.take(event, Place::of(span))?;
    }
    Ok(tree.root.unwrap_or(Node { place: Place::START, said: Said::Nothing }))
}

/// What most likely mends what the parser says, by its words, since it has no codes; a test holds them.
fn remedy(info: &str) -> &'static str {
    const REMEDIES: &[(&str, &str)] = &[
        ("tabs", "; indent with spaces"),
        ("mapping values", "; put a value that has `: ` in it into quotes, each key on a line of its own"),
        ("quoted scalar", "; close the quote here or above"),
        ("flow sequence", "; close the `[` here or above"),
        ("flow mapping", "; close the `{` here or above"),
    ];
    REMEDIES.iter().find(|(says, _)| info.contains(says)).map_or("", |(_, remedy)| remedy)
}

/// The tree as far as it was read.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    documents: usize,
}

/// A list or map that has not ended.
struct Open {
    place: Place,
    anchor: usize,
    nodes_before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Place)>),
}

impl Tree {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), NotYaml> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(not_yaml(
                        place,
                        "a second document (`---`) begins here; one file is one document",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let said = scalar(&text, style, tag.as_deref(), place)?;
                self.anchors_and_adds(Node { place, said }, anchor, self.nodes)?;
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(not_yaml(place, "an alias stands inside the value it repeats"));
                };
                self.nodes += size;
                self.add(Node { place, said: node.said })?;
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                self.begin(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), place)?;
                self.begin(place, anchor, Content::Map(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), NotYaml> {
        if self.open.len() >= DEPTH_MAX {
            return Err(not_yaml(place, "nested deeper than any key of this file goes"));
        }
        self.open.push(Open { place, anchor, nodes_before: self.nodes, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), NotYaml> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let said = match open.content {
            Content::List(nodes) => Said::List(nodes),
            Content::Map(entries, _) => Said::Map(entries),
        };
        // A map's own span ends where it begins; its keys and values carry theirs.
        let place = Place { width: 0, ..open.place };
        self.anchors_and_adds(Node { place, said }, open.anchor, open.nodes_before)
    }

    fn anchors_and_adds(&mut self, node: Node, anchor: usize, nodes_before: usize) -> Result<(), NotYaml> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - nodes_before + 1));
        }
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Result<(), NotYaml> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(not_yaml(node.place, "more values than any configuration needs"));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(nodes)) => nodes.push(node),
            Some(Content::Map(entries, key)) => match (key.take(), node) {
                (Some((name, place)), node) => entries.push(Entry { name, place, node }),
                (None, Node { place, said: Said::Text(text) }) => *key = Some((text.text, place)),
                (None, Node { place, .. }) => {
                    return Err(not_yaml(place, "a key must be a text, not empty, a list or a map"));
                }
            },
        }
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Said, NotYaml> {
    let is_text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if !is_text_tag {
        refuse_tag(tag, place)?;
    }
    let plain = style == ScalarStyle::Plain && !is_text_tag;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Said::Nothing);
    }
    Ok(Said::Text(Scalar { text: text.to_owned(), plain, expanded: false }))
}

fn refuse_tag(tag: Option<&Tag>, place: Place) -> Result<(), NotYaml> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            Err(not_yaml(place, "a YAML tag (`!…`) means nothing here"))
        }
        _ => Ok(()),
    }
}

fn not_yaml(place: Place, what: &str) -> NotYaml {
    NotYaml { place: Place { width: 0, ..place }, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match read(text) {
            Ok(_) => "read".to_owned(),
            Err(error) => format!("{}:{}: {}", error.place.line, error.place.column, error.what),
        }
    }

    #[test]
    fn a_key_and_its_value_know_their_places() {
        let Ok(Node { said: Said::Map(entries), .. }) = read("a: 1\nlong_key:  \"zwei\"\n") else { panic!() };
        assert_eq!(entries[1].place, Place { line: 2, column: 1, width: 8 });
        assert_eq!(entries[1].node.place, Place { line: 2, column: 12, width: 6 });
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = level - 1;
            let line = format!("*a{below}, ").repeat(10);
            text.extend([format!("a{level}: &a{level} [{line}]\n")]);
        }
        assert!(error(&text).contains("more values"), "{}", error(&text));
    }

    #[test]
    fn depth_documents_tags_and_odd_keys_are_refused_with_their_place() {
        assert_eq!(error(&"[".repeat(40)), "1:33: nested deeper than any key of this file goes");
        assert_eq!(
            error("a: 1\n---\nb: 2\n"),
            "2:1: a second document (`---`) begins here; one file is one document"
        );
        assert_eq!(error("a: !secret x\n"), "1:4: a YAML tag (`!…`) means nothing here");
        assert_eq!(error("? [a, b]\n: c\n"), "1:3: a key must be a text, not empty, a list or a map");
        assert_eq!(error("a: &x [*x]\n"), "1:8: an alias stands inside the value it repeats");
        assert!(
            error("a: \"b\n").starts_with("2:1: not YAML:")
                || error("a: \"b\n").starts_with("1:4: not YAML:")
        );
    }

    #[test]
    fn what_is_not_yaml_is_told_with_what_mends_it() {
        let mends = |text: &str| error(text).split("; ").nth(1).map(str::to_owned);
        assert_eq!(mends("a:\n\tb: c\n").as_deref(), Some("indent with spaces"));
        let colon = "put a value that has `: ` in it into quotes, each key on a line of its own";
        assert_eq!(mends("a: b: c\n").as_deref(), Some(colon));
        let open = |what: &str| Some(format!("close the {what} here or above"));
        assert_eq!(mends("a: [b, c\n"), open("`[`"));
        assert_eq!(mends("a: {b: c\n"), open("`{`"));
        assert_eq!(mends("a: \"b\nc: d\n"), open("quote"));
    }
}
