//! What `nft -j list ruleset` and `nft -a -s list ruleset` print, taken together: the one for programs, the other for people.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Body, Chain, Element, Hook, Object, Rule, Ruleset, RulesetError, Set, Table};
use crate::Form;

/// A value of outside is shown up to here.
const SHOWN: usize = 120;

impl Ruleset {
    /// Reads nft's JSON, and the text of the same ruleset with handles (`nft -a -s list ruleset`), from which each rule's
    /// readable text is taken. A rule that the text does not have is shown as JSON.
    pub fn of_nft(json: &str, text_with_handles: &str) -> Result<Self, RulesetError> {
        let texts = texts(text_with_handles);
        let parsed: Value = serde_json::from_str(json).map_err(RulesetError::Json)?;
        let things = parsed.get("nftables").and_then(Value::as_array);
        let mut reader = Reader { tables: Vec::new(), texts };
        for thing in things.ok_or_else(|| missing("the array \"nftables\"", &parsed))? {
            let entries = thing.as_object().into_iter().flatten();
            for (kind, about) in entries {
                reader.take(kind, about)?;
            }
        }
        for table in &mut reader.tables {
            table.sets.sort_by(|a, b| a.name.cmp(&b.name));
            table.objects.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        }
        Ok(Self { form: Form::Nft, tables: reader.tables })
    }

    /// The same from the JSON alone: each rule is shown as JSON.
    pub fn of_nft_json(json: &str) -> Result<Self, RulesetError> {
        Self::of_nft(json, "")
    }
}

struct Reader<'t> {
    tables: Vec<Table>,
    texts: HashMap<(&'t str, &'t str, u64), String>,
}

impl Reader<'_> {
    fn take(&mut self, kind: &str, about: &Value) -> Result<(), RulesetError> {
        if kind == "metainfo" {
            return Ok(());
        }
        let family = string(about, "family")?;
        if kind == "table" {
            let flags = strings(&about["flags"]);
            self.table(family, string(about, "name")?).flags = flags;
            return Ok(());
        }
        let table = string(about, "table")?;
        match kind {
            "chain" => {
                let mut chain = Chain::new(string(about, "name")?, None);
                chain.hook = hook(about);
                chain.policy = about["policy"].as_str().map(str::to_owned);
                self.table(family, table).chains.push(chain);
            }
            "rule" => {
                let expressions: Vec<Value> =
                    about["expr"].as_array().into_iter().flatten().map(without_numbers).collect();
                let handle = about["handle"].as_u64().unwrap_or(u64::MAX);
                let known = self.texts.get(&(family, table, handle)).cloned();
                let text = known.unwrap_or_else(|| as_json(&expressions, about["comment"].as_str()));
                let rule = Rule { text, body: Body::Expressions(expressions), line: None };
                let name = string(about, "chain")?;
                let chains = &mut self.table(family, table).chains;
                if let Some(chain) = chains.iter_mut().find(|chain| chain.name == name) {
                    chain.rules.push(rule);
                } else {
                    let mut chain = Chain::new(name, None);
                    chain.rules.push(rule);
                    chains.push(chain);
                }
            }
            "set" | "map" | "meter" => {
                let set = set(kind, about)?;
                self.table(family, table).sets.push(set);
            }
            // What lists elements alone, such as an event of `nft monitor`, is no ruleset.
            "element" => return Err(missing("\"set\" or \"map\"", about)),
            _ => {
                let object = Object {
                    kind: kind.to_owned(),
                    name: string(about, "name")?.to_owned(),
                    shape: shape(about),
                };
                self.table(family, table).objects.push(object);
            }
        }
        Ok(())
    }

    fn table(&mut self, family: &str, name: &str) -> &mut Table {
        let is_it = |table: &Table| table.family == family && table.name == name;
        let index = self.tables.iter().position(is_it).unwrap_or_else(|| {
            self.tables.push(Table::new(family, name));
            self.tables.len() - 1
        });
        &mut self.tables[index]
    }
}

fn missing(what: &'static str, value: &Value) -> RulesetError {
    RulesetError::Shape { what, value: value.to_string().chars().take(SHOWN).collect() }
}

fn string<'v>(about: &'v Value, key: &'static str) -> Result<&'v str, RulesetError> {
    about.get(key).and_then(Value::as_str).ok_or_else(|| missing(key, about))
}

/// nft prints a list of one as the one.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    }
}

fn hook(about: &Value) -> Option<Hook> {
    Some(Hook {
        kind: about["type"].as_str()?.to_owned(),
        name: about["hook"].as_str()?.to_owned(),
        priority: about["prio"].as_i64().unwrap_or(0),
        device: Some(strings(&about["dev"]).join(", ")).filter(|devices| !devices.is_empty()),
    })
}

fn set(kind: &str, about: &Value) -> Result<Set, RulesetError> {
    let flags = strings(&about["flags"]);
    let type_text = |value: &Value| strings(value).join(" . ");
    let mut shape = vec![format!("type {}", type_text(&about["type"]))];
    if !about["map"].is_null() {
        let _ = write!(shape[0], " : {}", type_text(&about["map"]));
    }
    if !flags.is_empty() {
        shape.push(format!("flags {}", flags.join(",")));
    }
    for key in ["policy", "timeout", "gc-interval", "size"] {
        match &about[key] {
            Value::Null => {}
            Value::String(word) => shape.push(format!("{key} {word}")),
            number if key == "size" => shape.push(format!("{key} {number}")),
            seconds => shape.push(format!("{key} {seconds}s")),
        }
    }
    if about["auto-merge"].as_bool() == Some(true) {
        shape.push("auto-merge".to_owned());
    }
    let statements: Vec<Value> =
        about["stmt"].as_array().into_iter().flatten().map(without_numbers).collect();
    shape.extend(
        statements
            .iter()
            .flat_map(|statement| statement.as_object().into_iter().flat_map(Map::keys).cloned()),
    );
    let mut elements: Vec<Element> = about["elem"].as_array().into_iter().flatten().map(element).collect();
    elements.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(Set {
        name: string(about, "name")?.to_owned(),
        kind: kind.to_owned(),
        shape: shape.join("; "),
        // nft 1.0.6 does not print the flag `dynamic` in JSON. Whether rules put elements in shows in the rules.
        is_changing: flags.iter().any(|flag| flag == "dynamic" || flag == "timeout")
            || !statements.is_empty()
            || !about["timeout"].is_null(),
        elements,
    })
}

fn element(entry: &Value) -> Element {
    // In a map it is a pair. A key of several parts is an object, so that it is never taken for one.
    let (left, value) = match entry {
        Value::Array(pair) if pair.len() == 2 => (&pair[0], Some(without_numbers(&pair[1]))),
        other => (other, None),
    };
    let (key, about) = match left.get("elem") {
        Some(about) => (about.get("val").unwrap_or(&Value::Null), about),
        None => (left, &Value::Null),
    };
    let mut text = shown(key);
    if let Some(seconds) = about["timeout"].as_u64() {
        let _ = write!(text, " timeout {seconds}s");
    }
    if let Some(comment) = about["comment"].as_str() {
        let _ = write!(text, " comment {comment:?}");
    }
    if let Some(value) = &value {
        let _ = write!(text, " : {}", shown(value));
    }
    Element { text, key: key.clone(), value }
}

/// A value as nft writes it, of those that elements are made of.
pub(crate) fn shown(value: &Value) -> String {
    let many = |values: &Value, between: &str| {
        values.as_array().into_iter().flatten().map(shown).collect::<Vec<_>>().join(between)
    };
    let Some((word, inside)) = value.as_object().and_then(|object| object.iter().next()) else {
        return match value {
            Value::String(word) => word.clone(),
            other => other.to_string(),
        };
    };
    match word.as_str() {
        "prefix" => format!("{}/{}", shown(&inside["addr"]), inside["len"]),
        "range" => many(inside, "-"),
        "concat" => many(inside, " . "),
        "jump" | "goto" => format!("{word} {}", shown(&inside["target"])),
        "accept" | "drop" | "return" | "continue" => word.clone(),
        _ => value.to_string(),
    }
}

/// Without what the kernel has counted.
fn without_numbers(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(without_numbers).collect(),
        Value::Object(object) => {
            let kept = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("counter" | "last", Value::Object(_)) => (key.clone(), Value::Null),
                ("quota", Value::Object(quota)) => {
                    let rest = quota.iter().filter(|(key, _)| !key.starts_with("used"));
                    (key.clone(), rest.map(|(key, value)| (key.clone(), value.clone())).collect())
                }
                _ => (key.clone(), without_numbers(value)),
            };
            object.iter().map(kept).collect()
        }
        other => other.clone(),
    }
}

fn as_json(expressions: &[Value], comment: Option<&str>) -> String {
    let mut text = expressions.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
    if let Some(comment) = comment {
        let _ = write!(text, " comment {comment:?}");
    }
    text
}

/// What an object is like, without its name, and without what it has counted.
fn shape(about: &Value) -> String {
    const NOT_OF_IT: [&str; 8] =
        ["family", "table", "name", "handle", "packets", "bytes", "used", "used_unit"];
    // The bytes of a quota are its limit, those of a counter are counted.
    let is_counter = about.get("packets").is_some();
    let is_of_it = |key: &str| !NOT_OF_IT.contains(&key) || (key == "bytes" && !is_counter);
    let parts = about.as_object().into_iter().flatten().filter(|(key, _)| is_of_it(key));
    parts.map(|(key, value)| format!("{key} {}", shown(value))).collect::<Vec<_>>().join("; ")
}

/// The text of each rule, by its family, table and handle.
fn texts(listing: &str) -> HashMap<(&str, &str, u64), String> {
    let mut found = HashMap::new();
    let mut table = None;
    let mut depth = 0;
    let mut unfinished = String::new();
    for line in listing.lines() {
        let content = line.trim();
        let opened = content.rsplit_once(" # handle ").map_or(content, |(before, _)| before);
        if !unfinished.is_empty() {
            // A rule with many elements goes on in the next line.
        } else if content.is_empty() || content.starts_with('#') {
            continue;
        } else if content == "}" {
            depth -= 1;
            continue;
        } else if let Some(heading) = opened.strip_suffix(" {").filter(|_| depth < 2) {
            depth += 1;
            let mut words = heading.split_whitespace();
            if words.next() == Some("table") {
                table = words.next().zip(words.next());
            }
            continue;
        }
        let Some((family, name)) = table.filter(|_| depth == 2) else { continue };
        if !unfinished.is_empty() {
            unfinished.push(' ');
        }
        unfinished.push_str(content);
        let end = unfinished
            .rsplit_once(" # handle ")
            .and_then(|(text, handle)| Some((text.trim_end().to_owned(), handle.parse().ok()?)));
        if let Some((text, handle)) = end {
            found.insert((family, name, handle), tidy(&text));
            unfinished.clear();
        } else if !goes_on(content) {
            // Not of a rule: a set's type, a chain's hook.
            unfinished.clear();
        }
    }
    found
}

/// Does a line without a handle stand in the middle of a rule? nft breaks lines between elements only.
fn goes_on(content: &str) -> bool {
    content.ends_with(',') && !content.starts_with("elements =") || content.ends_with('{')
}

/// nft writes two spaces where it has left something out.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut in_quotes = false;
    for c in text.chars() {
        in_quotes ^= c == '"';
        if in_quotes || c != ' ' || !tidied.ends_with(' ') {
            tidied.push(c);
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = include_str!("../../tests/data/listing.json");
    const TEXT: &str = include_str!("../../tests/data/listing.nft");

    #[test]
    fn a_listing_is_read_with_the_texts_of_its_rules() {
        let ruleset = Ruleset::of_nft(JSON, TEXT).unwrap();
        let table = ruleset.table("inet", "filter").unwrap();
        let texts: Vec<&str> =
            table.chain("input").unwrap().rules.iter().map(|rule| rule.text.as_str()).collect();
        insta::assert_snapshot!(texts.join("\n"));
        for (_, chain) in ruleset.chains() {
            for rule in &chain.rules {
                assert!(!rule.text.contains("packets") && !rule.text.starts_with('{'), "{}", rule.text);
                assert!(matches!(&rule.body, Body::Expressions(e) if !format!("{e:?}").contains("packets")));
            }
        }
    }

    #[test]
    fn sets_have_a_shape_and_sorted_elements() {
        let ruleset = Ruleset::of_nft(JSON, TEXT).unwrap();
        let sets = &ruleset.table("inet", "filter").unwrap().sets;
        let line = |set: &Set| {
            let elements: Vec<&str> = set.elements.iter().map(|element| element.text.as_str()).collect();
            format!("{} {} ({}) = {}", set.kind, set.name, set.shape, elements.join(", "))
        };
        insta::assert_snapshot!(sets.iter().map(line).collect::<Vec<_>>().join("\n"));
        let objects = &ruleset.table("inet", "filter").unwrap().objects;
        let texts: Vec<String> = objects
            .iter()
            .map(|object| format!("{} {} ({})", object.kind, object.name, object.shape))
            .collect();
        assert_eq!(texts, ["counter cc ()", "quota qq (bytes 10485760; inv true)"]);
    }

    #[test]
    fn json_that_is_of_no_ruleset_is_refused() {
        for (json, needle) in [
            ("{", "cannot be read"),
            ("{}", "\"nftables\""),
            (r#"{"nftables":[{"rule":{"family":"ip"}}]}"#, "table is missing"),
            (r#"{"nftables":[{"chain":{"family":"ip","table":"t"}}]}"#, "name is missing"),
        ] {
            let error = Ruleset::of_nft_json(json).unwrap_err().to_string();
            assert!(error.contains(needle), "{json}: {error}");
        }
    }

    #[test]
    fn a_rule_without_a_text_is_shown_as_json() {
        let ruleset = Ruleset::of_nft_json(JSON).unwrap();
        let input = ruleset.table("inet", "filter").unwrap().chain("input").unwrap();
        assert!(input.rules[0].text.starts_with("{\"vmap\""), "{}", input.rules[0].text);
    }
}
