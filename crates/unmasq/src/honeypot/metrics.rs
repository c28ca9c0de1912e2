//! What the honeypot counts.

use unmasq_metrics::{Gauge, Labelled, Page, Total};

/// All that is counted. Shared by an `Arc`.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Connections accepted.
    pub(super) accepted: Total,
    /// Connections open now.
    pub(super) open: Gauge,
    /// Connections turned away. `reason`: full, address, proxy, descriptors.
    pub(super) refused: Labelled<1>,
    /// Attempts. `method`.
    pub(super) attempts: Labelled<1>,
    /// Key exchanges that were done.
    pub(super) negotiated: Total,
    /// Connections held up now.
    pub(super) held: Gauge,
    /// Lines written, and lines lost. `state`.
    pub(super) lines: Labelled<1>,
    /// Addresses put into the set.
    pub(super) elements: Total,
    /// Addresses that could not be.
    pub(super) elements_failed: Total,
    /// Questions to the book. `outcome`: found, unknown, failed.
    pub(super) book: Labelled<1>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: Total::default(),
            open: Gauge::default(),
            refused: Labelled::new(["reason"]),
            attempts: Labelled::new(["method"]),
            negotiated: Total::default(),
            held: Gauge::default(),
            lines: Labelled::new(["state"]),
            elements: Total::default(),
            elements_failed: Total::default(),
            book: Labelled::new(["outcome"]),
        }
    }
}

impl Metrics {
    /// The page as it is now.
    pub(super) fn page(&self) -> String {
        let mut page = Page::new("unmasq_honeypot");
        page.total("connections_total", "Connections accepted", &self.accepted);
        page.gauge("connections", "Connections open", &self.open);
        page.totals("connections_refused_total", "Connections turned away", &self.refused);
        page.total("key_exchanges_total", "Key exchanges that were done", &self.negotiated);
        page.totals("attempts_total", "Attempts to authenticate", &self.attempts);
        page.gauge("tarpit_connections", "Connections that are held up", &self.held);
        page.totals("lines_total", "Lines written to files, or lost", &self.lines);
        page.total("set_elements_total", "Addresses put into the set", &self.elements);
        page.total("set_elements_failed_total", "Addresses that the kernel refused", &self.elements_failed);
        page.totals("book_questions_total", "Questions to the book", &self.book);
        page.into_text()
    }
}
