//! Values for a type, from a seed: what fits, what lies just past each edge, what is of another kind, what is
//! hardly JSON. Does not say which is which; both sides judge.

use std::collections::BTreeSet;

use fastrand::Rng;
use pumphouse_core::schema::ColumnType;

use super::digits::{edges, some_digits};
use super::moments;
use super::value::{Json, quoted};

/// One leaf in so many is odd where others stand beside it.
const ODD_INSIDE: u8 = 12;
/// Elements of an array or a map at most.
const ELEMENTS_MAX: usize = 4;

/// JSON of every kind, for columns of any other.
const OF_OTHER_KINDS: [&str; 48] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-0",
    "-1",
    "1.0",
    "0.1",
    "1.5",
    "1e0",
    "1e3",
    "1E+2",
    "-0.0",
    "1e400",
    "-1e400",
    "1e-400",
    "0e5",
    "123456789012345678901234567890",
    "-123456789012345678901234567890",
    "\"\"",
    "\"0\"",
    "\"1\"",
    "\"-1\"",
    "\"1.5\"",
    "\" 1\"",
    "\"1 \"",
    "\"01\"",
    "\"+1\"",
    "\"1e3\"",
    "\"abc\"",
    "\"null\"",
    "\"true\"",
    "\"false\"",
    "\"nan\"",
    "\"inf\"",
    "\"-inf\"",
    "\"0x10\"",
    "\"2024-02-29\"",
    "\"2024-02-29T12:00:00Z\"",
    "\"1709209800\"",
    "[]",
    "[1]",
    "[null]",
    "{}",
    "{\"a\":1}",
    "[[]]",
    "\"[1]\"",
];

/// Texts that only resemble JSON.
const HARDLY_JSON: [&str; 26] = [
    "01",
    "-01",
    "1.",
    ".5",
    "+1",
    "-",
    "NaN",
    "nan",
    "Infinity",
    "inf",
    "0x1F",
    "1_000",
    "'a'",
    "tru",
    "True",
    "TRUE",
    "nul",
    "NULL",
    "\"a",
    "[1",
    "{\"a\":1",
    "",
    "1 2",
    "\"\\u12\"",
    "[]]",
    "{\"a\":1,}",
];

/// `count` different values for a type, as far as there are so many.
pub(super) fn values(seed: u64, of: &ColumnType, count: usize) -> Vec<Json> {
    let mut source = Source { rng: Rng::with_seed(seed) };
    let broken = HARDLY_JSON.iter().map(|text| Json::leaf(*text));
    let fixed = OF_OTHER_KINDS.iter().map(|text| Json::of_text(text)).chain(broken);
    let mut values: Vec<Json> = fixed.chain(special(of).iter().map(|text| Json::of_text(text))).collect();
    let wanted = count.max(values.len());
    let mut known = BTreeSet::new();
    values.retain(|value| known.insert(value.written()));
    // A type may have few values: then ten attempts for each wanted one are enough.
    for _ in 0..wanted * 10 {
        if values.len() >= wanted {
            break;
        }
        let value = source.any(of);
        if known.insert(value.written()) {
            values.push(value);
        }
    }
    values
}

/// The values of a type that are never left to chance.
fn special(of: &ColumnType) -> Vec<String> {
    match of {
        ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => special(inner),
        ColumnType::Float32 => texts(&[
            "3.4028234663852886e38",
            "3.4028235677973366e38",
            "3.5e38",
            "-3.5e38",
            "1e-45",
            "7e-46",
            "1.4e-45",
            "16777216",
            "16777217",
            "16777218",
            "-16777217",
            "33554433",
            "1e10",
            "340282346638528859811704183484516925440",
            "340282346638528859811704183484516925441",
            "0.1",
            "1.17549435e-38",
        ]),
        ColumnType::Float64 => texts(&[
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "1e309",
            "5e-324",
            "2e-324",
            "4.9e-324",
            "9007199254740992",
            "9007199254740993",
            "-9007199254740993",
            "9007199254740994",
            "2.2250738585072014e-308",
            "1e22",
            "1e23",
            "100000000000000000000000",
            "99999999999999999999999",
            "0.30000000000000004",
            "123456789.123456789123456789",
        ]),
        ColumnType::String | ColumnType::FixedString(_) => texts(&[
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""\ud83d\ude00""#,
            r#""\ude00\ud83d""#,
            r#""\ud83dx""#,
            r#""\u0000""#,
            r#""\q""#,
            r#""\'""#,
            r#""\a""#,
            r#""\x41""#,
            r#""\/\b\f\n\r\t\"\\""#,
            r#""\U0041""#,
            r#""\u00E9""#,
            "\"\u{1}\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "\"\u{feff}\"",
            "\"é\"",
            "\"日本\"",
            "\"😀\"",
            r#""\uFFFE\uFFFF""#,
        ]),
        ColumnType::Decimal { precision, scale } => {
            let all = "9".repeat(usize::from(*precision));
            let (whole, fraction) = all.split_at(usize::from(precision - scale));
            let whole = if whole.is_empty() { "0" } else { whole };
            let largest = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
            let last = format!("1e-{scale}");
            let past = format!("1e-{}", scale + 1);
            let first_too_large = format!("1e{}", precision - scale);
            [largest.clone(), format!("-{largest}"), quoted(&largest), last, past, first_too_large]
                .into_iter()
                .chain([
                    format!("{largest}0"),
                    format!("{largest}{}1", if fraction.is_empty() { "." } else { "" }),
                ])
                .chain([format!("{largest}{}5", if fraction.is_empty() { "." } else { "" })])
                .chain(texts(&[
                    "0.10",
                    "0.0",
                    "-0.0",
                    "5E-1",
                    "\"5e-1\"",
                    "1e-80",
                    "1e80",
                    "0e400",
                    "0.000000000e9",
                ]))
                .collect()
        }
        ColumnType::Ipv4 | ColumnType::Ipv6 => addresses(),
        ColumnType::Json(_) => texts(&[
            r#"{"a":[[[[1]]]]}"#,
            r#"{"a":[[[[[1]]]]]}"#,
            r#"{"a":[null,[1]]}"#,
            r#"{"a":[null,1]}"#,
            r#"{"a":[[null],[1]]}"#,
            r#"{"a":[9007199254740993]}"#,
            r#"{"a":[9007199254740993,0.5]}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a.b":1}"#,
            r#"{"a":1,"a.b":2}"#,
            r#"{"a":{"b":1},"a.b":2}"#,
            r#"{"a":18446744073709551615}"#,
            r#"{"a":null,"b":{}}"#,
            r#"{"a":"2024-02-29","b":"2024-02-29T12:00:00Z","c":"1","d":"true"}"#,
            r#"{"a":[1,"x",true,null]}"#,
            r#"{"":1}"#,
        ]),
        of => moments::special(of).into_iter().chain(edges(of)).collect(),
    }
}

/// Addresses of both kinds, and what resembles them.
fn addresses() -> Vec<String> {
    const ALL: [&str; 22] = [
        "192.0.2.1",
        "01.2.3.4",
        "1.2.3.04",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.4 ",
        "0x1.2.3.4",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "1::2::3",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::ffff:1.2.3.4",
        "::1.2.3.4",
        "fe80::1%eth0",
        "[::1]",
        "12345::",
        "::00001",
    ];
    ALL.iter().map(|text| quoted(text)).collect()
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// Where random values come from.
struct Source {
    rng: Rng,
}

impl Source {
    /// A value that fits, or one that is odd: as often the one as the other.
    fn any(&mut self, of: &ColumnType) -> Json {
        match of {
            ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Tuple(_) | ColumnType::Nested(_) => {
                self.composite(of)
            }
            ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => self.any(inner),
            _ if self.rng.bool() => self.odd(of),
            _ => self.fitting(of),
        }
    }

    /// A value inside another one: odd now and then.
    fn inside(&mut self, of: &ColumnType) -> Json {
        if self.rng.u8(..ODD_INSIDE) == 0 { self.odd(of) } else { self.fitting(of) }
    }

    fn odd(&mut self, of: &ColumnType) -> Json {
        match self.rng.u8(..4) {
            0 => Json::of_text(self.rng.choice(OF_OTHER_KINDS).expect("some")),
            1 | 2 => match self.rng.choice(special(of)) {
                Some(text) => Json::of_text(&text),
                None => self.near(of),
            },
            _ => self.near(of),
        }
    }

    /// A value that resembles one of the type.
    fn near(&mut self, of: &ColumnType) -> Json {
        let fitting = self.fitting(of);
        let Json::Leaf(text) = fitting else { return fitting };
        let mut characters: Vec<char> = text.chars().filter(|character| *character != '"').collect();
        if !characters.is_empty() {
            let at = self.rng.usize(..characters.len());
            let other = char::from(*self.rng.choice(b"0123456789-+:.TZ eE/a").expect("some"));
            match self.rng.u8(..3) {
                0 => characters[at] = other,
                1 => characters.insert(at, other),
                _ => drop(characters.remove(at)),
            }
        }
        let mended: String = characters.into_iter().collect();
        if text.starts_with('"') || mended.starts_with(' ') || !super::value::is_json(&mended) {
            Json::text(&mended)
        } else {
            Json::leaf(mended)
        }
    }

    fn fitting(&mut self, of: &ColumnType) -> Json {
        match of {
            ColumnType::Bool => Json::leaf(if self.rng.bool() { "true" } else { "false" }),
            ColumnType::Float32 | ColumnType::Float64 => Json::Leaf(self.float(of)),
            ColumnType::Decimal { precision, scale } => self.decimal(*precision, *scale),
            ColumnType::String => Json::Leaf(self.text(12)),
            ColumnType::FixedString(bytes) => {
                Json::Leaf(self.text(usize::try_from(*bytes).expect("small") / 2))
            }
            ColumnType::Uuid => Json::Leaf(self.uuid()),
            ColumnType::Enum8(names) => self.name(names.iter().map(|(name, _)| name)),
            ColumnType::Enum16(names) => self.name(names.iter().map(|(name, _)| name)),
            ColumnType::Ipv4 => Json::text(&std::net::Ipv4Addr::from(self.rng.u32(..)).to_string()),
            ColumnType::Ipv6 => Json::Leaf(self.ipv6()),
            ColumnType::Date
            | ColumnType::Date32
            | ColumnType::DateTime { .. }
            | ColumnType::DateTime64 { .. } => Json::text(&moments::text(&mut self.rng, of)),
            ColumnType::Nullable(_) if self.rng.u8(..5) == 0 => Json::leaf("null"),
            ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => self.fitting(inner),
            ColumnType::Array(_) | ColumnType::Map(..) | ColumnType::Tuple(_) | ColumnType::Nested(_) => {
                self.composite(of)
            }
            ColumnType::Json(_) => self.document(3),
            _ => Json::Leaf(some_digits(&mut self.rng, of)),
        }
    }

    fn composite(&mut self, of: &ColumnType) -> Json {
        let count = self.rng.usize(..=ELEMENTS_MAX);
        match of {
            ColumnType::Array(inner) => Json::Array((0..count).map(|_| self.inside(inner)).collect()),
            ColumnType::Map(key, value) => {
                Json::Object((0..count).map(|_| (self.key(key), self.inside(value))).collect())
            }
            ColumnType::Tuple(fields) => self.tuple(fields),
            ColumnType::Nested(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, of)| (Some(name.clone()), of.clone())).collect();
                Json::Array((0..count).map(|_| self.tuple(&fields)).collect())
            }
            of => self.fitting(of),
        }
    }

    /// Fields by name in any order or by place; now and then one is missing, too many or there twice.
    fn tuple(&mut self, fields: &[(Option<String>, ColumnType)]) -> Json {
        let by_name = fields.iter().all(|(name, _)| name.is_some()) && self.rng.u8(..8) != 0;
        let mut entries: Vec<(Json, Json)> = fields
            .iter()
            .map(|(name, of)| (Json::text(name.as_deref().unwrap_or_default()), self.inside(of)))
            .collect();
        if by_name && self.rng.bool() {
            self.rng.shuffle(&mut entries);
        }
        match self.rng.u8(..12) {
            0 => drop(entries.pop()),
            1 => entries.push((Json::text("other"), Json::leaf("1"))),
            2 => entries.extend(entries.first().cloned()),
            _ => {}
        }
        if by_name {
            Json::Object(entries)
        } else {
            Json::Array(entries.into_iter().map(|(_, v)| v).collect())
        }
    }

    /// A key: a text, or the text of what would stand bare as a value.
    fn key(&mut self, of: &ColumnType) -> Json {
        let Json::Leaf(text) = self.inside(of) else { return Json::text("a") };
        if text.starts_with('"') { Json::Leaf(text) } else { Json::text(&text) }
    }

    /// Any JSON, for columns of type JSON.
    fn document(&mut self, depth: u8) -> Json {
        let count = self.rng.usize(..=ELEMENTS_MAX);
        Json::Object(
            (0..count)
                .map(|_| {
                    (
                        Json::text(self.rng.choice(["a", "b", "c", "d e", "é"]).expect("some")),
                        self.any_json(depth),
                    )
                })
                .collect(),
        )
    }

    fn any_json(&mut self, depth: u8) -> Json {
        match self.rng.u8(..8) {
            0 if depth > 0 => self.document(depth - 1),
            1 if depth > 0 => {
                let count = self.rng.usize(..=ELEMENTS_MAX);
                Json::Array((0..count).map(|_| self.any_json(depth - 1)).collect())
            }
            2 => Json::Leaf(self.text(8)),
            3 => Json::Leaf(some_digits(&mut self.rng, &ColumnType::Int64)),
            4 => Json::Leaf(self.float(&ColumnType::Float64)),
            _ => Json::of_text(self.rng.choice(OF_OTHER_KINDS).expect("some")),
        }
    }

    fn float(&mut self, of: &ColumnType) -> String {
        let digits = |rng: &mut Rng, most| -> String {
            (0..rng.usize(1..=most)).map(|_| char::from(b'0' + rng.u8(..10))).collect()
        };
        match (self.rng.u8(..5), of) {
            (0, ColumnType::Float32) => format!("{:e}", f32::from_bits(self.rng.u32(..0x7F80_0000))),
            (0, _) => format!("{:e}", f64::from_bits(self.rng.u64(..0x7FF0_0000_0000_0000))),
            (1, _) => format!("{}", self.rng.i32(..)),
            (2, _) => format!("-{}.{}", self.rng.u16(..), digits(&mut self.rng, 20)),
            (3, _) => {
                format!("{}.{}e{}", self.rng.u8(..10), digits(&mut self.rng, 20), self.rng.i16(-60..60))
            }
            (_, _) => format!("{}.{}", self.rng.u32(..), digits(&mut self.rng, 8)),
        }
    }

    fn decimal(&mut self, precision: u8, scale: u8) -> Json {
        let digits: String = (0..precision).map(|_| char::from(b'0' + self.rng.u8(..10))).collect();
        let (whole, fraction) = digits.split_at(usize::from(precision - scale));
        let whole = whole.trim_start_matches('0');
        let whole = &whole[self.rng.usize(..=whole.len())..].trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = &fraction[..self.rng.usize(..=fraction.len())];
        let sign = if self.rng.bool() { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{sign}{whole}{point}{fraction}");
        if self.rng.u8(..5) == 0 { Json::text(&text) } else { Json::Leaf(text) }
    }

    /// A string of a few pieces, written out.
    fn text(&mut self, pieces: usize) -> String {
        const PIECES: [&str; 18] = [
            "a",
            "Z",
            "0",
            " ",
            "é",
            "日",
            "😀",
            r"\n",
            r"\t",
            r"\\",
            r#"\""#,
            r"\/",
            r"\u0000",
            r"\u00e9",
            r"\ud83d\ude00",
            "null",
            "\u{7f}",
            "'",
        ];
        let count = self.rng.usize(..=pieces);
        let inside: String = (0..count).map(|_| *self.rng.choice(&PIECES).expect("some")).collect();
        format!("\"{inside}\"")
    }

    fn uuid(&mut self) -> String {
        let digits = format!("{:032x}", self.rng.u128(..));
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        match self.rng.u8(..6) {
            0 => quoted(&digits),
            1 => quoted(&parts.join("-").to_uppercase()),
            _ => quoted(&parts.join("-")),
        }
    }

    fn ipv6(&mut self) -> String {
        let mut bits = self.rng.u128(..);
        // Runs of zeros are what the short form is about.
        for _ in 0..self.rng.u8(..5) {
            bits &= !(0xFFFF << (16 * self.rng.u32(..8)));
        }
        let address = match self.rng.u8(..4) {
            0 => std::net::Ipv4Addr::from(self.rng.u32(..)).to_ipv6_mapped(),
            _ => std::net::Ipv6Addr::from(bits),
        };
        quoted(&address.to_string())
    }

    fn name<'n>(&mut self, names: impl Iterator<Item = &'n String>) -> Json {
        Json::text(&self.rng.choice(names.collect::<Vec<_>>()).expect("an enum has names").clone())
    }
}
