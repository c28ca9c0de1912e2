//! A text with references to macros, and the copies that are made of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::resolve::Macros;
use super::words::{Unclosed, candidates};

/// Numbers of macros by their names.
pub(super) type Names<'t> = HashMap<&'t str, usize>;

/// A text in which macros are named.
pub(super) struct Template<'t> {
    parts: Vec<Part<'t>>,
    /// The macros' numbers, each once, by their first references.
    pub(super) macros: Vec<usize>,
}

/// A part of it.
enum Part<'t> {
    /// It stays.
    Text(&'t str),
    /// A word of a macro; which one of the template's macros.
    Macro(usize),
}

/// A macro that is named.
pub(super) struct Reference {
    /// Its number.
    pub(super) number: usize,
    /// The place in the text.
    pub(super) span: Range<usize>,
    /// Is the negation of it meant?
    pub(super) is_negated: bool,
}

impl<'t> Template<'t> {
    /// Finds the references in a text, and tells each.
    pub(super) fn of(
        text: &'t str,
        names: &Names<'_>,
        mut tell: impl FnMut(Reference),
    ) -> Result<Self, Unclosed> {
        let mut template = Self { parts: Vec::new(), macros: Vec::new() };
        let mut end = 0;
        candidates(text, |candidate| {
            let Some(number) = names.get(&text[candidate.span.clone()]).copied() else { return };
            template.add(&text[end..candidate.span.start], number);
            end = candidate.span.end;
            tell(Reference { number, span: candidate.span, is_negated: candidate.is_negated });
        })?;
        template.parts.push(Part::Text(&text[end..]));
        Ok(template)
    }

    /// The same, from references that were found already.
    pub(super) fn new(text: &'t str, references: &[(Range<usize>, usize)]) -> Self {
        let mut template = Self { parts: Vec::new(), macros: Vec::new() };
        let mut end = 0;
        for (span, number) in references {
            template.add(&text[end..span.start], *number);
            end = span.end;
        }
        template.parts.push(Part::Text(&text[end..]));
        template
    }

    fn add(&mut self, before: &'t str, number: usize) {
        self.parts.push(Part::Text(before));
        let place = self.macros.iter().position(|known| *known == number).unwrap_or_else(|| {
            self.macros.push(number);
            self.macros.len() - 1
        });
        self.parts.push(Part::Macro(place));
    }

    /// Is no macro named?
    pub(super) fn is_plain(&self) -> bool {
        self.macros.is_empty()
    }

    /// Copies that there are: every combination of the words. None if a macro has no words because its definition is wrong.
    pub(super) fn combinations(&self, macros: &Macros<'_>) -> u64 {
        let count = |number: &usize| macros[*number].words.len() as u64;
        // A macro without words makes nothing, however many combinations the others have.
        if self.macros.iter().any(|number| count(number) == 0) {
            return 0;
        }
        self.macros.iter().fold(1, |product: u64, number| product.saturating_mul(count(number)))
    }

    /// No copy is longer than this, in bytes.
    pub(super) fn longest(&self, macros: &Macros<'_>) -> u64 {
        let length = |part: &Part<'_>| match part {
            Part::Text(text) => text.len(),
            Part::Macro(place) => macros[self.macros[*place]].longest,
        };
        self.parts.iter().map(|part| length(part) as u64).sum()
    }

    /// All copies as words of their own, the words of the first macro changing slowest.
    pub(super) fn words(&self, macros: &Macros<'t>, out: &mut Vec<Cow<'t, str>>) {
        match self.parts.as_slice() {
            [Part::Text(plain)] => out.push(Cow::Borrowed(plain)),
            // The commonest: the word is the macro's name and nothing else.
            [Part::Text(""), Part::Macro(_), Part::Text("")] => {
                out.extend_from_slice(&macros[self.macros[0]].words);
            }
            _ => {
                let combinations = self.combinations(macros);
                let mut copies = String::new();
                // No word has a line's end in it.
                self.write(macros, combinations, "\n", &mut copies);
                out.extend(copies.split('\n').map(|copy| Cow::Owned(copy.to_owned())));
            }
        }
    }

    /// Writes all copies, the words of the first macro changing slowest, with a text between them. The number must be that of
    /// [`Template::combinations`].
    ///
    /// This is the inner loop of it all; `cargo bench -p unmasq-rules --bench generate` guards it.
    pub(super) fn write(&self, macros: &Macros<'_>, combinations: u64, between: &str, out: &mut String) {
        let words: Vec<&[Cow<'_, str>]> = self.macros.iter().map(|n| macros[*n].words.as_slice()).collect();
        let mut turns = vec![0; words.len()];
        for copy in 0..combinations {
            if copy > 0 {
                out.push_str(between);
            }
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Macro(place) => out.push_str(&words[*place][turns[*place]]),
                }
            }
            for (turn, words) in turns.iter_mut().zip(&words).rev() {
                *turn += 1;
                if *turn < words.len() {
                    break;
                }
                *turn = 0;
            }
        }
    }
}
