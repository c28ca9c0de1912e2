//! Python's regular expressions and format strings, compiled.
