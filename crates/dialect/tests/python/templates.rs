//! Templates: what they render, and which are refused.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use unmasq_dialect::Template;
use unmasq_entry::{Entry, Fields, Value};
use unmasq_flow::Timestamp;

use crate::{Random, ask};

/// A value that both sides can make.
#[derive(Clone, Debug)]
enum Sample {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970, shown in UTC.
    Time(i64),
    /// Microseconds.
    Span(u64),
    Uuid([u8; 16]),
    List(Vec<Sample>),
}

impl Sample {
    /// As the oracle reads it.
    fn json(&self) -> Json {
        match self {
            Self::Null => json!(["plain", null]),
            Self::Bool(value) => json!(["plain", value]),
            Self::Integer(value) => json!(["plain", value]),
            Self::Float(value) => json!(["float", value.to_string()]),
            Self::Text(value) => json!(["plain", value]),
            Self::Bytes(value) => json!(["bytes", value]),
            Self::Time(micros) => {
                let time = jiff::Timestamp::from_microsecond(*micros).expect("small enough");
                json!(["time", TimeZone::UTC.to_datetime(time).to_string()])
            }
            Self::Span(micros) => json!(["span", micros]),
            Self::Uuid(bytes) => json!(["uuid", format!("{:032x}", u128::from_be_bytes(*bytes))]),
            Self::List(items) => json!(["list", items.iter().map(Self::json).collect::<Vec<_>>()]),
        }
    }

    fn put(&self, entry: &mut Entry, slot: unmasq_entry::Slot) {
        match self {
            Self::Null => entry.set(slot, Value::Null),
            Self::Bool(value) => entry.set(slot, Value::Bool(*value)),
            Self::Integer(value) => entry.set(slot, Value::Integer(*value)),
            Self::Float(value) => entry.set(slot, Value::Float(*value)),
            Self::Text(value) => entry.set(slot, Value::Text(value)),
            Self::Bytes(value) => entry.set(slot, Value::Bytes(value)),
            Self::Time(micros) => entry.set(slot, Value::Time(Timestamp::from_nanos(micros * 1000))),
            Self::Span(micros) => entry.set(slot, Value::Span(Duration::from_micros(*micros))),
            Self::Uuid(value) => entry.set(slot, Value::Uuid(*value)),
            Self::List(items) => {
                for item in items {
                    // A list is what comes of a repeated field.
                    let mut one = entry.clone();
                    one.remove(slot);
                    item.put(&mut one, slot);
                    let value = one.get(slot).expect("it was just set");
                    entry.push(slot, value);
                }
            }
        }
    }
}

/// As the oracle answers: text, or null for an error.
fn answer(template: &str, value: &Sample) -> Json {
    let mut fields = Fields::default();
    let slot = fields.slot("x");
    let Ok(template) = Template::parse(template, &mut fields) else { return Json::Null };
    let mut entry = Entry::new(&fields);
    value.put(&mut entry, slot);
    let mut out = "before".to_owned();
    match template.render(&entry, &TimeZone::UTC, &mut out) {
        Ok(()) => json!(out.strip_prefix("before")),
        Err(error) => {
            assert_eq!(out, "before", "after {error}");
            Json::Null
        }
    }
}

fn compare(pairs: &[(String, Sample)]) {
    let questions: Vec<Json> = pairs
        .iter()
        .map(|(template, value)| json!({"template": template, "values": {"x": value.json()}}))
        .collect();
    let expected = ask(&questions);
    let mut differing = 0;
    for ((template, value), expected) in pairs.iter().zip(expected) {
        let found = answer(template, value);
        if found != expected {
            differing += 1;
            println!("{template:?} of {value:?}\n    Python {expected}\n    here   {found}");
        }
    }
    assert_eq!(differing, 0, "of {}", pairs.len());
}

const LETTERS: [char; 20] = [
    'a', 'b', 'é', '€', '😀', '\'', '"', '\\', '\n', '\t', '\0', '\x7f', '\u{85}', '\u{a0}', '\u{301}',
    '\u{200b}', '\u{2028}', '\u{e000}', ' ', '{',
];

struct Generator {
    random: Random,
}

impl Generator {
    fn integer(&mut self) -> i64 {
        let bits = self.random.below(64);
        let value = (self.random.below(usize::MAX) as u64) >> bits;
        let value = i64::try_from(value).unwrap_or(i64::MIN);
        if self.random.below(3) == 0 { value.wrapping_neg() } else { value }
    }

    fn float(&mut self) -> f64 {
        match self.random.below(8) {
            0 => [
                0.0, -0.0, 1.0, 0.5, 1e16, 1e15, 1e-4, 1e-5, 123_456.0, 1e22, 5e-324, 1.797e308, 0.001, 2.5,
                1e100,
            ][self.random.below(15)],
            1 => [f64::INFINITY, f64::NEG_INFINITY, f64::NAN][self.random.below(3)],
            2..4 => self.random.below(100_000) as f64 / 100.0 - 300.0,
            4 => self.integer() as f64,
            5 => self.random.below(1000) as f64 / 1e8,
            _ => {
                let value = f64::from_bits(self.random.below(usize::MAX) as u64);
                if value.is_finite() { value } else { 1.5 }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Sample {
        match self.random.below(if depth > 0 { 13 } else { 12 }) {
            0 => Sample::Null,
            1 => Sample::Bool(self.random.below(2) == 0),
            2..5 => Sample::Integer(self.integer()),
            5..7 => Sample::Float(self.float()),
            7 | 8 => Sample::Text(self.random.text(&LETTERS, 8)),
            9 => Sample::Bytes((0..self.random.below(5)).map(|_| self.random.below(256) as u8).collect()),
            10 => match self.random.below(3) {
                0 => Sample::Uuid(u128::to_be_bytes(self.random.below(usize::MAX) as u128 * 0x1_0000_0001)),
                1 => Sample::Span(self.random.below(3 * 86_400_000_000) as u64),
                _ => Sample::Span([0, 1, 86_400_000_000, 1_000_000][self.random.below(4)]),
            },
            11 => self.time(),
            _ => Sample::List((0..2 + self.random.below(3)).map(|_| self.value(0)).collect()),
        }
    }

    /// From 1970 to 2069; often of no microseconds.
    fn time(&mut self) -> Sample {
        let seconds = self.random.below(100 * 31_557_600) as i64;
        let micros = if self.random.below(2) == 0 { 0 } else { self.random.below(1_000_000) as i64 };
        Sample::Time(seconds * 1_000_000 + micros)
    }

    /// Mostly well formed.
    fn spec(&mut self) -> String {
        let mut spec = String::new();
        for choices in [
            &["", "", "", "<", ">", "^", "=", "*<", "0>", "é^", "x=", "0="][..],
            &["", "", "", "+", "-", " "],
            &["", "", "", "", "", "", "", "z"],
            &["", "", "", "#"],
            &["", "", "0"],
            &["", "", "1", "5", "9", "12", "30"],
            &["", "", "", ",", "_"],
            &["", "", "", ".0", ".1", ".3", ".17", ".60", "."],
            &[
                "", "", "b", "c", "d", "d", "e", "E", "f", "f", "F", "g", "g", "G", "n", "o", "s", "x", "X",
                "%", "q", "dd", " ",
            ],
        ] {
            spec.push_str(self.random.one_of(choices));
        }
        spec
    }

    fn template(&mut self) -> String {
        let conversion = self.random.one_of(&["", "", "", "", "!r", "!s", "!a", "!x", "!"]);
        let spec = self.spec();
        let colon = if spec.is_empty() { self.random.one_of(&["", ":"]) } else { ":" };
        let before = self.random.one_of(&["", "", "", "a ", "{{", "}}", "é{{}}", "{", "}"]);
        let after = self.random.one_of(&["", "", "", " b", "}}", "{{", "{", "}"]);
        format!("{before}{{x{conversion}{colon}{spec}}}{after}")
    }

    fn strftime(&mut self) -> String {
        let mut format = String::new();
        for _ in 0..=self.random.below(3) {
            let piece = self.random.one_of(&[
                "%a", "%A", "%b", "%B", "%c", "%C", "%d", "%D", "%e", "%f", "%F", "%g", "%G", "%h", "%H",
                "%I", "%j", "%k", "%l", "%m", "%M", "%n", "%p", "%P", "%r", "%R", "%s", "%S", "%t", "%T",
                "%u", "%U", "%V", "%w", "%W", "%x", "%X", "%y", "%Y", "%z", "%Z", "%%", "%-d", "%_H", "%e",
                "%-I", "%010Y", "%5d", "%_5d", "%^a", "%^B", "%#p", "%#Z", "%Ey", "%Od", "%-j", "%_m",
                "%03S", "%-y", "%20F", "%Q", "%J", "at ", "-", "é", ":", "T", "%12A", "%^p", "%#b", "%-H:%M",
                "%010A", "%_s",
            ]);
            format.push_str(piece);
        }
        let end = self.random.one_of(&["", "", "", "%", "%5", "%-"]);
        format!("{{x:{format}{end}}}")
    }
}

#[test]
fn generated_templates_render_what_pythons_render() {
    let mut generator = Generator { random: Random::new() };
    let pairs: Vec<_> = (0..30_000).map(|_| (generator.template(), generator.value(1))).collect();
    compare(&pairs);
}

#[test]
fn times_are_written_as_strftime_writes_them() {
    let mut generator = Generator { random: Random::new() };
    let pairs: Vec<_> = (0..10_000).map(|_| (generator.strftime(), generator.time())).collect();
    compare(&pairs);
}

#[test]
fn damaged_templates_are_refused_where_python_refuses_them() {
    let mut generator = Generator { random: Random::new() };
    let damaged = |generator: &mut Generator| {
        let mut template: Vec<char> = generator.template().chars().collect();
        let place = generator.random.below(template.len() + 1);
        let c = generator.random.one_of(&["{", "}", "!", ":", "é", "0", "9", ",", "_", "<", ".", "x", "%"]);
        template.splice(place..place, c.chars());
        template.into_iter().collect::<String>()
    };
    let mut pairs = Vec::new();
    while pairs.len() < 10_000 {
        let template = damaged(&mut generator);
        // Fields within fields are refused here in any case.
        let nested = template.replace("{{", "").split('}').any(|part| part.matches('{').count() > 1);
        if !nested {
            pairs.push((template, generator.value(1)));
        }
    }
    compare(&pairs);
}
