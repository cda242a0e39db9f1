//! The rules for objects that go into columns of type JSON. ClickHouse parses their text itself: what it would refuse
//! halts the stream, and some of what it takes it changes. Decides which objects it keeps as they are; changes nothing.
//!
//! | in the object | ClickHouse (measured on 26.7) | here |
//! |---|---|---|
//! | one path twice, by a key twice or by `a.b` beside `b` in `a` | refuses the block | PH-0109 |
//! | a value at `a` and another at `a.b` | keeps both, shows the key twice | PH-0109 |
//! | a whole number outside `Int64` and `UInt64` | refuses the block | PH-0104 |
//! | a number past the largest Float64 | refuses the block | PH-0104 |
//! | a number so small that a Float64 is 0 | keeps 0 | PH-0105 |
//! | a whole number past 2^53 in an array | makes it a float beside floats, of other rows too | PH-0105 |
//! | the same under three arrays of objects | makes it a float where types are many | PH-0105 |
//! | null beside an array, in arrays | refuses the block | PH-0102 |
//! | more than four arrays straight inside each other | as above: each adds types | PH-0110 |
//! | a key of more than 128 parts between points | as deep as so many objects | PH-0110 |
//! | paths much longer than the object | spells out each: 0.7 MB with 200 MB of paths took 36 s | PH-0118 |
//!
//! Null fields and empty objects are taken, although ClickHouse does not keep them: to it they are not there.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;

use super::scan::Reader;
use crate::decode::reject::{Code, Fault, number_found};

/// Arrays straight inside each other: as many as the maps of `GeoJSON` need. A path holds up to 32 types; with each array more
/// around it there are seven more, and past the limit ClickHouse turns whole numbers into floats.
const ARRAYS_MAX: u32 = 4;
/// Arrays of objects around a whole number past 2^53: each halves the types that a path inside holds.
const ARRAYS_OF_OBJECTS_MAX: u32 = 2;
/// Up to here every whole number is also a Float64.
const WHOLE_IN_FLOAT_MAX: u64 = 1 << 53;
/// Bytes that all paths of an object may have whatever its size, and for each byte of it: ClickHouse spells out each
/// path, so that a few records with long keys around many others would hold up an insert.
const PATH_BYTES_SURE: usize = 16 << 10;
const PATH_BYTES_PER_BYTE: usize = 16;
/// Parts of a path where a key has points; without points, the nesting is what ends it.
const PARTS_MAX: usize = 128;

/// Passes objects and tells what ClickHouse would not keep. Holds nothing from one object to the next but room.
#[derive(Default)]
pub(in crate::decode) struct DocumentRules {
    /// The paths of the objects that are open, spelled out, end to end.
    paths: Vec<u8>,
    entries: Vec<Entry>,
    /// Where the whole object starts.
    start: usize,
    /// Bytes of all its paths so far.
    spelled: usize,
    hasher: FixedState,
}

/// A key that was met.
#[derive(Clone)]
struct Entry {
    hash: u64,
    /// Its path among [`DocumentRules::paths`].
    path: Range<usize>,
    /// Where in it the key itself begins.
    key: usize,
    /// Whether it has a value of its own; an object has none.
    has_value: bool,
}

/// An object with paths of its own: the whole one, or one in an array.
struct Scope {
    /// Its first entry.
    first: usize,
    /// Arrays of objects around it.
    arrays: u32,
    /// Whether a key has a point in it, so that paths may meet across objects.
    has_points: bool,
}

/// What stands at each depth of arrays inside an outermost one, a bit each.
#[derive(Default)]
struct Beside {
    nulls: u32,
    arrays: u32,
}

impl DocumentRules {
    /// Passes the object that starts here.
    pub(in crate::decode) fn pass(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        self.spelled = 0;
        self.start = reader.position();
        self.scope(reader, 0)
    }

    fn scope(&mut self, reader: &mut Reader<'_>, arrays: u32) -> Result<(), Fault> {
        let (bytes, first) = (self.paths.len(), self.entries.len());
        let mut scope = Scope { first, arrays, has_points: false };
        let passed = self.object(reader, None, &mut scope).and_then(|()| self.each_path_once(&scope));
        self.paths.truncate(bytes);
        self.entries.truncate(first);
        passed
    }

    fn object(
        &mut self,
        reader: &mut Reader<'_>,
        above: Option<&Range<usize>>,
        scope: &mut Scope,
    ) -> Result<(), Fault> {
        reader.enter()?;
        if reader.peek() == b'}' {
            reader.leave();
            return Ok(());
        }
        loop {
            let key = self.key(reader, above, scope)?;
            self.value(reader, &key, scope)
                .map_err(|fault| fault.within(&self.paths[key.key..key.path.end]))?;
            if !reader.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// Passes a key and its colon, and notes its path.
    fn key(
        &mut self,
        reader: &mut Reader<'_>,
        above: Option<&Range<usize>>,
        scope: &mut Scope,
    ) -> Result<Entry, Fault> {
        if reader.peek() != b'"' {
            return Err(reader.unexpected("a key in quotes"));
        }
        let start = self.paths.len();
        if let Some(above) = above {
            self.paths.extend_from_within(above.clone());
            self.paths.push(b'.');
        }
        let key = self.paths.len();
        self.paths.extend_from_slice(reader.text()?);
        reader.colon()?;
        let path = start..self.paths.len();
        if self.paths[key..].contains(&b'.') {
            scope.has_points = true;
            if self.paths[path.clone()].split(|byte| *byte == b'.').count() > PARTS_MAX {
                let most = format!("at most {PARTS_MAX} keys in one path, counted by its points");
                return Err(Fault::expecting(Code::TooDeep, most, "more"));
            }
        }
        self.spelled += path.len();
        let bytes = reader.passed(self.start).len();
        if self.spelled > PATH_BYTES_SURE + PATH_BYTES_PER_BYTE * bytes {
            let most = format!("paths of at most {PATH_BYTES_PER_BYTE} times the object's bytes");
            return Err(Fault::expecting(Code::TooLarge, most, format!("more within {bytes} bytes")));
        }
        let hash = self.hasher.hash_one(&self.paths[path.clone()]);
        let entry = Entry { hash, path, key, has_value: reader.peek() != b'{' };
        self.entries.push(entry.clone());
        Ok(entry)
    }

    fn value(&mut self, reader: &mut Reader<'_>, key: &Entry, scope: &mut Scope) -> Result<(), Fault> {
        match reader.peek() {
            b'{' => self.object(reader, Some(&key.path), scope),
            b'[' => self.array(reader, (0, scope.arrays), &mut Beside::default()),
            b'-' | b'0'..=b'9' if scope.arrays <= ARRAYS_OF_OBJECTS_MAX => number(reader, u64::MAX),
            b'-' | b'0'..=b'9' => number(reader, WHOLE_IN_FLOAT_MAX),
            _ => reader.skip_value(),
        }
    }

    /// Passes the array that starts here: inside `depth` others, and inside so many arrays of objects.
    fn array(
        &mut self,
        reader: &mut Reader<'_>,
        (depth, arrays_of_objects): (u32, u32),
        beside: &mut Beside,
    ) -> Result<(), Fault> {
        if depth == ARRAYS_MAX {
            let most = format!("at most {ARRAYS_MAX} arrays straight inside each other");
            return Err(Fault::expecting(Code::TooDeep, most, "one more"));
        }
        reader.enter()?;
        if reader.peek() == b']' {
            reader.leave();
            return Ok(());
        }
        for index in 0.. {
            let kind = reader.peek();
            beside.nulls |= u32::from(kind == b'n') << depth;
            beside.arrays |= u32::from(kind == b'[') << depth;
            let passed = match kind {
                _ if beside.nulls & beside.arrays != 0 => Err(null_beside_array()),
                b'{' => self.scope(reader, arrays_of_objects + 1),
                b'[' => self.array(reader, (depth + 1, arrays_of_objects), beside),
                b'-' | b'0'..=b'9' => number(reader, WHOLE_IN_FLOAT_MAX),
                _ => reader.skip_value(),
            };
            passed.map_err(|fault| fault.inside(index))?;
            if !reader.another(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Whether every path of an object is there once, and none goes on from a value.
    fn each_path_once(&mut self, scope: &Scope) -> Result<(), Fault> {
        let paths = &self.paths;
        let entries = &mut self.entries[scope.first..];
        entries.sort_unstable_by(|left, right| {
            let by_path = || paths[left.path.clone()].cmp(&paths[right.path.clone()]);
            left.hash.cmp(&right.hash).then_with(by_path)
        });
        let path = |entry: &Entry| &paths[entry.path.clone()];
        let mut neighbours = entries.iter().zip(entries.iter().skip(1));
        if let Some((left, _)) =
            neighbours.find(|(left, right)| left.hash == right.hash && path(left) == path(right))
        {
            return Err(twice("the same path again").within(path(left)));
        }
        if !scope.has_points {
            return Ok(());
        }
        for entry in entries.iter() {
            let path = path(entry);
            let points = (0..path.len()).filter(|at| path[*at] == b'.');
            for point in points {
                if has_value(entries, paths, (&path[..point], self.hasher.hash_one(&path[..point]))) {
                    return Err(twice("a value and further paths at one path").within(&path[..point]));
                }
            }
        }
        Ok(())
    }
}

/// Whether a path has a value among entries in the order of their hashes.
fn has_value(entries: &[Entry], paths: &[u8], (path, hash): (&[u8], u64)) -> bool {
    let first = entries.partition_point(|entry| entry.hash < hash);
    let alike = entries[first..].iter().take_while(|entry| entry.hash == hash);
    alike.into_iter().any(|entry| entry.has_value && paths[entry.path.clone()] == *path)
}

/// Passes the number that starts here. A whole one is at most `whole_max` from zero.
fn number(reader: &mut Reader<'_>, whole_max: u64) -> Result<(), Fault> {
    let from = reader.position();
    let fault = |code, expected: &'static str, reader: &Reader<'_>| {
        Err(Fault::expecting(code, expected, number_found(reader.passed(from))))
    };
    if reader.short_number().is_some_and(|short| short.places > 0 || short.mantissa <= WHOLE_IN_FLOAT_MAX) {
        return Ok(());
    }
    reader.rewind(from);
    let number = reader.number()?;
    let text = std::str::from_utf8(number.text).unwrap_or_default();
    if !number.is_whole {
        return match text.parse::<f64>() {
            Ok(0.0) if !is_zero(text) => {
                fault(Code::PrecisionLost, "a number that is not 0 as a Float64", reader)
            }
            Ok(value) if value.is_finite() => Ok(()),
            _ => fault(Code::OutOfRange, "a number that a Float64 can hold", reader),
        };
    }
    let kept = i128::from(i64::MIN)..=i128::from(u64::MAX);
    match text.parse::<i128>().ok().filter(|value| kept.contains(value)) {
        None => fault(Code::OutOfRange, "a whole number of Int64 or UInt64", reader),
        Some(value) if value.unsigned_abs() <= u128::from(whole_max) => Ok(()),
        Some(_) => {
            fault(Code::PrecisionLost, "whole numbers of at most 2^53 in an array of type JSON", reader)
        }
    }
}

/// Whether a number is 0 by its digits, whatever its exponent.
fn is_zero(number: &str) -> bool {
    let digits = number.split(['e', 'E']).next().unwrap_or_default();
    !digits.bytes().any(|digit| matches!(digit, b'1'..=b'9'))
}

#[cold]
fn null_beside_array() -> Fault {
    Fault::expecting(Code::Null, "arrays without null beside them, in an array of type JSON", "both")
}

#[cold]
fn twice(found: &'static str) -> Fault {
    Fault::expecting(Code::KeyTwice, "each path once", found)
}
