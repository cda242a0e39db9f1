//! Where pumphouse and `JSONEachRow` differ: each class with who refuses and why, and what its values have in common.
//! The page `docs/guide/types.md` has the same list. Every class compares spellings; none asks the decoder.

use pumphouse::config::settings::{EpochUnit, Numbers};
use pumphouse_core::schema::ColumnType;

use super::compare::Verdict;
use super::digits;
use super::documents;
use super::kinds::{self, Local};
use super::value::{self, Json, Place, places};

/// Which way the two disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// ClickHouse stores something.
    OnlyPumphouseRefuses,
    /// pumphouse stores something.
    OnlyClickHouseRefuses,
    /// Both store, and not the same.
    StoredDifferently,
}

/// One disagreement.
pub(super) struct Case<'c> {
    pub(super) of: &'c ColumnType,
    pub(super) numbers: Numbers,
    pub(super) epoch: Option<EpochUnit>,
    pub(super) json: &'c Json,
    pub(super) ours: &'c Verdict,
    pub(super) theirs: &'c Verdict,
    pub(super) side: Side,
}

/// A class of disagreements.
pub(super) struct Difference {
    /// What its values are.
    pub(super) name: &'static str,
    pub(super) side: Side,
    /// The codes that pumphouse refuses with; none where it stores.
    pub(super) codes: &'static [&'static str],
    /// What the other side does, and why pumphouse does not.
    pub(super) why: &'static str,
    /// Whether a place in the value is what the class is about.
    at: fn(&Case<'_>, &Place<'_>) -> bool,
}

impl Difference {
    /// Whether a disagreement belongs to this class.
    pub(super) fn holds(&self, case: &Case<'_>) -> bool {
        let same_verdict = self.side == case.side
            && (self.codes.contains(&case.ours.code())
                || self.codes.is_empty() && case.ours.code().is_empty());
        same_verdict && places(case.of, case.json).iter().any(|place| (self.at)(case, place))
    }

    /// The class's row on the page.
    pub(super) fn row(&self) -> String {
        let who = match self.side {
            Side::OnlyPumphouseRefuses => format!("pumphouse refuses, {}", self.codes.join(" or ")),
            Side::OnlyClickHouseRefuses => "ClickHouse refuses".to_owned(),
            Side::StoredDifferently => "both store".to_owned(),
        };
        format!("| {} | {who} | {} |", self.name, self.why)
    }
}

const fn refused(
    name: &'static str,
    codes: &'static [&'static str],
    why: &'static str,
    at: fn(&Case<'_>, &Place<'_>) -> bool,
) -> Difference {
    Difference { name, side: Side::OnlyPumphouseRefuses, codes, why, at }
}

const fn taken(name: &'static str, why: &'static str, at: fn(&Case<'_>, &Place<'_>) -> bool) -> Difference {
    Difference { name, side: Side::OnlyClickHouseRefuses, codes: &[], why, at }
}

/// Every class, in the order of the page; a disagreement belongs to the first that holds.
pub(super) const DIFFERENCES: &[Difference] = &[
    refused(
        "a text that is not JSON",
        &["PH-0100"],
        "ClickHouse reads `01`, `+1`, `.5`, `1.`, `NaN`, unknown escapes, bare control characters and nothing at all; \
         other readers of the same topic do not, so the producer is at fault",
        |case, _| !value::is_json(&case.json.written()),
    ),
    refused(
        "half of a surrogate pair",
        &["PH-0112"],
        "ClickHouse stores a lone low half as three bytes that are no UTF-8",
        |_, place| place.raw().to_ascii_lowercase().contains("\\ud"),
    ),
    refused(
        "the same key twice in a map",
        &["PH-0109"],
        "ClickHouse stores both; readers disagree on which one counts",
        |_, place| kinds::has_key_twice(place),
    ),
    refused(
        "null for a column that is not Nullable",
        &["PH-0102"],
        "ClickHouse stores 0, `nan` or 1970-01-01, also with `input_format_null_as_default = 0`",
        |_, place| place.raw() == "null" && !place.of.is_nullable(),
    ),
    refused(
        "a whole number outside its range",
        &["PH-0104"],
        "ClickHouse keeps the low bits: 256 is 0 in a UInt8",
        |_, place| place.number().is_some_and(|number| digits::is_outside(place.of, &number)),
    ),
    refused(
        "true or false for a whole number",
        &["PH-0103"],
        "ClickHouse takes them for 1 and 0 in 8 bits and refuses them in more; `numbers: coerce` takes them in every width",
        |_, place| kinds::is_whole(place.of) && matches!(place.raw(), "true" | "false"),
    ),
    refused(
        "a number in quotes for an integer of up to 32 bits or a float",
        &["PH-0103"],
        "a text is no number; `numbers: coerce` takes it. Wider integers and decimals take digits in quotes either way, \
         since most readers of JSON round bare ones",
        |case, place| {
            case.numbers == Numbers::Strict
                && kinds::is_number(place.of)
                && place.said().is_some()
                && place.number().is_some()
        },
    ),
    refused(
        "a text that only resembles a number",
        &["PH-0103"],
        "ClickHouse reads `\"\"` as 0, `\"01\"` and `\"+1\"` as 1, `\"84..29\"` as 84.29, `\"nan\"` and `\"inf\"` as floats without a value",
        |_, place| kinds::is_number(place.of) && place.said().is_some() && place.number().is_none(),
    ),
    refused(
        "1 and 0 for a Bool",
        &["PH-0103"],
        "a number is no truth value, unless `numbers: coerce` says so",
        |_, place| *place.of == ColumnType::Bool && matches!(place.raw(), "0" | "1"),
    ),
    refused("a number too large for a float", &["PH-0104"], "ClickHouse stores `inf`", |_, place| {
        place.number().is_some_and(|number| kinds::is_infinite(place.of, &number))
    }),
    refused(
        "a whole number that a float can't hold",
        &["PH-0105"],
        "ClickHouse stores the nearest one it can: 16777217 is 16777216 in a Float32. Whole numbers are counted on",
        |_, place| place.number().is_some_and(|number| kinds::is_rounded(place.of, &number)),
    ),
    refused("a number so small that a float would be 0", &["PH-0105"], "ClickHouse stores 0", |_, place| {
        place.number().is_some_and(|number| kinds::is_flushed(place.of, &number))
    }),
    refused(
        "digits behind a decimal's scale",
        &["PH-0105"],
        "ClickHouse cuts them off: 1.005 is 1 in a Decimal(9, 2)",
        |_, place| {
            let ColumnType::Decimal { scale, .. } = place.of else { return false };
            place.number().is_some_and(|number| kinds::has_more_places(&number, *scale))
        },
    ),
    refused(
        "leading zeros in an IPv4 address",
        &["PH-0117"],
        "ClickHouse reads them as decimal, other readers as octal",
        |_, place| {
            let is_address = matches!(place.of, ColumnType::Ipv4 | ColumnType::Ipv6);
            is_address && place.said().is_some_and(|text| kinds::has_leading_zeros(&text))
        },
    ),
    refused(
        "an IPv6 address of eight groups and `::`",
        &["PH-0117"],
        "ClickHouse lets `::` stand for nothing; it is short for one group of zeros or more, so a group is one too many",
        |_, place| *place.of == ColumnType::Ipv6 && place.said().is_some_and(|text| text.contains("::")),
    ),
    refused(
        "JSON: one path twice",
        &["PH-0109"],
        "ClickHouse refuses two values there, and keeps a value beside an object: `{\"a\":1,\"a\":{\"b\":2}}` is then shown with `a` twice",
        |_, place| matches!(place.of, ColumnType::Json(_)) && documents::has_path_twice(place.json),
    ),
    refused(
        "JSON: a whole number past 2^53 in an array",
        &["PH-0105"],
        "ClickHouse makes it a float where a float stands in the same array, of this row or another; that can't be told beforehand",
        |_, place| {
            matches!(place.of, ColumnType::Json(_)) && documents::has_large_in_array(place.json, false)
        },
    ),
    refused(
        "JSON: a number so small that a Float64 would be 0",
        &["PH-0105"],
        "ClickHouse stores 0",
        |_, place| matches!(place.of, ColumnType::Json(_)) && documents::has_flushed(place.json),
    ),
    refused(
        "JSON: null beside an array, in an array",
        &["PH-0102"],
        "ClickHouse takes it or refuses the whole block, by what else is there; a refused block would stop the stream",
        |_, place| matches!(place.of, ColumnType::Json(_)) && documents::has_null_beside_array(place.json),
    ),
    refused(
        "JSON: more than four arrays straight inside each other",
        &["PH-0110"],
        "each level adds types to the path in ClickHouse; past its limit it makes whole numbers floats",
        |_, place| matches!(place.of, ColumnType::Json(_)) && documents::has_deep_arrays(place.json),
    ),
    refused(
        "the number of an enum's name",
        &["PH-0103", "PH-0116"],
        "ClickHouse takes the number for the name, in quotes too, unless it is a name itself; numbers may be dealt anew, names stay. `numbers: coerce` takes bare ones",
        |_, place| {
            matches!(place.of, ColumnType::Enum8(_) | ColumnType::Enum16(_)) && kinds::resembles_whole(place)
        },
    ),
    refused(
        "a number for a date or time without a declared unit",
        &["PH-0113"],
        "ClickHouse guesses by type and size: days, seconds, or ticks of the precision; out of range it wraps. Declare `epoch`",
        |case, place| case.epoch.is_none() && kinds::is_moment(place.of) && value::is_number(place.raw()),
    ),
    refused(
        "a day that no calendar has",
        &["PH-0106"],
        "ClickHouse counts on: 2024-02-30 is 2024-03-01, and 0000-00-00 is the first day there is",
        |_, place| {
            kinds::is_moment(place.of) && place.said().is_some_and(|text| kinds::is_impossible_day(&text))
        },
    ),
    refused(
        "a date in another form than YYYY-MM-DD",
        &["PH-0106"],
        "ClickHouse reads `20240105`, `2024-1-5` and `2024/01/05`; which part is the month is then a guess",
        |_, place| kinds::is_day(place.of) && place.said().is_some_and(|text| !kinds::has_form_of_day(&text)),
    ),
    refused(
        "a date outside its range",
        &["PH-0104"],
        "ClickHouse stores the first or the last day there is",
        |case, place| {
            let in_text = place.said().is_some_and(|text| kinds::is_day_outside(place.of, &text));
            in_text || kinds::is_day(place.of) && kinds::is_instant_outside(place, case.epoch)
        },
    ),
    refused(
        "a number of a declared unit that is no whole day, for a date",
        &["PH-0105"],
        "ClickHouse knows no unit and takes small numbers for days",
        |case, place| case.epoch.is_some() && kinds::is_day(place.of) && place.number().is_some(),
    ),
    refused(
        "a local time that its zone skips",
        &["PH-0106"],
        "no such instant; ClickHouse stores one an hour or so away. An offset in the text says which instant is meant",
        |_, place| kinds::local(place) == Some(Local::Skipped),
    ),
    refused(
        "a local time that its zone shows twice",
        &["PH-0106"],
        "two such instants; ClickHouse takes one of them. An offset in the text says which one is meant",
        |_, place| kinds::local(place) == Some(Local::Twice),
    ),
    refused(
        "an hour, minute, second or offset that no clock shows",
        &["PH-0106"],
        "ClickHouse counts on: 25:00 is 01:00 of the next day, and a leap second is the second after it",
        |_, place| {
            kinds::is_time(place.of) && place.said().is_some_and(|text| kinds::is_impossible_clock(&text))
        },
    ),
    refused(
        "a time in another form than ISO 8601",
        &["PH-0106"],
        "`best_effort` reads nearly anything: `1` is the first day of this year, `01/02/2024` is in February, a date alone is \
         midnight, digits in quotes are seconds or finer by their number",
        |_, place| {
            kinds::is_time(place.of) && place.said().is_some_and(|text| !kinds::has_form_of_time(&text))
        },
    ),
    refused(
        "a time outside its range",
        &["PH-0104"],
        "ClickHouse stores the first or last instant of a DateTime; in a DateTime64 it stores years outside of 1900 to 2299, for which \
         it promises no right arithmetic, and wraps beyond them",
        |case, place| kinds::is_instant_outside(place, case.epoch),
    ),
    refused(
        "a fraction finer than the column's precision",
        &["PH-0105"],
        "ClickHouse cuts it off; trailing zeros are taken by both",
        |case, place| kinds::has_finer_fraction(place, case.epoch),
    ),
    taken(
        "a Nullable element that a tuple or an object of a Nested does not have",
        "it is null, as a missing field of a record is; ClickHouse refuses that, or fills everything missing with zeros",
        |_, place| kinds::lacks_nullable(place),
    ),
    taken("minus zero for an unsigned number", "-0 is 0; ClickHouse stops at the sign", |_, place| {
        kinds::is_unsigned(place.of) && place.number().is_some_and(|number| digits::is_minus_zero(&number))
    }),
    taken(
        "zero with an exponent for a decimal",
        "0e400 is 0; ClickHouse looks at the exponent first",
        |_, place| {
            matches!(place.of, ColumnType::Decimal { .. })
                && place.number().is_some_and(|number| kinds::is_zero(&number))
        },
    ),
    taken(
        "`coerce`: a whole number spelled with a point or an exponent",
        "1.0 and 1e3 are whole; ClickHouse wants bare digits",
        |case, place| {
            case.numbers == Numbers::Coerce
                && kinds::is_whole(place.of)
                && place.number().is_some_and(|number| !kinds::is_spelled_whole(&number))
        },
    ),
    taken(
        "`coerce`: true and false for a number",
        "1 and 0, in every width; ClickHouse takes them in 8 bits only",
        |case, place| {
            case.numbers == Numbers::Coerce
                && kinds::is_number(place.of)
                && matches!(place.raw(), "true" | "false")
        },
    ),
    taken(
        "`coerce`: \"true\" and \"false\" for a Bool",
        "what they say; ClickHouse wants them without quotes",
        |case, place| {
            case.numbers == Numbers::Coerce
                && *place.of == ColumnType::Bool
                && matches!(place.raw(), "\"true\"" | "\"false\"")
        },
    ),
    taken(
        "`coerce`: a number or a truth value for a text",
        "as it is spelled; ClickHouse does so under `input_format_json_read_numbers_as_strings` and the like, and respells some",
        |case, place| {
            let is_text = matches!(place.of, ColumnType::String | ColumnType::FixedString(_));
            case.numbers == Numbers::Coerce && is_text && !place.raw().starts_with('"')
        },
    ),
    taken(
        "a number of a declared unit with a point or an exponent, with `coerce` also in quotes",
        "1.7092098e9 seconds is a time; ClickHouse wants whole ticks, and in quotes no small ones",
        |case, place| case.epoch.is_some() && kinds::is_moment(place.of) && place.number().is_some(),
    ),
    Difference {
        name: "a number of a declared unit, for a date or in quotes",
        side: Side::StoredDifferently,
        codes: &[],
        why: "pumphouse knows the unit from `epoch`: 86400 seconds are 1970-01-02. ClickHouse counts 86400 days; in quotes it guesses the unit from \
              the number of digits",
        at: |case, place| case.epoch.is_some() && kinds::is_moment(place.of) && place.number().is_some(),
    },
    Difference {
        name: "JSON: the type of an array's elements",
        side: Side::StoredDifferently,
        codes: &[],
        why: "shown alike, every number kept; ClickHouse chooses `Array(Dynamic)` or an array of one type by what other rows of the same \
              insert hold",
        at: |case, place| {
            let is_json = matches!(place.of, ColumnType::Json(_));
            is_json && case.ours.is_alike_but_for_arrays(case.theirs)
        },
    },
];
