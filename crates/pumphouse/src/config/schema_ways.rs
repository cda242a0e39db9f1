//! What a JSON Schema says of a place in a record: the ways in which the value there may satisfy it. Follows what is
//! said in the document itself, `$ref`, `allOf`, `anyOf` and `oneOf` included, and notes where it can't be sure. Knows
//! no column.

use serde_json::{Map, Value};

/// Ways that are told apart at one place; past them nothing is sure.
const WAYS_MAX: usize = 64;
/// Schemas that are looked at for one place: a reference may lead in a circle.
const SCHEMAS_MAX: usize = 2_000;
/// Keywords whose meaning depends on more of the record than is looked at here.
const UNFOLLOWED: [&str; 10] = [
    "if",
    "not",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "patternProperties",
    "$dynamicRef",
    "$recursiveRef",
    "prefixItems",
    "contains",
];

/// Kinds of JSON values, a bit each.
pub(super) type Kinds = u8;
pub(super) const NULL: Kinds = 1;
pub(super) const BOOLEAN: Kinds = 1 << 1;
pub(super) const WHOLE: Kinds = 1 << 2;
pub(super) const FRACTION: Kinds = 1 << 3;
pub(super) const TEXT: Kinds = 1 << 4;
pub(super) const ARRAY: Kinds = 1 << 5;
pub(super) const OBJECT: Kinds = 1 << 6;
const ALL: Kinds = (1 << 7) - 1;

/// One way in which a value satisfies a schema: rules that all hold.
#[derive(Clone, Default)]
pub(super) struct Way<'s> {
    rules: Vec<&'s Map<String, Value>>,
    /// Whether a record that goes this way may lack the field.
    pub may_be_missing: bool,
    /// Whether the schema lets no record have it.
    pub is_forbidden: bool,
}

/// All ways at one place.
#[derive(Clone)]
pub(super) struct Ways<'s> {
    document: &'s Value,
    /// None where no value satisfies the schema.
    pub all: Vec<Way<'s>>,
    /// Whether there may be other ways, or fewer.
    pub is_sure: bool,
}

impl<'s> Ways<'s> {
    /// The ways of the record itself.
    pub(super) fn of_record(document: &'s Value) -> Self {
        Self { document, all: Vec::new(), is_sure: true }.with(vec![document], &Way::default())
    }

    /// Some of these ways.
    pub(super) fn only(&self, all: Vec<Way<'s>>) -> Self {
        Self { all, ..*self }
    }

    /// These ways and those in which a value satisfies all of `schemas`.
    fn with(mut self, schemas: Vec<&'s Value>, given: &Way<'s>) -> Self {
        let mut budget = SCHEMAS_MAX;
        let start = Way { rules: Vec::new(), ..given.clone() };
        self.expand(schemas, Vec::new(), start, &mut budget);
        self
    }

    fn expand(
        &mut self,
        mut pending: Vec<&'s Value>,
        mut choices: Vec<&'s [Value]>,
        mut way: Way<'s>,
        budget: &mut usize,
    ) {
        while let Some(schema) = pending.pop() {
            let Some(left) = budget.checked_sub(1) else {
                self.is_sure = false;
                return;
            };
            *budget = left;
            let rule = match schema {
                Value::Bool(false) => return,
                Value::Object(rule) => rule,
                _ => continue,
            };
            self.is_sure &= UNFOLLOWED.iter().all(|keyword| !rule.contains_key(*keyword));
            way.rules.push(rule);
            if let Some(reference) = rule.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer));
                self.is_sure &= target.is_some();
                pending.extend(target);
            }
            let list = |keyword| rule.get(keyword).and_then(Value::as_array).map(Vec::as_slice);
            pending.extend(list("allOf").unwrap_or_default());
            choices.extend(list("anyOf").into_iter().chain(list("oneOf")));
        }
        let Some(choice) = choices.pop() else {
            if self.all.len() < WAYS_MAX {
                self.all.push(way);
            } else {
                self.is_sure = false;
            }
            return;
        };
        for schema in choice {
            self.expand(vec![schema], choices.clone(), way.clone(), budget);
        }
    }

    /// The ways of a field of these objects.
    pub(super) fn field(&self, name: &str) -> Self {
        let mut ways = self.only(Vec::new());
        for way in &self.all {
            let kinds = way.kinds();
            // What says nothing of kinds is meant for objects.
            let is_required = way.requires(name) && (kinds & NULL == 0 || !way.says_kind());
            let given = Way { may_be_missing: way.may_be_missing || !is_required, ..Way::default() };
            let before = ways.all.len();
            if kinds & OBJECT != 0 && !way.is_forbidden {
                ways = ways.with(way.schemas_of(name), &given);
            }
            if ways.all.len() == before && ways.is_sure {
                ways.all.push(Way { may_be_missing: true, is_forbidden: true, ..Way::default() });
            }
        }
        ways
    }

    /// The ways of the values inside these: of elements by `items`, of fields by `additionalProperties`.
    pub(super) fn inside(&self, keyword: &str) -> Self {
        let mut ways = self.only(Vec::new());
        let around = if keyword == "items" { ARRAY } else { OBJECT };
        for way in self.all.iter().filter(|way| way.kinds() & around != 0) {
            let schemas: Vec<&Value> = way.rules.iter().filter_map(|rule| rule.get(keyword)).collect();
            ways = ways.with(schemas, &Way::default());
        }
        ways
    }
}

impl<'s> Way<'s> {
    /// What the keyword says, where it is said.
    pub(super) fn said(&self, keyword: &str) -> impl Iterator<Item = &'s Value> {
        self.rules.iter().filter_map(move |rule| rule.get(keyword))
    }

    /// The kinds of value that go this way.
    pub(super) fn kinds(&self) -> Kinds {
        let mut kinds = ALL;
        for rule in &self.rules {
            kinds &= match rule.get("type") {
                Some(Value::String(name)) => kinds_named(name),
                Some(Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).fold(0, |kinds, name| kinds | kinds_named(name))
                }
                _ => ALL,
            };
        }
        if let Some(values) = self.values() {
            kinds &= values.iter().fold(0, |kinds, value| kinds | kind_of(value));
        }
        let is_whole = |value: &Value| value.as_u64().is_some();
        if self.said("multipleOf").any(is_whole) { kinds & !FRACTION } else { kinds }
    }

    /// Whether anything is said of the kind of value.
    pub(super) fn says_kind(&self) -> bool {
        ["type", "enum", "const"].iter().any(|keyword| self.said(keyword).next().is_some())
    }

    /// The only values there are, if they are counted.
    pub(super) fn values(&self) -> Option<Vec<&'s Value>> {
        let constant = self.said("const").next().map(|value| vec![value]);
        constant.or_else(|| Some(self.said("enum").next()?.as_array()?.iter().collect()))
    }

    /// Fields that every object of this way has.
    pub(super) fn required(&self) -> impl Iterator<Item = &'s str> {
        self.said("required").filter_map(Value::as_array).flatten().filter_map(Value::as_str)
    }

    fn requires(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }

    /// What the rules say of a field: by its name, else by what holds for all others.
    fn schemas_of(&self, name: &str) -> Vec<&'s Value> {
        let named = |rule: &&'s Map<String, Value>| rule.get("properties").and_then(|of| of.get(name));
        let unevaluated = self
            .said("unevaluatedProperties")
            .filter(|_| !self.rules.iter().any(|rule| named(rule).is_some()));
        let each =
            self.rules.iter().filter_map(|rule| named(rule).or_else(|| rule.get("additionalProperties")));
        each.chain(unevaluated).collect()
    }
}

fn kinds_named(name: &str) -> Kinds {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" => WHOLE,
        "number" => WHOLE | FRACTION,
        "string" => TEXT,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => 0,
    }
}

fn kind_of(value: &Value) -> Kinds {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.is_f64() => FRACTION,
        Value::Number(_) => WHOLE,
        Value::String(_) => TEXT,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// The kinds in words: `a text or a whole number`.
pub(super) fn in_words(kinds: Kinds) -> String {
    let words = [
        (NULL, "null"),
        (BOOLEAN, "a boolean"),
        (WHOLE, "a whole number"),
        (FRACTION, "a number with a fraction"),
        (TEXT, "a text"),
        (ARRAY, "an array"),
        (OBJECT, "an object"),
    ];
    let named: Vec<&str> =
        words.into_iter().filter(|(kind, _)| kinds & kind != 0).map(|(_, name)| name).collect();
    named.join(" or ")
}
