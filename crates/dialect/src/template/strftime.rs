//! Times as glibc's strftime writes them, in the C locale, for a time without a zone.

use jiff::civil::{DateTime, Weekday};

use super::Template;
use super::repr::Local;

/// Appends a time. What follows no `%` stands for itself, and so does what is no conversion.
pub(super) fn write(out: &mut String, local: &Local, format: &str) -> Result<(), String> {
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        let conversion = Conversion::read(&rest[percent..]);
        if conversion.width.is_some_and(|width| width > Template::WIDEST) {
            return Err(format!("a width is at most {}", Template::WIDEST));
        }
        if !conversion.write(out, local) {
            conversion.text(out, conversion.text, conversion.upper);
        }
        rest = &rest[percent + conversion.text.len()..];
    }
    out.push_str(rest);
    Ok(())
}

/// `%-d`, `%010Y`: a percent sign, flags, a width, `E` or `O` and a letter.
struct Conversion<'f> {
    text: &'f str,
    /// `_` blanks, `-` nothing, `0` zeros.
    padding: Option<char>,
    /// `^`
    upper: bool,
    /// `#`
    swap: bool,
    width: Option<usize>,
    letter: char,
}

/// How a number is written where nothing is said: how many digits, and with what in front.
type Digits = (i64, usize, char);

impl<'f> Conversion<'f> {
    /// From a `%`. The letter is a zero if the text ends before it.
    fn read(text: &'f str) -> Self {
        let mut made = Self { text, padding: None, upper: false, swap: false, width: None, letter: '\0' };
        let mut letters = text.char_indices().skip(1).peekable();
        while let Some((_, c)) = letters.next_if(|(_, c)| matches!(c, '_' | '-' | '0' | '^' | '#')) {
            match c {
                '^' => made.upper = true,
                '#' => made.swap = true,
                _ => made.padding = Some(c),
            }
        }
        while let Some((_, digit)) = letters.next_if(|(_, c)| c.is_ascii_digit()) {
            let digit = digit as usize - '0' as usize;
            made.width = Some(made.width.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        }
        letters.next_if(|(_, c)| matches!(c, 'E' | 'O'));
        if let Some((at, letter)) = letters.next() {
            made.text = &text[..at + letter.len_utf8()];
            made.letter = letter;
        }
        made
    }

    /// `false` for what is no conversion.
    fn write(&self, out: &mut String, local: &Local) -> bool {
        let time = local.civil;
        if let Some(number) = number(self.letter, local) {
            self.number(out, number);
            return true;
        }
        let name = match self.letter {
            'a' => &WEEKDAYS[weekday(time)][..3],
            'A' => WEEKDAYS[weekday(time)],
            'b' | 'h' => &MONTHS[month(time)][..3],
            'B' => MONTHS[month(time)],
            'p' if self.swap => ["am", "pm"][usize::from(time.hour() >= 12)],
            'p' => ["AM", "PM"][usize::from(time.hour() >= 12)],
            'P' => ["am", "pm"][usize::from(time.hour() >= 12)],
            'n' => "\n",
            't' => "\t",
            '%' => "%",
            // The time has no zone.
            'z' | 'Z' => "",
            // Python's own, which knows no flags.
            'f' if self.text == "%f" => {
                self.number(out, (i64::from(time.subsec_nanosecond() / 1000), 6, '0'));
                return true;
            }
            'c' => return self.parts(out, local, "%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => return self.parts(out, local, "%m/%d/%y"),
            'F' => return self.parts(out, local, "%Y-%m-%d"),
            'r' => return self.parts(out, local, "%I:%M:%S %p"),
            'R' => return self.parts(out, local, "%H:%M"),
            'T' | 'X' => return self.parts(out, local, "%H:%M:%S"),
            _ => return false,
        };
        // `#` makes names upper case, as no name is so already but AM and PM.
        let upper = self.upper || (self.swap && matches!(self.letter, 'a' | 'A' | 'b' | 'B' | 'h'));
        self.text(out, name, upper);
        true
    }

    fn number(&self, out: &mut String, (value, digits, fill): Digits) {
        let fill = match self.padding {
            Some('_') => Some(' '),
            Some('-') => None,
            Some(_) => Some('0'),
            None => Some(fill),
        };
        let text = value.to_string();
        let width = self.width.unwrap_or(0).max(if fill.is_some() { digits } else { 0 });
        super::spec::pad(out, fill.unwrap_or(' '), width.saturating_sub(text.len()));
        out.push_str(&text);
    }

    fn text(&self, out: &mut String, text: &str, upper: bool) {
        let fill = if self.padding == Some('0') { '0' } else { ' ' };
        super::spec::pad(out, fill, self.width.unwrap_or(0).saturating_sub(text.chars().count()));
        if upper {
            out.extend(text.chars().map(|c| c.to_ascii_uppercase()));
        } else {
            out.push_str(text);
        }
    }

    fn parts(&self, out: &mut String, local: &Local, format: &str) -> bool {
        let mut text = String::new();
        let written = write(&mut text, local, format);
        self.text(out, &text, self.upper);
        written.is_ok()
    }
}

/// What is written as a number.
fn number(letter: char, local: &Local) -> Option<Digits> {
    let time = local.civil;
    let year = i64::from(time.year());
    let hour = i64::from(time.hour());
    let hour_of_12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let iso = time.date().iso_week_date();
    let day_of_year = i64::from(time.date().day_of_year());
    let from_sunday = i64::from(time.weekday().to_sunday_zero_offset());
    let from_monday = i64::from(time.weekday().to_monday_zero_offset());
    Some(match letter {
        'C' => (year.div_euclid(100), 2, '0'),
        'd' => (i64::from(time.day()), 2, '0'),
        'e' => (i64::from(time.day()), 2, ' '),
        'g' => (i64::from(iso.year()).rem_euclid(100), 2, '0'),
        // Of four digits for all years that a time can have here.
        'G' => (i64::from(iso.year()), 1, '0'),
        'H' => (hour, 2, '0'),
        'I' => (hour_of_12, 2, '0'),
        'j' => (day_of_year, 3, '0'),
        'k' => (hour, 2, ' '),
        'l' => (hour_of_12, 2, ' '),
        'm' => (i64::from(time.month()), 2, '0'),
        'M' => (i64::from(time.minute()), 2, '0'),
        's' => (local.seconds, 1, '0'),
        'S' => (i64::from(time.second()), 2, '0'),
        'u' => (i64::from(time.weekday().to_monday_one_offset()), 1, '0'),
        'U' => ((day_of_year + 6 - from_sunday) / 7, 2, '0'),
        'V' => (i64::from(iso.week()), 2, '0'),
        'w' => (from_sunday, 1, '0'),
        'W' => ((day_of_year + 6 - from_monday) / 7, 2, '0'),
        'y' => (year.rem_euclid(100), 2, '0'),
        'Y' => (year, 1, '0'),
        _ => return None,
    })
}

fn weekday(time: DateTime) -> usize {
    time.weekday().since(Weekday::Sunday).unsigned_abs().into()
}

fn month(time: DateTime) -> usize {
    usize::from(time.month().unsigned_abs()) - 1
}

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
