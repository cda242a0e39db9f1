//! Where in a record the columns are: the paths as a tree of objects, and in each object the order its
//! keys came in last time. Decides what a key leads to; reads no bytes of JSON itself.

use hashbrown::HashMap;

use super::rest::Rest;
use crate::config::settings;

/// Keys that no column wants, remembered per object so that they are guessed as well.
const UNWANTED_MAX: usize = 64;
/// Longer keys are not remembered.
const KEY_BYTES_MAX: usize = 128;
/// The bytes of a key that are compared at once.
pub(super) const HEAD: usize = 16;

/// Where each column's value is.
pub(super) struct Plan {
    /// The objects that lead to columns; the record itself is [`ROOT`].
    pub(super) objects: Vec<Object>,
    /// The keys of all objects: the wanted ones, then unwanted ones as they were met.
    pub(super) keys: Vec<Key>,
    /// Values that several columns read.
    pub(super) forks: Vec<Fork>,
    /// What is known of each column besides its values.
    pub(super) fields: Vec<Field>,
    /// Keeps the fields that no column reads, where a column is declared for them.
    pub(super) rest: Option<Rest>,
    /// Whether a value that is no object stands for one without fields.
    pub(super) only_conditions: bool,
    /// The key that each column's value is under.
    key_of: Vec<usize>,
}

/// The record itself, among [`Plan::objects`].
pub(super) const ROOT: usize = 0;

/// A column's name and origin.
pub(super) struct Field {
    pub(super) name: String,
    /// The path, joined with points.
    pub(super) path: String,
    /// JSON that stands in for a missing value.
    pub(super) default: Option<Vec<u8>>,
}

/// A value that several columns read, and perhaps an object with columns in it.
pub(super) struct Fork {
    pub(super) columns: Vec<usize>,
    pub(super) object: Option<usize>,
}

impl Fork {
    /// The column to name where the value itself is at fault.
    pub(super) fn first_column(&self) -> usize {
        self.columns.first().copied().unwrap_or(0)
    }
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing that is wanted.
    Skip,
    /// A column, by number.
    Column(usize),
    /// An object in which columns are.
    Object(usize),
    /// More than one of these.
    Fork(usize),
}

/// A key met in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// For the first time.
    Now(Target),
    /// Once more.
    Again(Target),
}

/// An object that leads to columns.
#[derive(Default)]
pub(super) struct Object {
    /// The path to it, joined with points.
    pub(super) path: String,
    /// A column inside it, to name where the object itself is at fault.
    pub(super) witness: usize,
    /// The key that came first last time.
    pub(super) first: usize,
    by_name: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    unwanted: usize,
}

/// A key of an object.
pub(super) struct Key {
    /// The key as it stands in a record: quotes, name, colon. Empty where the name needs escapes.
    raw: Box<[u8]>,
    /// The first bytes of `raw`, and which of them count.
    head: u128,
    mask: u128,
    pub(super) target: Target,
    /// The last record that had it.
    seen_in: u64,
    /// The key that came after it last time.
    pub(super) next: usize,
}

impl Key {
    fn new(name: &[u8], target: Target) -> Self {
        let mut raw = Vec::new();
        if !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            raw = [b"\"", name, b"\":"].concat();
        }
        let mut head = [0; HEAD];
        let mut mask = [0; HEAD];
        if raw.is_empty() {
            // Never equal to what the empty mask leaves: such a key is always looked up.
            head[0] = 1;
        }
        for (at, byte) in raw.iter().take(HEAD).enumerate() {
            head[at] = *byte;
            mask[at] = 0xFF;
        }
        Self {
            raw: raw.into(),
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            target,
            seen_in: 0,
            next: 0,
        }
    }

    /// Notes that `record` has the key.
    #[inline]
    pub(super) fn found(&mut self, record: u64) -> Found {
        let is_repeated = std::mem::replace(&mut self.seen_in, record) == record;
        // What nobody reads may be said twice.
        if is_repeated && self.target != Target::Skip {
            Found::Again(self.target)
        } else {
            Found::Now(self.target)
        }
    }

    /// Whether the key is what comes, given the next bytes and, for a long one, the rest of them.
    #[inline]
    pub(super) fn is_next<'r>(&self, head: [u8; HEAD], rest: impl FnOnce() -> &'r [u8]) -> bool {
        u128::from_le_bytes(head) & self.mask == self.head
            && (self.raw.len() <= HEAD || rest().starts_with(&self.raw))
    }

    /// Bytes that the key takes in a record, colon included.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }
}

impl Plan {
    /// The plan for these columns. The one named `rest_in` keeps the fields that no other reads.
    pub(super) fn new(columns: &[settings::Column], rest_in: Option<&str>) -> Self {
        let mut root = Branch::default();
        let rest = columns.iter().position(|column| Some(column.name.as_str()) == rest_in);
        for (number, column) in columns.iter().enumerate().filter(|(number, _)| Some(*number) != rest) {
            root.grow(&column.from, number);
        }
        let fields = columns.iter().map(|column| Field {
            name: column.name.clone(),
            path: column.from.join("."),
            default: column.default.as_ref().map(|value| value.to_string().into_bytes()),
        });
        let mut plan = Self {
            objects: Vec::new(),
            keys: Vec::new(),
            forks: Vec::new(),
            fields: fields.collect(),
            rest: rest.map(Rest::new),
            only_conditions: false,
            key_of: vec![0; columns.len()],
        };
        plan.add_object(&root, String::new());
        plan
    }

    /// A plan for fields that conditions ask for. What is no object has no fields, and is no fault.
    pub(super) fn of_conditions(paths: &[&[String]]) -> Self {
        let columns: Vec<settings::Column> = paths
            .iter()
            .map(|path| settings::Column {
                name: path.join("."),
                column_type: pumphouse_core::schema::ColumnType::UInt64,
                from: path.to_vec(),
                default: None,
                epoch: None,
            })
            .collect();
        Self { only_conditions: true, ..Self::new(&columns, None) }
    }

    /// The key of this name in an object. An unwanted one is remembered if there is room, and none
    /// otherwise.
    pub(super) fn find(&mut self, object: usize, name: &[u8]) -> Option<usize> {
        let known = &mut self.objects[object];
        if let Some(key) = known.by_name.get(name) {
            return Some(*key);
        }
        if known.unwanted == UNWANTED_MAX || name.len() > KEY_BYTES_MAX {
            return None;
        }
        known.unwanted += 1;
        Some(self.add_key(object, name, Target::Skip))
    }

    /// Whether a record had a value for a column.
    pub(super) fn has(&self, column: usize, record: u64) -> bool {
        self.keys[self.key_of[column]].seen_in == record
    }

    /// Whether a column is the one for fields that no other reads.
    pub(super) fn keeps_rest(&self, column: usize) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.column == column)
    }

    /// Notes that in an object `key` came after the key `before`, or first.
    pub(super) fn learn_order(&mut self, object: usize, before: Option<usize>, key: usize) {
        match before {
            None => self.objects[object].first = key,
            Some(before) => self.keys[before].next = key,
        }
    }

    fn add_key(&mut self, object: usize, name: &[u8], target: Target) -> usize {
        let key = self.keys.len();
        self.keys.push(Key::new(name, target));
        self.objects[object].by_name.insert(name.into(), key);
        key
    }

    fn add_object(&mut self, branch: &Branch, path: String) -> usize {
        let number = self.objects.len();
        self.objects.push(Object { witness: branch.first_column(), ..Object::default() });
        for (name, child) in &branch.children {
            let child_path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let object = (!child.children.is_empty()).then(|| self.add_object(child, child_path));
            let target = match (child.columns.as_slice(), object) {
                ([column], None) => Target::Column(*column),
                ([], Some(object)) => Target::Object(object),
                (columns, object) => {
                    self.forks.push(Fork { columns: columns.to_vec(), object });
                    Target::Fork(self.forks.len() - 1)
                }
            };
            let key = self.add_key(number, name.as_bytes(), target);
            child.columns.iter().for_each(|column| self.key_of[*column] = key);
        }
        self.objects[number].path = path;
        number
    }
}

/// The tree of paths while it grows.
#[derive(Default)]
struct Branch {
    columns: Vec<usize>,
    children: Vec<(String, Branch)>,
}

impl Branch {
    fn grow(&mut self, path: &[String], column: usize) {
        let Some((name, rest)) = path.split_first() else {
            self.columns.push(column);
            return;
        };
        let known = self.children.iter().position(|(known, _)| known == name);
        let child = known.unwrap_or_else(|| {
            self.children.push((name.clone(), Self::default()));
            self.children.len() - 1
        });
        self.children[child].1.grow(rest, column);
    }

    fn first_column(&self) -> usize {
        let below = self.children.iter().map(|(_, child)| child.first_column());
        self.columns.iter().copied().chain(below).min().unwrap_or(0)
    }
}
