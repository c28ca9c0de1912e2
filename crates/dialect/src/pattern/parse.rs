//! Reads Python's regular expressions, as `re` of Python 3.11 does: what it refuses is refused here, with the
//! place and with what to write instead.

use std::collections::BTreeMap;

use super::PatternError;
use super::ast::{Mode, Node, Place, Repeat, Width};
use super::chars;
use super::class;
use super::escape::{self, Atom, Escape};
use super::flags::{self, Flags, Inline};
use super::tokens::Tokens;

/// Deepest nesting of groups; Python gives up somewhere beyond, by the depth of its stack.
const DEEPEST: usize = 100;

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// How many groups, besides the whole match.
    pub(super) groups: usize,
    /// In order of their numbers.
    pub(super) names: Vec<(usize, Box<str>)>,
}

/// Reads a pattern.
pub(super) fn parse(pattern: &str) -> Result<Parsed, PatternError> {
    let mut parser = Parser {
        tokens: Tokens::new(pattern),
        groups: vec![None],
        names: BTreeMap::new(),
        behind: None,
        conditions: Vec::new(),
        depth: 0,
    };
    let node = parser.whole()?;
    let mut names: Vec<_> = parser.names.into_iter().map(|(name, number)| (number, name)).collect();
    names.sort_unstable();
    Ok(Parsed { node, groups: parser.groups.len() - 1, names })
}

struct Parser<'p> {
    tokens: Tokens<'p>,
    /// By number, from 0 for the whole; `None` while the group is open.
    groups: Vec<Option<Width>>,
    names: BTreeMap<Box<str>, usize>,
    /// In a look-behind: the number of groups before the outermost one.
    behind: Option<usize>,
    /// Numbers in conditions, of groups that may come later, with their offsets.
    conditions: Vec<(usize, usize)>,
    depth: usize,
}

/// A thing that was read, and whether it can be repeated.
struct Item {
    node: Node,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Place,
    Repeated,
}

impl<'p> Parser<'p> {
    fn whole(&mut self) -> Result<Node, PatternError> {
        let node = self.alternatives(Flags::default(), true)?;
        if self.tokens.peek().is_some() {
            let hint = r"`)` without `(`; a parenthesis that is meant is written `\)`";
            return Err(self.tokens.error(hint));
        }
        for &(group, offset) in &self.conditions {
            if group >= self.groups.len() {
                let message = format!("there is no group {group}");
                return Err(PatternError { message, offset });
            }
        }
        Ok(node)
    }

    /// `a|b|c`, to the end or to a `)`.
    fn alternatives(&mut self, flags: Flags, outermost: bool) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.tokens.error(format!("groups are nested more than {DEEPEST} deep")));
        }
        let mut flags = flags;
        let mut branches = vec![self.sequence(&mut flags, outermost)?];
        while self.tokens.take("|") {
            branches.push(self.sequence(&mut flags, false)?);
        }
        self.depth -= 1;
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Alternate(branches),
        })
    }

    /// Things one after the other, to a `|`, a `)` or the end. `first`: nothing can stand before it, so that
    /// flags of the whole pattern may come.
    fn sequence(&mut self, flags: &mut Flags, first: bool) -> Result<Node, PatternError> {
        let mut items: Vec<Item> = Vec::new();
        while let Some(token) = self.tokens.peek() {
            if matches!(token, "|" | ")") {
                break;
            }
            let offset = self.tokens.offset();
            self.tokens.next()?;
            if flags.verbose {
                if matches!(token, " " | "\t" | "\n" | "\r" | "\x0b" | "\x0c") {
                    continue;
                }
                if token == "#" {
                    while self.tokens.next()?.is_some_and(|token| token != "\n") {}
                    continue;
                }
            }
            match token {
                "*" | "+" | "?" | "{" => match self.times(token)? {
                    Some((min, max)) => repeat(&mut items, min, max, self.mode()?, offset)?,
                    None => items.push(Item { node: literal('{', *flags), kind: Kind::Plain }),
                },
                "(" if self.tokens.take("?") => {
                    let may_set_flags = first && items.is_empty();
                    if let Some(item) = self.extension(flags, may_set_flags, offset)? {
                        items.push(item);
                    }
                }
                "(" => {
                    let node = self.group(None, *flags, offset)?;
                    items.push(Item { node, kind: Kind::Plain });
                }
                _ => items.push(self.simple(token, *flags, offset)?),
            }
        }
        let mut nodes: Vec<Node> = items.into_iter().map(|item| item.node).collect();
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) })
    }

    /// What is neither a group nor a repetition.
    fn simple(&mut self, token: &str, flags: Flags, offset: usize) -> Result<Item, PatternError> {
        let place = |place| Ok(Item { node: Node::Place(place), kind: Kind::Place });
        let node = match token {
            "^" if flags.multiline => return place(Place::LineStart),
            "^" => return place(Place::Start),
            "$" if flags.multiline => return place(Place::LineEnd),
            "$" => return place(Place::EndOrLastNewline),
            "." => Node::Any { newline: flags.dotall },
            "[" => Node::Set(class::read(&mut self.tokens, flags, offset)?),
            _ if token.starts_with('\\') => match escape::read(&mut self.tokens, token, flags, offset)? {
                Escape::Atom(Atom::Char(code)) => code.map_or_else(never, |c| literal(c, flags)),
                Escape::Atom(Atom::Set(set)) => Node::Set(set),
                Escape::Place(found) => return place(found),
                Escape::Group(group) => self.reference(group, flags, offset)?,
            },
            _ => token.chars().next().map_or(Node::EMPTY, |c| literal(c, flags)),
        };
        Ok(Item { node, kind: Kind::Plain })
    }

    /// After `*`, `+`, `?` or `{`: how often; `None` for a `{` that stands for itself.
    fn times(&mut self, token: &str) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        match token {
            "*" => return Ok(Some((0, None))),
            "+" => return Ok(Some((1, None))),
            "?" => return Ok(Some((0, Some(1)))),
            _ => {}
        }
        if self.tokens.peek() == Some("}") {
            return Ok(None);
        }
        let back = self.tokens.offset();
        let low = self.tokens.take_digits()?;
        let comma = self.tokens.take(",");
        let high = if comma { self.tokens.take_digits()? } else { low };
        if !self.tokens.take("}") {
            self.tokens.go_back(back);
            return Ok(None);
        }
        let number = |digits: &str| {
            digits.parse::<u32>().ok().filter(|&n| n < u32::MAX).ok_or_else(|| PatternError {
                message: "a number of repetitions has to be below 4294967295".into(),
                offset: back,
            })
        };
        let min = if low.is_empty() { 0 } else { number(low)? };
        let max = if high.is_empty() { None } else { Some(number(high)?) };
        if max.is_some_and(|max| max < min) {
            let message = format!("at least {low} and at most {high} repetitions cannot be");
            return Err(PatternError { message, offset: back });
        }
        Ok(Some((min, max)))
    }

    fn mode(&mut self) -> Result<Mode, PatternError> {
        Ok(match self.tokens.peek() {
            Some("?") => {
                self.tokens.next()?;
                Mode::Lazy
            }
            Some("+") => {
                self.tokens.next()?;
                Mode::Possessive
            }
            _ => Mode::Greedy,
        })
    }

    /// What follows `(?`.
    fn extension(
        &mut self,
        flags: &mut Flags,
        may_set_flags: bool,
        offset: usize,
    ) -> Result<Option<Item>, PatternError> {
        let plain = |node| Ok(Some(Item { node, kind: Kind::Plain }));
        let Some(token) = self.tokens.next()? else {
            return Err(self.tokens.error("the pattern ends after `(?`"));
        };
        match token {
            "P" if self.tokens.take("<") => {
                let name = self.name(">")?;
                plain(self.group(Some(name), *flags, offset)?)
            }
            "P" if self.tokens.take("=") => {
                let at = self.tokens.offset();
                let name = self.name(")")?;
                let group = *self.names.get(name).ok_or_else(|| no_such_name(name, at))?;
                plain(self.reference(group, *flags, at)?)
            }
            "P" => Err(self.tokens.error_at(offset, "`(?P` goes on with `<name>` or `=name`")),
            ":" => {
                let node = self.inside(*flags, offset)?;
                plain(node)
            }
            ">" => {
                let node = self.inside(*flags, offset)?;
                plain(Node::Atomic(Box::new(node)))
            }
            "#" => loop {
                match self.tokens.next()? {
                    Some(")") => return Ok(None),
                    Some(_) => {}
                    None => return Err(self.tokens.error_at(offset, "a comment without its `)`")),
                }
            },
            "=" | "!" => plain(self.look(token, false, *flags, offset)?),
            "<" => match self.tokens.next()? {
                Some(token @ ("=" | "!")) => plain(self.look(token, true, *flags, offset)?),
                Some(_) => {
                    let hint = "a named group is written `(?P<name>…)`, a look-behind `(?<=…)` or `(?<!…)`";
                    Err(self.tokens.error_at(offset, hint))
                }
                None => Err(self.tokens.error("the pattern ends after `(?<`")),
            },
            "(" => plain(self.conditional(*flags, offset)?),
            _ if flags::can_start(token) => match flags::read(&mut self.tokens, token, *flags)? {
                Inline::Group(inner) => plain(self.inside(inner, offset)?),
                Inline::Whole(added) => {
                    if !may_set_flags {
                        let hint =
                            "flags of the whole pattern stand at its start; for a part of it write `(?i:…)`";
                        return Err(self.tokens.error_at(offset, hint));
                    }
                    *flags = flags.with(added);
                    Ok(None)
                }
            },
            _ => Err(self
                .tokens
                .error_at(offset, format!("`(?{token}` has no meaning in Python's regular expressions"))),
        }
    }

    fn group(&mut self, name: Option<&str>, flags: Flags, offset: usize) -> Result<Node, PatternError> {
        let number = self.groups.len();
        self.groups.push(None);
        if let Some(name) = name
            && let Some(other) = self.names.insert(name.into(), number)
        {
            let message = format!("group {other} already has the name `{name}`");
            return Err(PatternError { message, offset });
        }
        let node = self.inside(flags, offset)?;
        self.groups[number] = Some(node.width(&self.widths()));
        Ok(Node::Group(number, Box::new(node)))
    }

    /// What stands in a group, and its `)`.
    fn inside(&mut self, flags: Flags, offset: usize) -> Result<Node, PatternError> {
        let node = self.alternatives(flags, false)?;
        self.close(offset)?;
        Ok(node)
    }

    fn close(&mut self, offset: usize) -> Result<(), PatternError> {
        if self.tokens.take(")") {
            return Ok(());
        }
        let hint = r"a group without its `)`; a parenthesis that is meant is written `\(`";
        Err(self.tokens.error_at(offset, hint))
    }

    fn look(&mut self, token: &str, behind: bool, flags: Flags, offset: usize) -> Result<Node, PatternError> {
        let outer = self.behind;
        if behind && outer.is_none() {
            self.behind = Some(self.groups.len());
        }
        let node = self.alternatives(flags, false)?;
        self.behind = outer;
        self.close(offset)?;
        if behind {
            let width = node.width(&self.widths());
            if width.max != Some(width.min) {
                let message = format!(
                    "a look-behind matches one number of characters only, this one from {} to {}",
                    width.min,
                    width.max.map_or("any number".into(), |max| max.to_string()),
                );
                return Err(PatternError { message, offset });
            }
        }
        Ok(Node::Look { behind, negative: token == "!", node: Box::new(node) })
    }

    /// `(?(1)yes|no)`, from its condition.
    fn conditional(&mut self, flags: Flags, offset: usize) -> Result<Node, PatternError> {
        let at = self.tokens.offset();
        let condition = self.tokens.take_until(")").ok_or_else(|| unclosed_name(at, ")"))?;
        let group = if is_identifier(condition) {
            *self.names.get(condition).ok_or_else(|| no_such_name(condition, at))?
        } else {
            let number = condition.parse::<usize>().ok().filter(|&n| n > 0 && n < u32::MAX as usize);
            let number = number.filter(|_| condition.starts_with(|c: char| c.is_ascii_digit()));
            let number = number.ok_or_else(|| bad_name(condition, at))?;
            self.conditions.push((number, at));
            number
        };
        self.check_behind(group, at)?;
        self.depth += 1;
        let mut inner = flags;
        let yes = self.sequence(&mut inner, false)?;
        let mut no = Node::EMPTY;
        if self.tokens.take("|") {
            no = self.sequence(&mut inner, false)?;
            if self.tokens.peek() == Some("|") {
                return Err(self.tokens.error("a condition has two branches and no more"));
            }
        }
        self.depth -= 1;
        self.close(offset)?;
        Ok(Node::Conditional { group, yes: Box::new(yes), no: Box::new(no) })
    }

    fn reference(&mut self, group: usize, flags: Flags, offset: usize) -> Result<Node, PatternError> {
        match self.groups.get(group) {
            None => {
                let message = format!("there is no group {group} before this place");
                return Err(PatternError { message, offset });
            }
            Some(None) => return Err(open_group(group, offset)),
            Some(Some(_)) => self.check_behind(group, offset)?,
        }
        Ok(Node::Reference { group, ignore_case: flags.ignore_case })
    }

    /// A look-behind cannot use what it captures itself.
    fn check_behind(&self, group: usize, offset: usize) -> Result<(), PatternError> {
        let Some(before) = self.behind else { return Ok(()) };
        if self.groups.get(group).copied().flatten().is_none() {
            return Err(open_group(group, offset));
        }
        if group >= before {
            let message = format!("group {group} is in the same look-behind");
            return Err(PatternError { message, offset });
        }
        Ok(())
    }

    fn name(&mut self, end: &str) -> Result<&'p str, PatternError> {
        let at = self.tokens.offset();
        let name = self.tokens.take_until(end).ok_or_else(|| unclosed_name(at, end))?;
        if is_identifier(name) { Ok(name) } else { Err(bad_name(name, at)) }
    }

    fn widths(&self) -> Vec<Width> {
        // Only closed groups can be referred to.
        self.groups.iter().map(|width| width.unwrap_or(Width::ZERO)).collect()
    }
}

/// Repeats the last thing.
fn repeat(
    items: &mut [Item],
    min: u32,
    max: Option<u32>,
    mode: Mode,
    offset: usize,
) -> Result<(), PatternError> {
    let error = |message: &str| Err(PatternError { message: message.into(), offset });
    let Some(last) = items.last_mut() else {
        return error(r"there is nothing to repeat; the character itself is written with a `\` before it");
    };
    match last.kind {
        Kind::Place => error("a place (`^`, `$`, `\\b`) cannot be repeated"),
        Kind::Repeated => error("this repeats what is repeated already; put that in `(?:…)`"),
        Kind::Plain => {
            let node = std::mem::replace(&mut last.node, Node::EMPTY);
            last.node = Node::Repeat(Box::new(Repeat { min, max, mode, node }));
            last.kind = Kind::Repeated;
            Ok(())
        }
    }
}

fn literal(c: char, flags: Flags) -> Node {
    if flags.ignore_case && chars::has_case(c, flags.ascii) {
        Node::Set(chars::ignoring_case(&chars::ranges([(c, c)]), flags.ascii))
    } else {
        Node::Char(c)
    }
}

/// A lone surrogate: no text has one.
fn never() -> Node {
    Node::Set(chars::ranges([]))
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && letters.all(|c| c == '_' || c.is_alphanumeric())
}

fn bad_name(name: &str, offset: usize) -> PatternError {
    let message = if name.is_empty() {
        "a group's name is missing".into()
    } else {
        format!(
            "`{}` is no name for a group: letters, digits and `_`, and no digit first",
            name.escape_debug()
        )
    };
    PatternError { message, offset }
}

fn unclosed_name(offset: usize, end: &str) -> PatternError {
    PatternError { message: format!("the name of a group without its `{end}`"), offset }
}

fn no_such_name(name: &str, offset: usize) -> PatternError {
    PatternError { message: format!("there is no group `{name}` before this place"), offset }
}

fn open_group(group: usize, offset: usize) -> PatternError {
    PatternError { message: format!("group {group} is not closed before this place"), offset }
}
