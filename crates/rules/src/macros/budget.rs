//! How large a result may become: macros in macros multiply, and a slip of the pen asks for more than there is memory.

/// No result is larger than this, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// What is left.
pub(super) struct Budget {
    most_lines: u64,
    lines: u64,
    bytes: u64,
}

/// It is used up.
pub(super) enum Exceeded {
    /// There would be more lines than this.
    Lines(u64),
    /// There would be more bytes than this.
    Bytes(u64),
}

impl Budget {
    /// Of so many lines.
    pub(super) fn new(most_lines: u64) -> Self {
        Self { most_lines, lines: most_lines, bytes: MOST_BYTES }
    }

    /// Takes so many lines with so many bytes together, if there are so many left.
    pub(super) fn take(&mut self, lines: u64, bytes: u64) -> Result<(), Exceeded> {
        if lines > self.lines {
            return Err(Exceeded::Lines(self.most_lines));
        }
        if bytes > self.bytes {
            return Err(Exceeded::Bytes(MOST_BYTES));
        }
        self.lines -= lines;
        self.bytes -= bytes;
        Ok(())
    }

    /// Takes a line that is in the result in any case.
    pub(super) fn pass(&mut self) {
        self.lines = self.lines.saturating_sub(1);
    }
}

impl Exceeded {
    /// "more than … words", of what was counted.
    pub(super) fn more_than(&self, counted: &str) -> String {
        match self {
            Self::Lines(lines) => format!("more than {lines} {counted}"),
            Self::Bytes(bytes) => format!("more than {} MiB", bytes >> 20),
        }
    }
}
