//! The chains as a graph, for Graphviz.

use std::fmt::Write as _;

use super::step::Next;
use super::{Program, StepId};
use crate::config::{self, Node};

/// Longest main argument that a node shows, in characters.
const SHOWN: usize = 40;

/// The arguments that say most of a step, the first that is there.
const TELLING: [&str; 8] = ["counter", "re", "value", "values", "nets", "message", "nftSetIPv4", "ipSetIPv4"];

/// A step's name and its main argument.
pub(super) fn summary(step: &config::Step) -> String {
    let mut text = step.name.value.clone();
    let args = &step.args.value;
    if let Some(field) = ["field", "IP", "for"].iter().find_map(|name| args.find(name)) {
        let _ = write!(text, "\n{}", short(&field.value));
    }
    if let Some(main) = TELLING.iter().find_map(|name| args.find(name)) {
        let _ = write!(text, "\n{}", short(&main.value));
    }
    text
}

fn short(node: &Node) -> String {
    let whole = match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Integer(value) => value.to_string(),
        Node::Float(value) => value.to_string(),
        Node::Text(text) => text.clone(),
        Node::List(items) => {
            items.iter().take(4).map(|item| short(&item.value)).collect::<Vec<_>>().join(", ")
        }
        Node::Map(_) => "…".to_owned(),
    };
    let mut cut: String = whole.chars().take(SHOWN).collect();
    if cut.len() < whole.len() {
        cut.push('…');
    }
    cut
}

/// A text between Graphviz's quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push('\u{fffd}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl Program {
    /// The chains as a graph in Graphviz's language: a cluster for each chain, an edge for each link. Steps that no
    /// entry comes to are grey. `dot -Tsvg` draws it.
    pub fn dot(&self) -> String {
        let mut dot = String::from("digraph chains {\n  rankdir=TB;\n  node [shape=box, fontsize=10];\n");
        dot.push_str("  edge [fontsize=9];\n  start [shape=circle, label=\"\"];\n  stop [shape=doublecircle, label=\"\"];\n");
        for (number, label) in self.chains.iter().enumerate() {
            let _ = writeln!(dot, "  subgraph cluster_{number} {{\n    label={};", quoted(label));
            let is_main = self.main_labels.contains(label);
            let _ = writeln!(dot, "    style={};", if is_main { "solid" } else { "dashed" });
            for (id, info) in self.steps().filter(|(_, info)| info.chain == *label) {
                let shape = if info.is_filter { "diamond" } else { "box" };
                let grey = if self.is_reached(id) { "" } else { ", color=grey, fontcolor=grey" };
                let text = quoted(&self.summaries[id.index()]);
                let _ = writeln!(dot, "    s{} [label={text}, shape={shape}{grey}];", id.index());
            }
            for dead in self.dead.iter().filter(|dead| dead.chain == number) {
                let text = quoted(&dead.summary);
                let place = dead.index;
                let _ = writeln!(
                    dot,
                    "    d{number}_{place} [label={text}, color=grey, fontcolor=grey, style=dotted];"
                );
            }
            if !self.steps().any(|(_, info)| info.chain == *label) {
                let _ = writeln!(dot, "    e{number} [label=\"(empty)\", color=grey, fontcolor=grey];");
            }
            dot.push_str("  }\n");
        }
        if let Some(first) = self.start.0.index() {
            let _ = writeln!(dot, "  start -> s{first};");
        }
        for (id, _) in self.steps() {
            self.edges(id, &mut dot);
        }
        dot.push_str("}\n");
        dot
    }

    fn edges(&self, id: StepId, dot: &mut String) {
        let step = &self.steps[id.index()];
        let info = self.step(id);
        let grey = if self.is_reached(id) { "" } else { ", color=grey" };
        let exits = if info.is_filter {
            vec![("then", step.then), ("else", step.otherwise)]
        } else {
            vec![("then", step.then)]
        };
        for (word, next) in exits {
            let from = id.index();
            let (label, style) = match word {
                "else" => (", label=\"else\"", ", style=dashed"),
                _ if info.is_filter => (", label=\"then\"", ""),
                _ => ("", ""),
            };
            if let Some(to) = next.index() {
                let _ = writeln!(dot, "  s{from} -> s{to} [weight=2{label}{style}{grey}];");
            } else if next == Next::STOP {
                let _ = writeln!(dot, "  s{from} -> stop [weight=0{label}{style}{grey}];");
            } else {
                for to in self.after(id) {
                    let to = to.map_or_else(|| "stop".to_owned(), |to| format!("s{to}"));
                    let _ = writeln!(dot, "  s{from} -> {to} [color=blue{label}{style}];");
                }
            }
        }
    }

    /// The steps that an unresolved exit of the step leads to: one for each top-level chain that it can be in.
    fn after(&self, id: StepId) -> Vec<Option<usize>> {
        let mut after: Vec<Option<usize>> = self.mains_of[id.index()]
            .iter()
            .map(|main| self.mains.get(*main as usize + 1).and_then(|next| next.index()))
            .collect();
        after.sort_unstable();
        after.dedup();
        after
    }
}
