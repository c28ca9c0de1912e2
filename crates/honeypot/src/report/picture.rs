//! The report as a picture: rectangles and texts with their places, drawn by [`super::svg`] and [`super::png`].

use super::bars::{Zone, sentences};
use super::model::{Report, Row, Table, grouped};
use super::visible::{cut, width};

/// A section's width (pixels).
const CARD: f64 = 760.0;
/// Room around and between sections.
const GAP: f64 = 24.0;
/// Room inside of a section, at its edges.
const PAD: f64 = 22.0;
/// Height of a section's heading.
const HEAD: f64 = 66.0;
/// Height of a bar with the room to the next.
const STEP: f64 = 23.0;
const BAR: f64 = 15.0;
/// Height of the columns of a course of time.
const COLUMNS: f64 = 190.0;
/// Sizes of letters.
const TITLE: f64 = 17.0;
const SMALL: f64 = 12.5;
const LABEL: f64 = 13.0;
/// Width of a letter of the label's face, for its size. That of DejaVu Sans Mono; others are narrower.
const ADVANCE: f64 = 0.602;
/// Most letters of a label.
const MOST_LETTERS: usize = 50;

const INK: &str = "#1c2733";
const QUIET: &str = "#5b6773";
const GRID: &str = "#e3e7ec";
const PAPER: &str = "#ffffff";
const GROUND: &str = "#f3f5f8";
/// One hue for all bars, which every eye tells from the ground by its lightness.
const FILL: &str = "#2b6cb0";
/// Behind a bar, as far as a bar could reach.
const TRACK: &str = "#edf1f6";

/// The letters of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Words.
    Sans,
    /// Headings.
    Bold,
    /// What attackers sent.
    Mono,
}

/// What of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// A text, or a rectangle.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A rectangle (pixels).
    Rect {
        /// Left edge.
        x: f64,
        /// Upper edge.
        y: f64,
        /// To the right.
        width: f64,
        /// Downward.
        height: f64,
        /// Colour as `#rrggbb`.
        fill: &'static str,
    },
    /// A text on its base line.
    Text {
        /// Where the anchor is.
        x: f64,
        /// The base line.
        y: f64,
        /// Size of letters.
        size: f64,
        /// Their form.
        face: Face,
        /// What of it is at `x`.
        anchor: Anchor,
        /// Colour as `#rrggbb`.
        fill: &'static str,
        /// The text, harmless.
        text: String,
    },
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// What it is of.
    pub title: String,
    /// What can be seen, in words.
    pub description: String,
    /// From the back to the front.
    pub shapes: Vec<Shape>,
}

/// Can a character be drawn? If not, its number is.
pub type CanBeDrawn = fn(char) -> bool;

/// The picture of one section.
pub fn of_table(table: &Table, can_be_drawn: CanBeDrawn) -> Picture {
    let mut pen = Pen { shapes: Vec::new(), can_be_drawn };
    let height = card_height(table);
    pen.rect(0.0, 0.0, CARD, height, PAPER);
    pen.card(table, 0.0, 0.0);
    Picture { width: CARD, height, title: table.title(), description: described(table), shapes: pen.shapes }
}

/// The picture of the whole report: sections in two columns, one if there is only one.
pub fn of_report(report: &Report, zone: &Zone<'_>, can_be_drawn: CanBeDrawn) -> Picture {
    let columns = report.tables.len().clamp(1, 2);
    let width = GAP + columns as f64 * (CARD + GAP);
    let mut pen = Pen { shapes: Vec::new(), can_be_drawn };
    let mut lines = sentences(&report.totals, zone);
    lines.extend(report.damage.as_ref().map(ToString::to_string));
    let mut top = GAP + 26.0;
    pen.text(GAP, top, 23.0, Face::Bold, Anchor::Start, INK, "SSH honeypot");
    top += 9.0;
    let letters = ((width - 2.0 * GAP) / (SMALL * 0.62)) as usize;
    for line in &lines {
        top += 20.0;
        pen.text(GAP, top, SMALL + 0.5, Face::Sans, Anchor::Start, QUIET, &cut(line, letters));
    }
    top += GAP;
    // Each section goes where there is more room.
    let mut ends = vec![top; columns];
    for table in &report.tables {
        let column = usize::from(columns > 1 && ends[1] < ends[0]);
        let (x, y) = (GAP + column as f64 * (CARD + GAP), ends[column]);
        let height = card_height(table);
        pen.rect(x, y, CARD, height, PAPER);
        pen.card(table, x, y);
        ends[column] += height + GAP;
    }
    let height = ends.iter().copied().fold(top, f64::max);
    let ground = Shape::Rect { x: 0.0, y: 0.0, width, height, fill: GROUND };
    pen.shapes.insert(0, ground);
    Picture {
        width,
        height,
        title: "SSH honeypot".to_owned(),
        description: lines.join("; "),
        shapes: pen.shapes,
    }
}

fn described(table: &Table) -> String {
    let rows: Vec<String> = table
        .rows
        .iter()
        .filter(|row| row.count > 0)
        .take(10)
        .map(|row| format!("{} {}", row.label(), grouped(row.count)))
        .collect();
    format!("{}. {}.", table.subtitle(), rows.join(", "))
}

fn card_height(table: &Table) -> f64 {
    if table.section.is_course() && !table.rows.is_empty() {
        HEAD + COLUMNS + 44.0
    } else {
        HEAD + table.rows.len().max(1) as f64 * STEP + PAD - 6.0
    }
}

struct Pen {
    shapes: Vec<Shape>,
    can_be_drawn: CanBeDrawn,
}

impl Pen {
    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &'static str) {
        self.shapes.push(Shape::Rect { x, y, width, height, fill });
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "they are a text's attributes, each of another type or order"
    )]
    fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        face: Face,
        anchor: Anchor,
        fill: &'static str,
        text: &str,
    ) {
        self.shapes.push(Shape::Text { x, y, size, face, anchor, fill, text: text.to_owned() });
    }

    fn card(&mut self, table: &Table, x: f64, y: f64) {
        self.text(x + PAD, y + 31.0, TITLE, Face::Bold, Anchor::Start, INK, &table.title());
        self.text(x + PAD, y + 50.0, SMALL, Face::Sans, Anchor::Start, QUIET, &table.subtitle());
        let top = y + HEAD;
        if table.rows.is_empty() {
            self.text(x + PAD, top + 12.0, LABEL, Face::Sans, Anchor::Start, QUIET, "nothing");
        } else if table.section.is_course() {
            self.columns(table, x, top);
        } else {
            self.rows(table, x, top);
        }
    }

    fn rows(&mut self, table: &Table, x: f64, top: f64) {
        let label = |row: &Row| cut(&row.label_if(self.can_be_drawn), MOST_LETTERS);
        let labels: Vec<String> = table.rows.iter().map(label).collect();
        let told = |row: &Row| (grouped(row.count), table.share(row.count).to_string());
        let told: Vec<(String, String)> = table.rows.iter().map(told).collect();
        let letters = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        let label_width = letters as f64 * LABEL * ADVANCE;
        let count_letters = told.iter().map(|(count, _)| count.len()).max().unwrap_or(0);
        // Digits of DejaVu Sans, the widest of the faces, are 0.64 of their size.
        let count_width = count_letters as f64 * SMALL * 0.64;
        let share_width = 58.0;
        let left = x + PAD + label_width + 12.0;
        let right = x + CARD - PAD - count_width - share_width - 12.0;
        let most = table.rows.iter().map(|row| row.count).max().unwrap_or(1).max(1);
        for (place, ((row, label), (count, share))) in table.rows.iter().zip(&labels).zip(&told).enumerate() {
            let y = top + place as f64 * STEP;
            let base = y + 12.0;
            self.text(x + PAD, base, LABEL, Face::Mono, Anchor::Start, INK, label);
            self.rect(left, y, right - left, BAR, TRACK);
            if row.count > 0 {
                let length = ((right - left) * row.count as f64 / most as f64).max(1.5);
                self.rect(left, y, length, BAR, FILL);
            }
            self.text(right + 12.0 + count_width, base, SMALL, Face::Sans, Anchor::End, INK, count);
            self.text(x + CARD - PAD, base, SMALL, Face::Sans, Anchor::End, QUIET, share);
        }
    }

    fn columns(&mut self, table: &Table, x: f64, top: f64) {
        let most = table.rows.iter().map(|row| row.count).max().unwrap_or(1);
        let step = round_step(most);
        let upper = most.max(1).div_ceil(step) * step;
        let axis_letters = grouped(upper).len();
        let left = x + PAD + axis_letters as f64 * SMALL * 0.64 + 10.0;
        let (right, bottom) = (x + CARD - PAD, top + COLUMNS);
        for mark in (0..=upper / step).map(|mark| mark * step) {
            let y = bottom - COLUMNS * mark as f64 / upper as f64;
            self.rect(left, y - 0.5, right - left, 1.0, if mark == 0 { QUIET } else { GRID });
            self.text(left - 10.0, y + 4.5, SMALL, Face::Sans, Anchor::End, QUIET, &grouped(mark));
        }
        let each = (right - left) / table.rows.len() as f64;
        let bar = (each * 0.74).min(64.0);
        let letters = table.rows.iter().map(|row| row.value.len()).max().unwrap_or(1);
        let label_width = letters as f64 * SMALL * 0.64 + 12.0;
        let every = (label_width / each).ceil().max(1.0) as usize;
        for (place, row) in table.rows.iter().enumerate() {
            let middle = left + (place as f64 + 0.5) * each;
            if row.count > 0 {
                let height = (COLUMNS * row.count as f64 / upper as f64).max(1.0);
                self.rect(middle - bar / 2.0, bottom - height, bar, height, FILL);
            }
            let is_cut = middle + label_width / 2.0 > x + CARD;
            if place % every == 0 && !is_cut {
                let label = row.label();
                self.text(middle, bottom + 19.0, SMALL, Face::Sans, Anchor::Middle, QUIET, &label);
            }
        }
    }
}

/// The distance of marks: 1, 2 or 5 times a power of ten, so that there are at most five.
fn round_step(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if most / step < 5 || step == u64::MAX {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_round() {
        assert_eq!([1, 9, 10, 49, 50, 123_456].map(round_step), [1, 2, 5, 10, 20, 50_000]);
        assert!(round_step(u64::MAX) > u64::MAX / 6);
    }
}
