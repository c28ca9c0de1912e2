//! The chains as they are written: labels, steps, links. What the steps mean, and whether the links lead
//! anywhere, is the program's business.

use std::ops::Range;

use unmasq_diagnostic::Problem;

use super::node::{Node, Spanned};
use super::section::{Reading, cut, nearest};

/// A chain. Two of them are equal if they mean the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its label: the key in "actions".
    pub label: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// The label's place in the file, in bytes.
    pub span: Range<usize>,
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label && self.steps == other.steps
    }
}

/// Is a step a filter or an action?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It decides where the entry goes on.
    Filter,
    /// It does something.
    Action,
}

/// A step. Two of them are equal if they mean the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Step {
    /// Filter or action.
    pub kind: Kind,
    /// Its name, such as "filter_equals".
    pub name: Spanned<String>,
    /// Its arguments: a map, empty if there are none, or whatever else was written.
    pub args: Spanned<Node>,
    /// The chain to go on with if it passes.
    pub then: Option<Spanned<String>>,
    /// The chain to go on with if it does not; filters only.
    pub otherwise: Option<Spanned<String>>,
    /// Its place in the file, in bytes.
    pub span: Range<usize>,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.name == other.name
            && self.args == other.args
            && self.then == other.then
            && self.otherwise == other.otherwise
    }
}

/// The keys of a step.
const KEYS: [&str; 5] = ["filter", "action", "args", "then", "else"];

/// Reads the value of "actions".
pub(super) fn read(actions: &Spanned<Node>, reading: &mut Reading) -> Vec<Chain> {
    let Node::Map(labels) = &actions.value else {
        let found = actions.value.describe();
        let message = format!("actions: found {found} where labels with lists of steps are wanted");
        reading.problems.push(Problem::error(actions.span.clone(), message));
        return Vec::new();
    };
    let mut chains = Vec::with_capacity(labels.len());
    for (label, value) in labels {
        let Node::List(steps) = &value.value else {
            let found = value.value.describe();
            let message = format!("found {found} where the list of the chain's steps is wanted");
            reading.problems.push(Problem::error(value.span.clone(), message));
            continue;
        };
        chains.push(Chain {
            label: label.value.clone(),
            steps: steps.iter().filter_map(|value| step(value, reading)).collect(),
            span: label.span.clone(),
        });
    }
    chains
}

fn step(value: &Spanned<Node>, reading: &mut Reading) -> Option<Step> {
    let Node::Map(entries) = &value.value else {
        let found = value.value.describe();
        let message =
            format!("found {found} where a step is wanted: a \"filter\" or an \"action\" with its \"args\"");
        reading.problems.push(Problem::error(value.span.clone(), message));
        return None;
    };
    let unknown = entries.iter().filter(|(key, _)| !KEYS.contains(&key.value.as_str()));
    for (key, _) in unknown {
        let advice = nearest(&key.value, KEYS.into_iter()).map_or_else(
            || format!("a step has {}", KEYS.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        let message = format!("unknown key {:?}; {advice}", cut(&key.value));
        reading.problems.push(if reading.is_pyruse {
            Problem::warning(key.span.clone(), message)
        } else {
            Problem::error(key.span.clone(), message)
        });
    }
    let key = |name: &str| entries.iter().find(|(key, _)| key.value == name);
    let (kind, key_place, name) = match (key("filter"), key("action")) {
        (Some((place, name)), None) => (Kind::Filter, place, name),
        (None, Some((place, name))) => (Kind::Action, place, name),
        (Some((place, name)), Some((other, _))) => {
            let message =
                "the step has a \"filter\" too, so this is not looked at; give the action a step of its own";
            reading.problems.push(Problem::warning(other.span.clone(), message));
            (Kind::Filter, place, name)
        }
        (None, None) => {
            let message = "a step needs a \"filter\" or an \"action\"";
            reading.problems.push(Problem::error(value.span.clone(), message));
            return None;
        }
    };
    let name = word(name, &key_place.value, reading)?;
    let args = key("args").map(|(_, args)| args.clone());
    let then = key("then").and_then(|(_, label)| link(label, "then", reading));
    let mut otherwise = key("else").and_then(|(_, label)| link(label, "else", reading));
    if kind == Kind::Action
        && let Some(label) = otherwise.take()
    {
        let message = "an action has no \"else\", so this is not looked at; take it away";
        reading.problems.push(Problem::warning(label.span, message));
    }
    Some(Step {
        kind,
        name,
        args: args.unwrap_or_else(|| Spanned::new(Node::Map(Vec::new()), value.span.clone())),
        then,
        otherwise,
        span: value.span.clone(),
    })
}

/// An empty text or null is as good as nothing, as in Pyruse.
fn link(value: &Spanned<Node>, key: &str, reading: &mut Reading) -> Option<Spanned<String>> {
    match &value.value {
        Node::Null => None,
        Node::Text(text) if text.is_empty() => None,
        _ => word(value, key, reading),
    }
}

fn word(value: &Spanned<Node>, key: &str, reading: &mut Reading) -> Option<Spanned<String>> {
    match &value.value {
        Node::Text(text) => Some(Spanned::new(text.clone(), value.span.clone())),
        other => {
            let message = format!("{key}: found {} where a name is wanted", other.describe());
            reading.problems.push(Problem::error(value.span.clone(), message));
            None
        }
    }
}
