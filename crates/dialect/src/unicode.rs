//! Sets of characters by Unicode's classes.

use std::cmp::Ordering;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// The set that a class in Rust's spelling stands for; it is a constant of this crate.
pub(crate) fn class(constant: &str) -> ClassUnicode {
    let hir = regex_syntax::parse(constant).expect("a constant of this crate");
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        other => unreachable!("a constant of this crate is a class, not {other:?}"),
    }
}

/// Is the character in the set?
pub(crate) fn contains(set: &ClassUnicode, c: char) -> bool {
    let found = set.ranges().binary_search_by(|range| {
        if range.end() < c {
            Ordering::Less
        } else if range.start() > c {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    });
    found.is_ok()
}
