//! How values are printed for people.

use std::fmt;
use std::io::{self, Write};

use anstyle::Style;

/// Prints a line of spans, each in its style; blanks at its end are left out.
pub(crate) fn styled_line<'s>(
    out: &mut impl Write,
    spans: impl ExactSizeIterator<Item = (Style, &'s str)>,
) -> io::Result<()> {
    let mut left = spans.len();
    for (style, text) in spans {
        left -= 1;
        // Nothing follows that blanks could keep in its place.
        let text = if left == 0 { text.trim_end() } else { text };
        write!(out, "{style}{text}{style:#}")?;
    }
    writeln!(out)
}

/// A number of bytes, with a binary unit and one digit: `640 B`, `1.4 MiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut value = self.0 as f64;
        let mut unit = None;
        for larger in UNITS {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = Some(larger);
        }
        match unit {
            None => write!(f, "{} B", self.0),
            Some(unit) => write!(f, "{value:.1} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_fits() {
        let text = |n| Bytes(n).to_string();
        assert_eq!(
            [text(0), text(1023), text(1024), text(1_500_000)],
            ["0 B", "1023 B", "1.0 KiB", "1.4 MiB"]
        );
        assert_eq!(text(u64::MAX), "16384.0 PiB");
    }
}
