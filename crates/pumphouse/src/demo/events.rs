//! Realistic application metrics as JSON, a pure function of seed, partition and sequence: what any record
//! must look like, and whether it is bad, can be told again at any time. Does not know the clock or Kafka.

use super::bad::BadKind;

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A row.
    Good,
    /// A dead letter, for this reason.
    Bad(BadKind),
}

/// Where a record stands: the partition, and how many records the generator wrote to it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The number within the partition, from 0.
    pub sequence: u64,
}

/// Makes the records of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    seed: u64,
    bad_per_mille: u16,
}

/// The columns that the records fill, as a stream of the configuration declares them.
pub const COLUMNS: [(&str, &str); 14] = [
    ("event_id", "UUID"),
    ("ts", "DateTime64(3)"),
    ("service", "LowCardinality(String)"),
    ("endpoint", "LowCardinality(String)"),
    ("tier", "LowCardinality(String)"),
    ("region", "LowCardinality(String)"),
    ("status", "UInt16"),
    ("duration_ms", "Float64"),
    ("method", "LowCardinality(String)"),
    ("host", "LowCardinality(String)"),
    ("bytes_sent", "UInt64"),
    ("tags", "Map(String, String)"),
    ("city", "{ type: \"Nullable(String)\", from: geo.city }"),
    ("trace_id", "String"),
];

/// One endpoint of a service: method, path and its usual time in microseconds.
type Endpoint = (&'static str, &'static str, u64);

/// Services with their endpoints; the first ones of both get most of the traffic.
#[rustfmt::skip]
const SERVICES: [(&str, [Endpoint; 5]); 12] = [
    ("catalog", [("GET", "/v2/products", 9_000), ("GET", "/v2/products/{id}", 4_000),
        ("GET", "/v2/categories", 3_000), ("GET", "/v2/prices", 5_000), ("PUT", "/v2/products/{id}", 21_000)]),
    ("search", [("GET", "/v1/search", 38_000), ("GET", "/v1/suggest", 7_000),
        ("GET", "/v1/facets", 24_000), ("POST", "/v1/search/saved", 15_000), ("GET", "/v1/trending", 11_000)]),
    ("identity", [("POST", "/v1/sessions", 62_000), ("GET", "/v1/me", 2_000),
        ("POST", "/v1/token", 18_000), ("DELETE", "/v1/sessions", 6_000), ("POST", "/v1/password", 88_000)]),
    ("cart", [("GET", "/v1/cart", 5_000), ("POST", "/v1/cart/items", 12_000),
        ("DELETE", "/v1/cart/items/{id}", 9_000), ("POST", "/v1/cart/coupon", 17_000), ("PUT", "/v1/cart", 13_000)]),
    ("checkout", [("GET", "/v2/orders/{id}", 8_000), ("POST", "/v2/orders", 95_000),
        ("GET", "/v2/orders", 16_000), ("POST", "/v2/orders/{id}/cancel", 44_000), ("GET", "/v2/quote", 27_000)]),
    ("payments", [("POST", "/v1/charges", 180_000), ("GET", "/v1/charges/{id}", 7_000),
        ("POST", "/v1/refunds", 140_000), ("GET", "/v1/methods", 5_000), ("POST", "/v1/webhooks", 10_000)]),
    ("media", [("GET", "/img/{id}", 3_000), ("GET", "/img/{id}/thumb", 2_000),
        ("POST", "/img", 210_000), ("DELETE", "/img/{id}", 14_000), ("GET", "/video/{id}", 33_000)]),
    ("accounts", [("GET", "/v3/users/{id}", 4_000), ("PATCH", "/v3/users/{id}", 19_000),
        ("GET", "/v3/addresses", 5_000), ("POST", "/v3/addresses", 16_000), ("POST", "/v3/users", 48_000)]),
    ("delivery", [("GET", "/v1/slots", 29_000), ("GET", "/v1/parcels/{id}", 9_000),
        ("POST", "/v1/parcels", 36_000), ("GET", "/v1/depots", 6_000), ("POST", "/v1/scan", 8_000)]),
    ("notify", [("POST", "/v1/push", 26_000), ("POST", "/v1/mail", 31_000),
        ("GET", "/v1/inbox", 7_000), ("PUT", "/v1/inbox/read", 9_000), ("GET", "/v1/settings", 3_000)]),
    ("billing", [("GET", "/v1/invoices", 14_000), ("GET", "/v1/invoices/{id}", 6_000),
        ("POST", "/v1/usage", 5_000), ("GET", "/v1/plan", 3_000), ("PUT", "/v1/plan", 72_000)]),
    ("support", [("GET", "/v1/tickets", 18_000), ("POST", "/v1/tickets", 41_000),
        ("GET", "/v1/faq", 2_000), ("POST", "/v1/chat", 55_000), ("GET", "/v1/tickets/{id}", 8_000)]),
];
/// Of 1,024 requests, how many go to the services up to this one.
const SERVICE_UP_TO: [u64; 12] = [260, 430, 560, 670, 750, 810, 870, 920, 955, 985, 1008, 1024];
const REGIONS: [&str; 8] = [
    "eu-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-1",
    "us-east-1",
    "us-east-1",
    "us-west-2",
    "ap-south-1",
];
const TIERS: [&str; 8] = ["free", "free", "free", "free", "free", "pro", "pro", "enterprise"];
const VERSIONS: [&str; 4] = ["4.12.0", "4.12.1", "4.11.7", "4.13.0"];
const ZONES: [&str; 4] = ["a", "b", "c", "b"];
const CANARY: [&str; 4] = ["no", "no", "no", "yes"];
const CITIES: [&str; 15] = [
    "Berlin",
    "Paris",
    "Lisboa",
    "London",
    "Zürich",
    "Kraków",
    "Oslo",
    "New York",
    "Chicago",
    "Austin",
    "Seattle",
    "Mumbai",
    "Pune",
    "Madrid",
    "São Paulo",
];

impl Generator {
    /// A generator of which `bad_per_mille` of 1,000 records are bad, chosen by hash.
    #[must_use]
    pub fn new(seed: u64, bad_per_mille: u16) -> Self {
        Self { seed, bad_per_mille }
    }

    /// What must become of the record at `place`.
    #[must_use]
    pub fn expected(&self, place: Place) -> Expected {
        let draw = Draws::new(self.seed ^ 0xbad0_bad0_bad0_bad0, place).next();
        if draw % 1000 >= u64::from(self.bad_per_mille) {
            return Expected::Good;
        }
        let kinds = BadKind::ALL.len() as u64;
        Expected::Bad(BadKind::ALL[usize::from(low16((draw / 1000) % kinds))])
    }

    /// Writes the record at `place` over `event` and tells what must become of it. The time is milliseconds
    /// since 1970-01-01 UTC.
    pub fn write(&self, place: Place, time: i64, event: &mut Vec<u8>) -> Expected {
        event.clear();
        write_event(&mut Draws::new(self.seed, place), time, event);
        let expected = self.expected(place);
        if let Expected::Bad(kind) = expected {
            kind.spoil(event);
        }
        expected
    }
}

/// Numbers drawn for one record, by `SplitMix64`.
struct Draws(u64);

impl Draws {
    fn new(seed: u64, place: Place) -> Self {
        let partition = scramble(seed ^ (u64::from(place.partition) << 32) ^ 0x9e37_79b9);
        Self(scramble(partition ^ place.sequence))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }
}

fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn write_event(draws: &mut Draws, time: i64, event: &mut Vec<u8>) {
    let (id_high, id_low, trace) = (draws.next(), draws.next(), draws.next());
    let mut bits = Bits(draws.next());
    let (service, endpoints) = &SERVICES[service_of(bits.take(10))];
    let (method, path, usual) = endpoints[usize::from(low16(((bits.take(8) * bits.take(8)) * 5) >> 16))];
    let status = status_of(bits.take(10), method);
    let micros = usual / 2 + usual * 64 / (bits.take(10) + 1);

    event.extend_from_slice(b"{\"event_id\":\"");
    push_uuid(event, id_high, id_low);
    event.extend_from_slice(b"\",\"ts\":\"");
    push_time(event, time);
    push_text(event, b"\",\"service\":\"", service);
    push_text(event, b"\",\"endpoint\":\"", path);
    push_text(event, b"\",\"tier\":\"", pick(&TIERS, bits.take(3)));
    push_text(event, b"\",\"region\":\"", pick(&REGIONS, bits.take(3)));
    event.extend_from_slice(b"\",\"status\":");
    push_number(event, status);
    event.extend_from_slice(b",\"duration_ms\":");
    push_thousandths(event, micros);
    push_text(event, b",\"method\":\"", method);
    push_text(event, b"\",\"host\":\"", service);
    event.push(b'-');
    let mut rest = Bits(draws.next());
    push_number(event, rest.take(5) + 1);
    event.extend_from_slice(b"\",\"bytes_sent\":");
    push_number(event, 180 + rest.take(8) * rest.take(8));
    push_text(event, b",\"tags\":{\"version\":\"", pick(&VERSIONS, rest.take(2)));
    push_text(event, b"\",\"az\":\"", pick(&ZONES, rest.take(2)));
    push_text(event, b"\",\"canary\":\"", pick(&CANARY, rest.take(2)));
    match CITIES.get(usize::from(low16(rest.take(4)))) {
        Some(city) => push_text(event, b"\"},\"geo\":{\"city\":\"", city),
        None => event.extend_from_slice(b"\"},\"geo\":{\"city\":null"),
    }
    event.extend_from_slice(if event.ends_with(b"null") { b"}" } else { b"\"}" });
    event.extend_from_slice(b",\"trace_id\":\"");
    push_hex(event, trace, 16);
    event.extend_from_slice(b"\"}");
}

/// Small numbers cut from one draw.
struct Bits(u64);

impl Bits {
    fn take(&mut self, bits: u32) -> u64 {
        let taken = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        taken
    }
}

fn service_of(draw: u64) -> usize {
    SERVICE_UP_TO.iter().position(|up_to| draw < *up_to).unwrap_or(0)
}

/// About 1.5 % server errors and 4 % client errors.
fn status_of(draw: u64, method: &str) -> u64 {
    match draw {
        0..8 => 500,
        8..12 => 502,
        12..15 => 503,
        15..30 => 404,
        30..44 => 401,
        44..52 => 400,
        52..56 => 429,
        56..96 if method == "GET" => 304,
        _ if method == "POST" => 201,
        _ if method == "DELETE" => 204,
        _ => 200,
    }
}

fn pick<'a>(choices: &[&'a str], draw: u64) -> &'a str {
    choices[usize::from(low16(draw)) % choices.len()]
}

#[expect(clippy::cast_possible_truncation, reason = "the callers draw fewer than 16 bits")]
fn low16(draw: u64) -> u16 {
    draw as u16
}

fn push_text(event: &mut Vec<u8>, before: &[u8], text: &str) {
    event.extend_from_slice(before);
    event.extend_from_slice(text.as_bytes());
}

fn push_number(event: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    event.extend_from_slice(&digits[at..]);
}

fn push_thousandths(event: &mut Vec<u8>, thousandths: u64) {
    push_number(event, thousandths / 1000);
    event.push(b'.');
    push_padded(event, thousandths % 1000, 3);
}

fn push_padded(event: &mut Vec<u8>, number: u64, width: u32) {
    for place in (0..width).rev() {
        event.push(digit(number / 10_u64.pow(place) % 10));
    }
}

fn digit(below_ten: u64) -> u8 {
    b"0123456789"[usize::from(low16(below_ten))]
}

fn push_hex(event: &mut Vec<u8>, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        event.push(b"0123456789abcdef"[usize::from(low16(number >> (4 * place) & 15))]);
    }
}

/// A UUID of version 4 and the usual variant.
fn push_uuid(event: &mut Vec<u8>, high: u64, low: u64) {
    push_hex(event, high >> 32, 8);
    event.push(b'-');
    push_hex(event, high >> 16, 4);
    event.push(b'-');
    push_hex(event, (high & 0x0fff) | 0x4000, 4);
    event.push(b'-');
    push_hex(event, (low >> 48 & 0x3fff) | 0x8000, 4);
    event.push(b'-');
    push_hex(event, low, 12);
}

/// Writes a time as `2026-11-21T10:00:00.123Z`; one outside of the years 0 to 9999 is drawn to them.
fn push_time(event: &mut Vec<u8>, time: i64) {
    const DAY: i64 = 86_400_000;
    let time = time.clamp(-62_167_219_200_000, 253_402_300_799_999);
    let (year, month, day) = civil_date(time.div_euclid(DAY));
    let millis = time.rem_euclid(DAY).unsigned_abs();
    push_padded(event, year, 4);
    event.push(b'-');
    push_padded(event, month, 2);
    event.push(b'-');
    push_padded(event, day, 2);
    event.push(b'T');
    push_padded(event, millis / 3_600_000, 2);
    event.push(b':');
    push_padded(event, millis / 60_000 % 60, 2);
    event.push(b':');
    push_padded(event, millis / 1000 % 60, 2);
    event.push(b'.');
    push_padded(event, millis % 1000, 3);
    event.push(b'Z');
}

/// Year, month and day of a number of days since 1970-01-01, for the years 0 to 9999. Counts in eras of 400
/// years that begin on March 1, so that the leap day is the last one of its year.
fn civil_date(days: i64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = (days + 719_468 + 146_097).unsigned_abs();
    let (era, day) = (days / ERA, days % ERA);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2) - 400;
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Instant;

    const NOW: i64 = 1_795_255_323_456;

    fn written(generator: Generator, partition: u32, sequence: u64) -> (Vec<u8>, Expected) {
        let mut event = b"left from before".to_vec();
        let expected = generator.write(Place { partition, sequence }, NOW, &mut event);
        (event, expected)
    }

    fn parsed(generator: Generator, sequence: u64) -> serde_json::Value {
        serde_json::from_slice(&written(generator, 3, sequence).0).expect("a good record is JSON")
    }

    #[test]
    fn the_same_place_gives_the_same_record_and_any_other_place_another_one() {
        let generator = Generator::new(7, 0);
        assert_eq!(written(generator, 2, 5), written(generator, 2, 5));
        let places = (0..20).flat_map(|partition| (0..500).map(move |sequence| (partition, sequence)));
        let distinct: BTreeSet<_> = places.map(|(p, s)| written(generator, p, s).0).collect();
        assert_eq!(distinct.len(), 20 * 500);
        assert_ne!(written(generator, 2, 5), written(Generator::new(8, 0), 2, 5));
    }

    #[test]
    fn a_good_record_looks_like_this() {
        let (event, expected) = written(Generator::new(1, 0), 0, 0);
        assert_eq!(expected, Expected::Good);
        insta::assert_snapshot!(String::from_utf8(event).expect("UTF-8"));
    }

    #[test]
    fn records_are_about_350_bytes_long() {
        let generator = Generator::new(1, 0);
        let bytes: usize = (0..50_000).map(|sequence| written(generator, 0, sequence).0.len()).sum();
        let mean = bytes / 50_000;
        assert!((340..=360).contains(&mean), "{mean} bytes on average");
    }

    #[test]
    fn every_service_endpoint_tier_and_a_missing_city_occur() {
        let generator = Generator::new(1, 0);
        let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for sequence in 0..40_000 {
            let event = parsed(generator, sequence);
            for field in ["service", "tier", "region", "status"] {
                seen.entry(field).or_default().insert(event[field].to_string());
            }
            let endpoint = format!("{} {} {}", event["service"], event["method"], event["endpoint"]);
            seen.entry("endpoint").or_default().insert(endpoint);
            seen.entry("city").or_default().insert(event["geo"]["city"].to_string());
        }
        let counts: BTreeMap<_, _> = seen.iter().map(|(field, values)| (*field, values.len())).collect();
        assert_eq!(counts["service"], 12);
        assert_eq!(counts["endpoint"], 60);
        assert_eq!((counts["tier"], counts["region"], counts["city"]), (3, 5, 16));
        assert!(seen["city"].contains("null") && seen["status"].len() >= 9);
    }

    #[test]
    fn as_many_records_are_bad_as_was_asked_for_and_of_every_kind() {
        let generator = Generator::new(42, 5);
        let mut kinds = BTreeMap::new();
        for sequence in 0..200_000 {
            let place = Place { partition: 1, sequence };
            if let Expected::Bad(kind) = generator.expected(place) {
                *kinds.entry(kind).or_insert(0) += 1;
            }
        }
        let bad: i32 = kinds.values().sum();
        assert!((900..1100).contains(&bad), "{bad} of 200,000");
        assert_eq!(kinds.len(), BadKind::ALL.len());
    }

    #[test]
    fn only_bad_records_fail_to_parse_or_differ_from_the_good_one_at_their_place() {
        let (some_bad, none_bad) = (Generator::new(42, 300), Generator::new(42, 0));
        for sequence in 0..5_000 {
            let (event, expected) = written(some_bad, 4, sequence);
            let (good, _) = written(none_bad, 4, sequence);
            assert_eq!(expected, some_bad.expected(Place { partition: 4, sequence }));
            assert_eq!(event == good, expected == Expected::Good, "{sequence}");
            serde_json::from_slice::<serde_json::Value>(&good).expect("JSON");
        }
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for time in [NOW, 0, -1, 951_782_400_000, 951_868_799_999, 4_107_542_400_000, -62_135_596_800_000] {
            let mut text = Vec::new();
            push_time(&mut text, time);
            let stamp = jiff::Timestamp::from_millisecond(time).expect("in range");
            assert_eq!(String::from_utf8(text).expect("ASCII"), format!("{stamp:.3}"));
        }
    }

    #[test]
    fn identifiers_are_uuids_of_version_4() {
        for sequence in 0..1_000 {
            let event = parsed(Generator::new(9, 0), sequence);
            let id = event["event_id"].as_str().expect("a text");
            assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
            assert_eq!(&id[14..15], "4");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn every_column_has_its_field_in_every_record() {
        let event = parsed(Generator::new(1, 0), 0);
        for (name, _) in COLUMNS.into_iter().filter(|(name, _)| *name != "city") {
            assert!(event.get(name).is_some(), "{name}");
        }
        assert!(event["geo"].get("city").is_some());
    }

    #[test]
    fn the_speed_is_printed() {
        let generator = Generator::new(1, 5);
        let (mut event, mut bytes, begun) = (Vec::new(), 0, Instant::now());
        for sequence in 0..200_000 {
            generator.write(Place { partition: 0, sequence }, NOW, &mut event);
            bytes += event.len();
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:.0} records/s, {bytes} bytes", 200_000.0 / seconds);
        assert!(bytes > 0);
    }
}
