//! The filters' arguments.

use std::collections::HashMap;

use unmasq_dialect::Pattern;
use unmasq_entry::Slot;

use super::args::{Args, cut, literal};
use super::literal::Literal;
use super::networks::{Networks, parse_network};
use super::source_text::place_within;
use super::step::{Choices, Filter, Search};
use crate::config::{Node, Spanned};

/// All filters.
pub(crate) const FILTERS: [&str; 8] = [
    "filter_equals",
    "filter_greaterOrEquals",
    "filter_in",
    "filter_inNetworks",
    "filter_lowerOrEquals",
    "filter_pcre",
    "filter_pcreAny",
    "filter_userExists",
];

/// The regular expressions of a program, each once.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub(crate) all: Vec<Pattern>,
    known: HashMap<String, usize>,
}

/// A filter, if its arguments are right; `None` too if there is none of that name.
pub(crate) fn filter(args: &mut Args<'_, '_>, patterns: &mut Patterns) -> Option<Filter> {
    match args.name().value.as_str() {
        "filter_equals" => {
            let field = args.needed_field("field");
            let value = args.needed("value");
            let (field, literal) = (field?, literal(&value?.value));
            Some(match literal {
                Literal::Text(text) => Filter::EqualsText { field, text },
                literal => Filter::Equals { field, literal },
            })
        }
        "filter_lowerOrEquals" => {
            let (field, literal) = ordered(args)?;
            Some(Filter::AtMost { field, literal })
        }
        "filter_greaterOrEquals" => {
            let (field, literal) = ordered(args)?;
            Some(Filter::AtLeast { field, literal })
        }
        "filter_in" => one_of(args),
        "filter_inNetworks" => in_networks(args),
        "filter_pcre" => pcre(args, patterns),
        "filter_pcreAny" => pcre_any(args, patterns),
        "filter_userExists" => Some(Filter::UserExists { field: args.needed_field("field")? }),
        _ => None,
    }
}

fn ordered(args: &mut Args<'_, '_>) -> Option<(Slot, Literal)> {
    let field = args.needed_field("field");
    let value = args.needed("value")?;
    if matches!(value.value, Node::Null | Node::Map(_)) {
        args.mistyped("value", value, "a value that others can be above or below");
        return None;
    }
    Some((field?, literal(&value.value)))
}

fn one_of(args: &mut Args<'_, '_>) -> Option<Filter> {
    let field = args.needed_field("field");
    let values = args.needed("values")?;
    match &values.value {
        Node::List(list) => {
            if list.is_empty() {
                args.warn(&values.span, "values is empty: the filter never passes");
            }
            let values = Choices::new(list.iter().map(|value| literal(&value.value)).collect());
            Some(Filter::In { field: field?, values: Box::new(values) })
        }
        Node::Text(text) => {
            let message =
                "values is a text, not a list: the filter passes if the field's text is a part of it";
            args.warn(&values.span, message);
            Some(Filter::PartOf { field: field?, text: text.as_str().into() })
        }
        _ => {
            args.mistyped("values", values, "a list");
            None
        }
    }
}

fn in_networks(args: &mut Args<'_, '_>) -> Option<Filter> {
    let field = args.needed_field("field");
    let nets = args.needed("nets")?;
    let Some(list) = nets.value.as_list() else {
        args.mistyped("nets", nets, "a list of networks");
        return None;
    };
    if list.is_empty() {
        args.warn(&nets.span, "nets is empty: the filter never passes");
    }
    let mut networks = Vec::with_capacity(list.len());
    for net in list {
        let Some(text) = args.text_of("a network", net) else { continue };
        match parse_network(text) {
            Ok(network) => networks.push(network),
            Err(reason) => args.error(&net.span, format!("not a network: {}", cut(&reason))),
        }
    }
    Some(Filter::InNetworks { field: field?, networks: Box::new(Networks::new(networks)) })
}

fn pcre(args: &mut Args<'_, '_>, patterns: &mut Patterns) -> Option<Filter> {
    let field = args.needed_field("field");
    let re = args.needed("re");
    let pattern = re.and_then(|re| patterns.compile("re", re, args));
    let save = args.optional("save");
    let mut saves = Vec::new();
    if let Some(save) = save {
        let Some(names) = save.value.as_list() else {
            args.mistyped("save", save, "a list of fields");
            return None;
        };
        if let Some(pattern) = pattern
            && let Some(extra) = names.get(patterns.all[pattern].groups())
        {
            let (names, groups) = (names.len(), patterns.all[pattern].groups());
            let groups = if groups == 1 { "1 group".to_owned() } else { format!("{groups} groups") };
            args.error(&extra.span, format!("save names {names} fields, but the expression has {groups}"));
        }
        for (index, name) in names.iter().enumerate() {
            // Null leaves a group out.
            if name.value != Node::Null
                && let Some(name) = args.text_of("a field in save", name)
            {
                saves.push((args.set(name), index + 1));
            }
        }
    }
    let search = search(pattern?, saves, field?, args, patterns);
    Some(Filter::Pcre { field: field?, search })
}

fn pcre_any(args: &mut Args<'_, '_>, patterns: &mut Patterns) -> Option<Filter> {
    let field = args.needed_field("field");
    let re = args.needed("re")?;
    if let Some(save) = args.optional("save") {
        let message =
            "filter_pcreAny has no \"save\", as the order of groups can differ; name them: (?P<name>…)";
        args.warn(&save.span, message);
    }
    let Some(list) = re.value.as_list() else {
        args.mistyped("re", re, "a list of regular expressions");
        return None;
    };
    if list.is_empty() {
        args.warn(&re.span, "re is empty: the filter never passes");
    }
    let compiled: Vec<_> = list.iter().map(|re| patterns.compile("an expression in re", re, args)).collect();
    let field = field?;
    let searches =
        compiled.into_iter().map(|pattern| Some(search(pattern?, Vec::new(), field, args, patterns)));
    Some(Filter::PcreAny { field, searches: searches.collect::<Option<_>>()? })
}

/// A pattern and where its groups go: numbered ones first, then the named ones.
fn search(
    pattern: usize,
    mut saves: Vec<(Slot, usize)>,
    searched: Slot,
    args: &mut Args<'_, '_>,
    patterns: &Patterns,
) -> Search {
    for (group, name) in patterns.all[pattern].group_names() {
        saves.push((args.set(name), group));
    }
    Search { pattern, saves: order_of_saves(saves, searched) }
}

impl Patterns {
    fn compile<'c>(&mut self, name: &str, re: &'c Spanned<Node>, args: &mut Args<'c, '_>) -> Option<usize> {
        let text = args.text_of(name, re)?;
        if let Some(number) = self.known.get(text) {
            return Some(*number);
        }
        match Pattern::new(text) {
            Ok(pattern) => {
                self.all.push(pattern);
                self.known.insert(text.to_owned(), self.all.len() - 1);
                Some(self.all.len() - 1)
            }
            Err(e) => {
                let place = place_within(args.shared.text, &re.span, e.offset);
                args.error(&place, format!("regular expression: {}", e.message));
                None
            }
        }
    }
}

/// Puts what a search saves in the order in which it can be saved: of two groups for one field the later wins, and
/// the searched field comes last.
fn order_of_saves(mut saves: Vec<(Slot, usize)>, searched: Slot) -> Box<[(Slot, usize)]> {
    let mut seen = Vec::with_capacity(saves.len());
    saves.reverse();
    saves.retain(|(slot, _)| {
        let is_new = !seen.contains(slot);
        seen.push(*slot);
        is_new
    });
    saves.reverse();
    saves.sort_by_key(|(slot, _)| *slot == searched);
    saves.into()
}
