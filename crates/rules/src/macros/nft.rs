//! Rulesets of nft: a macro becomes a set, defined at the head of the file, and the rule stays one.
//!
//! `ip saddr OFFICE accept` becomes `ip saddr $OFFICE accept`, with `define OFFICE = { 192.0.2.1, 192.0.2.2 }` above. nft takes
//! no variable everywhere, so in some places the words themselves are written: where the macro is only part of what nft
//! reads as one word (`NET/24`, `LAN.100`) or of an element of a set or map (`{ NET : accept }`), and, if it has one word only,
//! where nft wants a plain one (`log prefix`, `jump`). Where several words cannot stand at all (`dnat to`), it is an error: nft
//! 1.0.6 does not refuse all such files, of some it dies.

pub(super) mod definitions;
mod places;
mod scan;

use std::ops::Range;
use std::path::Path;

use self::scan::{Scan, Seen, Site};
use super::Source;
use super::budget::Budget;
use super::iptables::{too_many, warn_of_definition};
use super::problems::Findings;
use super::resolve::Macros;
use super::template::Template;
use super::words::{end_of_word, is_of_word};

/// Puts sets in place of the macros of a ruleset; `vars` is the file of the macros.
pub(super) fn expand(
    input: Source<'_>,
    vars: &Path,
    macros: &mut Macros<'_>,
    budget: &mut Budget,
    findings: &mut Findings,
) -> String {
    let mut body = Body {
        out: String::with_capacity(input.text.len() + input.text.len() / 8),
        copied: 0,
        defined: Vec::new(),
        macros,
        budget,
        findings,
        input: input.text,
        pending: Vec::new(),
    };
    for seen in Scan::new(input.text) {
        match seen {
            Seen::Comment(span) => {
                warn_of_definition(&input.text[span.clone()], span.start, vars, body.findings);
            }
            Seen::Word(site) => body.word(site),
            Seen::Set => body.each_alone(),
            Seen::Element(span) => body.element(span),
            Seen::UnclosedQuote(span) => {
                body.findings.error(span, || "this quote is not closed anywhere".to_owned());
            }
            Seen::CarriageReturn(span) => body.findings.warning(span, || {
                "nft takes no lines that end in CR LF: save the file with Unix line ends".to_owned()
            }),
        }
    }
    body.finish(vars)
}

/// The ruleset that is being written.
struct Body<'t, 'm, 'v> {
    input: &'t str,
    /// Of the element that is being read.
    pending: Vec<Named<'t>>,
    out: String,
    /// The input is written up to here.
    copied: usize,
    /// Macros to define; may name one several times.
    defined: Vec<usize>,
    macros: &'m mut Macros<'v>,
    budget: &'m mut Budget,
    findings: &'m mut Findings,
}

/// A word that names macros.
struct Named<'t> {
    site: Site<'t>,
    /// The macro, if the word is its name and nothing else.
    whole: Option<usize>,
    /// All that are named.
    template: Template<'t>,
    /// Their places in the word.
    references: Vec<(Range<usize>, usize)>,
}

impl<'t> Body<'t, '_, '_> {
    fn word(&mut self, site: Site<'t>) {
        let text = site.text;
        // Nearly all words name no macro and are looked up once.
        let whole = self.macros.names.get(text).copied();
        let references = match whole {
            Some(number) => vec![(0..text.len(), number)],
            None if text.bytes().all(is_of_word) => return,
            None => self.references(text),
        };
        let Some((_, number)) = references.first() else { return };
        for (_, number) in &references {
            self.macros[*number].is_used = true;
        }
        if site.before == "$" {
            // nft reads all of it as one name.
            self.defined.extend(whole);
            return;
        }
        if let Some(message) = places::forbidden(self.macros[*number].name, &site, whole.is_some()) {
            self.error(&site, || message);
            return;
        }
        if site.is_defined {
            // A longer name of the file's own.
            return;
        }
        let template = Template::new(text, &references);
        let named = Named { site, whole, template, references };
        if named.site.is_in_set {
            self.pending.push(named);
        } else {
            self.alone(&named);
        }
    }

    /// Replaces a word by itself.
    fn alone(&mut self, named: &Named<'_>) {
        let Named { site, whole, template, .. } = named;
        match template.combinations(self.macros) {
            // Its definition is wrong, which is told already.
            0 => {}
            1 => match whole {
                Some(number) if !self.must_be_plain(site, *number) => self.variable(site, *number),
                _ => self.plain(site.span(), template, 1, false),
            },
            several => match (places::single(site), whole) {
                (Some(place), _) => self.refuse(site, several, &place),
                (None, Some(number)) => self.variable(site, *number),
                (None, None) => self.plain(site.span(), template, several, !site.is_in_set),
            },
        }
    }

    /// What was found in an element that cannot be multiplied.
    fn each_alone(&mut self) {
        for named in std::mem::take(&mut self.pending) {
            self.alone(&named);
        }
    }

    /// Replaces what was found in an element: if that is more than a macro's name, the whole element is copied for every
    /// combination. With a set as key of a map, or as part of a concatenation, nft 1.0.6 does not always come to a good end.
    fn element(&mut self, span: Range<usize>) {
        let several = |named: &Named<'_>| named.template.combinations(self.macros) > 1;
        let is_one_word = matches!(self.pending.as_slice(), [only] if only.site.span() == span);
        if is_one_word || !self.pending.iter().any(several) {
            return self.each_alone();
        }
        let pending = std::mem::take(&mut self.pending);
        let mut references = Vec::new();
        for named in &pending {
            let count = named.template.combinations(self.macros);
            let before = named.site.before;
            if count > 1 && (before == ":" || places::is_plain(before)) {
                self.refuse(&named.site, count, &format!("behind `{before}`"));
                return;
            }
            let start = named.site.start - span.start;
            let moved =
                |(place, number): &(Range<usize>, usize)| (start + place.start..start + place.end, *number);
            references.extend(named.references.iter().map(moved));
        }
        let template = Template::new(&self.input[span.clone()], &references);
        let combinations = template.combinations(self.macros);
        self.plain(span, &template, combinations, false);
    }

    /// Macros in what nft reads as one word.
    fn references(&self, text: &str) -> Vec<(Range<usize>, usize)> {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(skipped) = bytes[at..].iter().position(|byte| is_of_word(*byte)) {
            let start = at + skipped;
            at = end_of_word(bytes, start);
            found.extend(self.macros.names.get(&text[start..at]).map(|number| (start..at, *number)));
        }
        found
    }

    /// Can the only word of a macro not be a variable here?
    fn must_be_plain(&self, site: &Site<'_>, number: usize) -> bool {
        places::is_plain_if_one(site.before) || definitions::is_doing(&self.macros[number].words[0])
    }

    fn variable(&mut self, site: &Site<'_>, number: usize) {
        self.copy_to(site.start);
        self.out.push('$');
        self.defined.push(number);
    }

    /// Writes the words themselves.
    fn plain(&mut self, span: Range<usize>, template: &Template<'_>, combinations: u64, is_set: bool) {
        let bytes = combinations.saturating_mul(template.longest(self.macros) + 2);
        // They are elements, not lines, but as many of them would be as bad.
        if let Err(exceeded) = self.budget.take(combinations, bytes) {
            let message = too_many(template, combinations, &exceeded, self.macros, "elements");
            self.findings.error(span, || message);
            return;
        }
        self.copy_to(span.start);
        if is_set {
            self.out.push_str("{ ");
        }
        template.write(self.macros, combinations, ", ", &mut self.out);
        if is_set {
            self.out.push_str(" }");
        }
        self.copied = span.end;
    }

    fn copy_to(&mut self, at: usize) {
        self.out.push_str(&self.input[self.copied..at]);
        self.copied = at;
    }

    fn error(&mut self, site: &Site<'_>, message: impl FnOnce() -> String) {
        self.findings.error(site.span(), message);
    }

    fn refuse(&mut self, site: &Site<'_>, count: u64, place: &str) {
        let text = site.text;
        self.error(site, || {
            format!("{text} has {count} words here, and {place} only one can stand; {}", places::remedy(site))
        });
    }

    /// The whole file: definitions first, though behind the line that names its interpreter.
    fn finish(mut self, vars: &Path) -> String {
        self.each_alone();
        self.copy_to(self.input.len());
        self.defined.sort_unstable();
        self.defined.dedup();
        if self.defined.is_empty() {
            return self.out;
        }
        let first_line = self.out.find('\n').map_or(self.out.len(), |end| end + 1);
        let head = if self.out.starts_with("#!") { first_line } else { 0 };
        let end = if self.out[..first_line].ends_with("\r\n") { "\r\n" } else { "\n" };
        let mut whole = self.out[..head].to_owned();
        if head > 0 && !whole.ends_with('\n') {
            whole.push_str(end);
        }
        let name = vars.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?");
        whole.push_str("# Macros of ");
        whole.push_str(&name);
        whole.push_str(end);
        for number in self.defined {
            definitions::define(&mut whole, self.macros[number].name, &self.macros[number].words);
            whole.push_str(end);
        }
        whole.push_str(&self.out[head..]);
        whole
    }
}
