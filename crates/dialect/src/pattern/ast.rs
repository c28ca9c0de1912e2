//! A regular expression after reading: flags are resolved, so that each node says alone what it matches.

use regex_syntax::hir::ClassUnicode;

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One character of these; a set of none never matches.
    Set(ClassUnicode),
    /// One character, exactly.
    Char(char),
    /// `.`: any character; without `newline` any but a line feed.
    Any {
        newline: bool,
    },
    /// A place.
    Place(Place),
    /// A group with a number.
    Group(usize, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat(Box<Repeat>),
    /// Once matched, no other way of matching it is tried.
    Atomic(Box<Node>),
    Look {
        behind: bool,
        negative: bool,
        node: Box<Node>,
    },
    Reference {
        group: usize,
        ignore_case: bool,
    },
    /// One of two, by whether the group has matched.
    Conditional {
        group: usize,
        yes: Box<Node>,
        no: Box<Node>,
    },
}

/// A node several times.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) min: u32,
    /// `None`: without end.
    pub(super) max: Option<u32>,
    pub(super) mode: Mode,
    pub(super) node: Node,
}

/// How often a repetition tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Greedy,
    Lazy,
    Possessive,
}

/// What holds between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `\A`, and `^` alone.
    Start,
    /// `^` in multi-line mode: also after every line feed.
    LineStart,
    /// `\Z`.
    End,
    /// `$` alone: also before a line feed that ends the text.
    EndOrLastNewline,
    /// `$` in multi-line mode: also before every line feed.
    LineEnd,
    /// `\b`, or `\B` where negated. `ascii`: only ASCII characters are in words.
    Word { negated: bool, ascii: bool },
}

impl Node {
    pub(super) const EMPTY: Self = Self::Concat(Vec::new());

    /// The parts of which it is made.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        let (one, more): (Option<&Self>, &[Self]) = match self {
            Self::Set(_) | Self::Char(_) | Self::Any { .. } | Self::Place(_) | Self::Reference { .. } => {
                (None, &[])
            }
            Self::Group(_, node) | Self::Atomic(node) | Self::Look { node, .. } => (Some(node), &[]),
            Self::Repeat(repeat) => (Some(&repeat.node), &[]),
            Self::Concat(nodes) | Self::Alternate(nodes) => (None, nodes),
            Self::Conditional { yes, no, .. } => (Some(yes), std::slice::from_ref(&**no)),
        };
        one.into_iter().chain(more)
    }

    /// Does any part of it, or it itself, fulfil the condition?
    pub(super) fn any(&self, condition: &dyn Fn(&Self) -> bool) -> bool {
        condition(self) || self.children().any(|child| child.any(condition))
    }

    /// Fewest and most characters that it takes, for groups of the given widths (of others nothing is known).
    /// `None`: without end.
    pub(super) fn width(&self, groups: &[Width]) -> Width {
        match self {
            Self::Set(_) | Self::Char(_) | Self::Any { .. } => Width { min: 1, max: Some(1) },
            Self::Place(_) | Self::Look { .. } => Width::ZERO,
            Self::Group(_, node) | Self::Atomic(node) => node.width(groups),
            Self::Concat(nodes) => nodes.iter().map(|n| n.width(groups)).fold(Width::ZERO, |a, b| Width {
                min: a.min.saturating_add(b.min),
                max: a.max.zip(b.max).and_then(|(a, b)| a.checked_add(b)),
            }),
            Self::Alternate(nodes) => {
                nodes.iter().map(|n| n.width(groups)).reduce(Width::or).unwrap_or(Width::ZERO)
            }
            Self::Repeat(repeat) => {
                let one = repeat.node.width(groups);
                let max = match (one.max, repeat.max) {
                    (Some(0), _) | (_, Some(0)) => Some(0),
                    (Some(width), Some(times)) => width.checked_mul(u64::from(times)),
                    _ => None,
                };
                Width { min: one.min.saturating_mul(u64::from(repeat.min)), max }
            }
            Self::Reference { group, .. } => {
                groups.get(*group).copied().unwrap_or(Width { min: 0, max: None })
            }
            Self::Conditional { yes, no, .. } => yes.width(groups).or(no.width(groups)),
        }
    }
}

/// Fewest and most characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) min: u64,
    pub(super) max: Option<u64>,
}

impl Width {
    pub(super) const ZERO: Self = Self { min: 0, max: Some(0) };

    fn or(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.zip(other.max).map(|(a, b)| a.max(b)) }
    }
}
