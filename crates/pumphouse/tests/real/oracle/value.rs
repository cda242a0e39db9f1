//! A generated value: JSON as a tree whose leaves are written out, so that its numbers and escapes stay as they
//! were chosen, and what stands where in it by a column type. Parses nothing.

use pumphouse_core::schema::ColumnType;

/// JSON, or what only resembles it: a leaf may be any text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// Written out.
    Leaf(String),
    /// `[…]`
    Array(Vec<Json>),
    /// `{…}`; keys are leaves, with their quotes.
    Object(Vec<(Json, Json)>),
}

impl Json {
    /// A leaf.
    pub(super) fn leaf(text: impl Into<String>) -> Self {
        Self::Leaf(text.into())
    }

    /// JSON whose arrays and objects are a tree; of scalars that serde does not respell.
    pub(super) fn of_text(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::Array(elements)) => {
                Self::Array(elements.iter().map(|element| Self::of_text(&element.to_string())).collect())
            }
            Ok(serde_json::Value::Object(entries)) => Self::Object(
                entries
                    .iter()
                    .map(|(key, value)| (Self::text(key), Self::of_text(&value.to_string())))
                    .collect(),
            ),
            _ => Self::leaf(text),
        }
    }

    /// A text in quotes, escaped as serde does.
    pub(super) fn text(text: &str) -> Self {
        Self::Leaf(quoted(text))
    }

    /// What a string says, its escapes resolved.
    pub(super) fn said(&self) -> Option<String> {
        let Self::Leaf(text) = self else { return None };
        serde_json::from_str(text).ok()
    }

    /// As it is sent.
    pub(super) fn written(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Leaf(text) => out.push_str(text),
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    key.write(out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// A text in quotes, escaped.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

/// One place in a value, and the type that it is read as.
#[derive(Debug)]
pub(super) struct Place<'v> {
    pub(super) of: &'v ColumnType,
    pub(super) json: &'v Json,
    /// Whether it is the key of a map.
    pub(super) is_key: bool,
}

impl<'v> Place<'v> {
    /// The place's text if it is a leaf, and nothing for the rest.
    pub(super) fn raw(&self) -> &'v str {
        match self.json {
            Json::Leaf(text) => text,
            _ => "",
        }
    }

    /// What a string says, its escapes resolved.
    pub(super) fn said(&self) -> Option<String> {
        self.json.said()
    }

    /// The digits of a number: bare, or in quotes.
    pub(super) fn number(&self) -> Option<String> {
        let text = self.said().unwrap_or_else(|| self.raw().to_owned());
        is_number(&text).then_some(text)
    }
}

/// Whether JSON would call this a number.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Whether this is JSON at all.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Every place of a value, the outermost first, keys and elements behind what holds them.
pub(super) fn places<'v>(of: &'v ColumnType, json: &'v Json) -> Vec<Place<'v>> {
    let mut found = Vec::new();
    collect(of, json, &mut found);
    found
}

fn collect<'v>(of: &'v ColumnType, json: &'v Json, found: &mut Vec<Place<'v>>) {
    if let ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) = of
        && !matches!(json, Json::Leaf(text) if text == "null" && of.is_nullable())
    {
        return collect(inner, json, found);
    }
    found.push(Place { of, json, is_key: false });
    match (of, json) {
        (ColumnType::Array(inner), Json::Array(elements)) => {
            for element in elements {
                collect(inner, element, found);
            }
        }
        (ColumnType::Map(..), Json::Object(entries)) => entries_of(of, entries, found),
        (ColumnType::Tuple(fields), Json::Array(elements)) => {
            fields.iter().zip(elements).for_each(|((_, of), element)| collect(of, element, found));
        }
        (ColumnType::Tuple(fields), Json::Object(entries)) => {
            for (key, value) in entries {
                let name = key.said();
                let field = fields.iter().find(|(field, _)| *field == name);
                if let Some((_, of)) = field {
                    collect(of, value, found);
                }
            }
        }
        (ColumnType::Nested(fields), Json::Array(elements)) => {
            for entries in elements.iter().filter_map(|element| match element {
                Json::Object(entries) => Some(entries),
                _ => None,
            }) {
                for (key, value) in entries {
                    let name = key.said();
                    let field = fields.iter().find(|(field, _)| Some(field) == name.as_ref());
                    if let Some((_, of)) = field {
                        collect(of, value, found);
                    }
                }
            }
        }
        _ => {}
    }
}

fn entries_of<'v>(of: &'v ColumnType, entries: &'v [(Json, Json)], found: &mut Vec<Place<'v>>) {
    let ColumnType::Map(key_type, value_type) = of else { return };
    for (key, value) in entries {
        let from = found.len();
        collect(key_type, key, found);
        found[from..].iter_mut().for_each(|place| place.is_key = true);
        collect(value_type, value, found);
    }
}
