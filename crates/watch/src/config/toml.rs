//! TOML. Its tables have no order by themselves; here they have the file's.

use toml::Spanned as At;
use toml::de::{DeTable, DeValue};
use unmasq_diagnostic::Problem;

use super::node::{Node, Spanned};

/// The tree, if the text is TOML.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Spanned<Node>> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    if syntax.is_empty() {
        let node = table(document.get_ref(), problems);
        return Some(Spanned::new(node, document.span()));
    }
    for error in syntax {
        let span = error.span().unwrap_or(text.len()..text.len());
        problems.push(Problem::error(span, format!("not TOML: {}", error.message())));
    }
    None
}

/// A single value: the defaults of keys are written so.
pub(super) fn read_value(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut problems = Vec::new();
    let node = node(&value, &mut problems).value;
    problems.is_empty().then_some(node)
}

fn table(table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Node {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let key = Spanned::new(key.get_ref().clone().into_owned(), key.span());
            (key, node(value, problems))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    Node::Map(entries)
}

/// The parser bounds the depth, and with it this recursion.
fn node(value: &At<DeValue<'_>>, problems: &mut Vec<Problem>) -> Spanned<Node> {
    let place = value.span();
    let mut wrong = |message: &str| {
        problems.push(Problem::error(place.clone(), message));
        Node::Null
    };
    let node = match value.get_ref() {
        DeValue::String(text) => Node::Text(text.clone().into_owned()),
        DeValue::Boolean(value) => Node::Bool(*value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| wrong("too large: whole numbers go from -2^63 to 2^63-1"), Node::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| wrong("not a number that can be read"), Node::Float)
        }
        DeValue::Datetime(_) => wrong("a date is no value here; write it in quotes"),
        DeValue::Array(elements) => Node::List(elements.iter().map(|e| node(e, problems)).collect()),
        DeValue::Table(keys) => table(keys, problems),
    };
    Spanned::new(node, place)
}
