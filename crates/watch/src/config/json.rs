//! JSON, as strictly as Python's `json` reads it. Of a key that stands twice, Python keeps the first place
//! and the last value; so do we, and say so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use unmasq_diagnostic::Problem;

use super::node::{Entries, Node, Spanned};

/// Nothing that JSON does not have.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The tree, if the text is JSON.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Spanned<Node>> {
    let parsed = match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => parsed,
        Err(error) => {
            let reason = error.kind().to_string();
            let mut letters = reason.chars();
            let first = letters.next().map(|c| c.to_ascii_lowercase());
            let reason: String = first.into_iter().chain(letters).collect();
            problems.push(Problem::error(span(error.range()), format!("not JSON: {reason}")));
            return None;
        }
    };
    let Some(value) = parsed.value else {
        problems.push(Problem::error(0..text.len().min(1), "not JSON: there is no value"));
        return None;
    };
    Some(Reader { text, problems }.node(&value))
}

fn span(range: jsonc_parser::common::Range) -> Range<usize> {
    range.start..range.end
}

struct Reader<'t, 'p> {
    text: &'t str,
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_, '_> {
    /// The parser bounds the depth (512), and with it this recursion.
    fn node(&mut self, value: &Value<'_>) -> Spanned<Node> {
        let place = span(value.range());
        let node = match value {
            Value::NullKeyword(_) => Node::Null,
            Value::BooleanLit(literal) => Node::Bool(literal.value),
            Value::NumberLit(literal) => self.number(literal.value, &place),
            Value::StringLit(literal) => {
                self.plain(&place);
                Node::Text(literal.value.clone().into_owned())
            }
            Value::Array(array) => Node::List(array.elements.iter().map(|e| self.node(e)).collect()),
            Value::Object(object) => {
                let mut entries: Entries = Vec::with_capacity(object.properties.len());
                let mut places: HashMap<&str, usize> = HashMap::new();
                for property in &object.properties {
                    let value = self.node(&property.value);
                    let (key, key_place) = match &property.name {
                        ObjectPropName::String(name) => (&*name.value, span(name.range)),
                        ObjectPropName::Word(name) => (name.value, span(name.range)),
                    };
                    self.plain(&key_place);
                    match places.entry(key) {
                        Entry::Vacant(free) => {
                            free.insert(entries.len());
                            entries.push((Spanned::new(key.to_owned(), key_place), value));
                        }
                        Entry::Occupied(first) => {
                            let message = format!(
                                "{key:?} stands twice here: the value is this one, the place is the first \
                                 one's; take one away"
                            );
                            self.problems.push(Problem::warning(key_place, message));
                            entries[*first.get()].1 = value;
                        }
                    }
                }
                Node::Map(entries)
            }
        };
        Spanned::new(node, place)
    }

    /// Whole numbers stay whole, as Python has them.
    fn number(&mut self, literal: &str, place: &Range<usize>) -> Node {
        let is_whole = !literal.contains(['.', 'e', 'E']);
        if is_whole && let Ok(number) = serde_json::from_str(literal) {
            return Node::Integer(number);
        }
        match serde_json::from_str::<f64>(literal) {
            Ok(number) if !is_whole => return Node::Float(number),
            Ok(_) => {
                let message = "too large: whole numbers go from -2^63 to 2^63-1";
                self.problems.push(Problem::error(place.clone(), message));
            }
            Err(_) => {
                let message = format!("not JSON: {literal:?} is not a number");
                self.problems.push(Problem::error(place.clone(), message));
            }
        }
        Node::Null
    }

    /// Control characters have to be escaped in JSON's strings, which the parser does not ask for.
    fn plain(&mut self, place: &Range<usize>) {
        let literal = self.text.as_bytes().get(place.clone()).unwrap_or_default();
        if let Some(at) = literal.iter().position(|byte| *byte < 0x20) {
            let at = place.start + at;
            let message =
                "not JSON: a control character within a string; write it as an escape, such as \\n or \\t";
            self.problems.push(Problem::error(at..at + 1, message));
        }
    }
}
