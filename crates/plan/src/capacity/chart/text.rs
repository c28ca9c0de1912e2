//! The picture in a terminal: lines in braille, of eight dots a character, over a background of box characters.

use super::{Chart, FEWEST_PORTS, Line, grouped};

/// What a stretch of text shows, for whoever colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Nothing, or words.
    Plain,
    /// Axes and marks.
    Axis,
    /// What clients were seen to use.
    Usage,
    /// A number of public addresses.
    Line,
    /// What was asked about: numbers of clients and of public addresses.
    Asked,
}

/// A stretch of text of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The text, without line feeds.
    pub text: String,
    /// What it shows.
    pub ink: Ink,
}

/// Widths that the picture can have, in characters.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=100;
/// Room for the ports at the left, with the axis.
const LEFT: usize = 8;
/// Room for the labels of the lines, before they begin.
const LABELS: usize = 8;
/// Room for the usage at the right.
const RIGHT: usize = 14;

impl Chart<'_> {
    /// The picture in lines of characters, no wider than this (60 to 100).
    pub fn text(&self, width: usize) -> Vec<Vec<Span>> {
        let width = width.clamp(*WIDTHS.start(), *WIDTHS.end());
        let mut canvas = Canvas::new(self, width - LEFT - RIGHT);
        self.draw_background(&mut canvas);
        let mut lines = self.lines();
        for line in &lines {
            canvas.draw(line);
        }
        // Where two lines begin in one row, the number of the one that was asked about stands there.
        lines.sort_by_key(|line| !line.is_asked);
        canvas.label(&lines);
        let labels = self.side_labels(&canvas);
        let head = "ports each client gets, by number of public addresses";
        let mut rows = vec![vec![span(head, Ink::Plain)]];
        for row in 0..canvas.height {
            let mut spans = vec![canvas.axis(row)];
            spans.extend(canvas.spans(row));
            spans.extend(labels.iter().filter(|(at, ..)| *at == row).map(|(_, text, ink)| span(text, *ink)));
            rows.push(spans);
        }
        rows.extend(canvas.foot());
        rows
    }

    fn draw_background(&self, canvas: &mut Canvas) {
        let few = canvas.row(f64::from(FEWEST_PORTS).log2());
        canvas.fill_row(few, '·', Ink::Axis);
        let rows = self.usage_labels().iter().map(|(_, ports)| canvas.row(*ports)).collect::<Vec<_>>();
        if let [max, p99, median] = rows[..] {
            canvas.fill_row(max, '╌', Ink::Usage);
            for row in p99..=median {
                canvas.fill_row(row, '░', Ink::Usage);
            }
        }
        if let Some(clients) = self.clients() {
            canvas.fill_column((clients as f64).log2());
        }
    }

    /// What stands right of the plot: row, text, ink. No two are in one row.
    fn side_labels(&self, canvas: &Canvas) -> Vec<(usize, String, Ink)> {
        let mut labels: Vec<(usize, String, Ink)> = Vec::new();
        for (text, ports) in self.usage_labels() {
            let row = canvas.row(ports).max(labels.last().map_or(0, |(last, ..)| last + 1));
            labels.push((row, format!(" {text}"), Ink::Usage));
        }
        let few = canvas.row(f64::from(FEWEST_PORTS).log2());
        if labels.iter().all(|(row, ..)| *row != few) {
            labels.push((few, format!(" {FEWEST_PORTS}: too few"), Ink::Axis));
        }
        // The usage moved down out of the plot has no row to stand in: the table says it too.
        labels.retain(|(row, ..)| *row < canvas.height);
        labels
    }
}

fn span(text: impl Into<String>, ink: Ink) -> Span {
    Span { text: text.into(), ink }
}

/// A character: the dots of a braille pattern, or what is behind them.
#[derive(Clone, Copy)]
struct Cell {
    dots: u8,
    behind: char,
    ink: Ink,
}

struct Canvas {
    cells: Vec<Cell>,
    width: usize,
    height: usize,
    clients: (u32, u32),
    ports: (u32, u32),
}

impl Canvas {
    fn new(chart: &Chart<'_>, width: usize) -> Self {
        let ports = chart.port_octaves();
        // Three characters for two octaves.
        let height = (ports.1 - ports.0) as usize * 3 / 2 + 1;
        let cells = vec![Cell { dots: 0, behind: ' ', ink: Ink::Plain }; width * height];
        Self { cells, width, height, clients: chart.client_octaves(), ports }
    }

    /// The dot from the left, of two a character.
    fn x(&self, octave: f64) -> usize {
        let (first, last) = self.clients;
        let part = (octave - f64::from(first)) / f64::from(last.max(first + 1) - first);
        let room = (self.width - LABELS) * 2 - 1;
        LABELS * 2 + (part * room as f64).round() as usize
    }

    /// The dot from above, of four a character; `None` below the lower edge.
    fn y(&self, octave: f64) -> Option<usize> {
        let (first, last) = self.ports;
        let part = (f64::from(last) - octave) / f64::from(last - first);
        // Both edges lie in the middle of their character.
        let dot = (part * ((self.height - 1) * 4) as f64).round() + 1.0;
        (part <= 1.0).then_some(dot.max(0.0) as usize)
    }

    fn row(&self, octave: f64) -> usize {
        self.y(octave).map_or(self.height - 1, |dot| dot / 4)
    }

    fn fill_row(&mut self, row: usize, behind: char, ink: Ink) {
        for cell in &mut self.cells[row * self.width..][..self.width] {
            *cell = Cell { dots: 0, behind, ink };
        }
    }

    fn fill_column(&mut self, octave: f64) {
        let column = self.x(octave) / 2;
        for row in 0..self.height {
            self.cells[row * self.width + column] = Cell { dots: 0, behind: '┊', ink: Ink::Asked };
        }
    }

    fn draw(&mut self, line: &Line) {
        let ink = if line.is_asked { Ink::Asked } else { Ink::Line };
        for pair in line.points.windows(2) {
            // Finer than the dots, whichever way the line goes.
            for step in 0..=32 {
                let part = f64::from(step) / 32.0;
                let at = |a: f64, b: f64| a + (b - a) * part;
                if let Some(y) = self.y(at(pair[0].1, pair[1].1)) {
                    let x = self.x(at(pair[0].0, pair[1].0));
                    self.dot(x, y, ink);
                    if line.is_asked {
                        self.dot(x, y + 1, ink);
                    }
                }
            }
        }
    }

    /// Numbers of addresses, each before its line; where two would stand in one row, the first of them.
    fn label(&mut self, lines: &[Line]) {
        let mut taken = vec![false; self.height];
        for line in lines {
            let (x, y) = line.points[0];
            let row = self.row(y);
            if self.y(y).is_none() || std::mem::replace(&mut taken[row], true) {
                continue;
            }
            let text = format!("{} ", grouped(line.public));
            let start = (self.x(x) / 2).saturating_sub(text.len());
            let ink = if line.is_asked { Ink::Asked } else { Ink::Line };
            for (cell, letter) in
                self.cells[row * self.width..][start..self.width].iter_mut().zip(text.chars())
            {
                *cell = Cell { dots: 0, behind: letter, ink };
            }
        }
    }

    fn dot(&mut self, x: usize, y: usize, ink: Ink) {
        /// By column, then row: Unicode numbers the lowest two dots last.
        const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        if x / 2 < self.width && y / 4 < self.height {
            let cell = &mut self.cells[y / 4 * self.width + x / 2];
            cell.ink = if cell.dots == 0 { ink } else { cell.ink.max(ink) };
            cell.dots |= DOTS[x % 2][y % 4];
        }
    }

    fn spans(&self, row: usize) -> Vec<Span> {
        let cells = &self.cells[row * self.width..][..self.width];
        let letter = |cell: &Cell| match cell.dots {
            0 => cell.behind,
            dots => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(cell.behind),
        };
        let runs = cells.chunk_by(|a, b| a.ink == b.ink);
        runs.map(|run| span(run.iter().map(letter).collect::<String>(), run[0].ink)).collect()
    }

    /// The ports at the left of a row, at every second power of two.
    fn axis(&self, row: usize) -> Span {
        let (first, last) = self.ports;
        let octave = (first..=last).rev().find(|octave| self.row(f64::from(*octave)) == row);
        let text = match octave.filter(|octave| (last - octave).is_multiple_of(2)) {
            Some(octave) => format!("{:>6} ┤", grouped(1_u64 << octave)),
            None => format!("{:>6} │", ""),
        };
        span(text, Ink::Axis)
    }

    /// The axis of clients, with its marks, and its numbers under them.
    fn foot(&self) -> Vec<Vec<Span>> {
        let (first, last) = self.clients;
        let mut axis: Vec<char> = vec!['─'; self.width];
        let mut numbers = vec![' '; LEFT + self.width + RIGHT];
        // At least a space is left between two numbers.
        let longest = grouped(1_u64 << last).len() + 1;
        let step = ((last - first) as usize * longest).div_ceil(self.width - LABELS).max(1);
        for octave in (first..=last).step_by(step) {
            let column = self.x(f64::from(octave)) / 2;
            axis[column] = '┬';
            let text = grouped(1_u64 << octave);
            let start = LEFT + column - text.len() / 2;
            numbers[start..start + text.len()].copy_from_slice(&text.chars().collect::<Vec<_>>());
        }
        let axis = format!("{:>7}└{}", "", axis.iter().collect::<String>());
        let numbers = numbers.iter().collect::<String>().trim_end().to_owned();
        let middle = LEFT + f64::midpoint(LABELS as f64, self.width as f64) as usize;
        let name = format!("{:>1$}", "clients", middle + 3);
        vec![vec![span(axis, Ink::Axis)], vec![span(numbers, Ink::Axis)], vec![span(name, Ink::Plain)]]
    }
}
