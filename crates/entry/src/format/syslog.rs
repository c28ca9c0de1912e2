//! Syslog lines: RFC 5424, RFC 3164 as programs really send it, and as log files keep it without `<PRI>`.
//!
//! ```text
//!  <38>1 2026-11-21T08:57:28.761+01:00 gw sshd 7 - [x@1 k="v"] text     RFC 5424
//!  <38>Nov 21 08:57:28 gw sshd[7]: text                                 RFC 3164
//!  <38>Nov 21 08:57:28 sshd[7]: text                                    the same without a host: local programs, HAProxy
//!  Nov 21 08:57:28 gw sshd[7]: text                                     a log file
//!  2026-11-21T08:57:28.761+01:00 gw sshd[7]: text                       a log file of rsyslog's
//! ```
//!
//! Every line gives an entry: what is not understood as a header is `MESSAGE`.

use super::stamp::Stamps;
use crate::{Entry, Fields, Value};

/// The names that a syslog line can fill, apart from `SD_<id>_<name>`.
pub(super) const FIELDS: [&str; 8] = [
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_TIMESTAMP",
    "_HOSTNAME",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "MSGID",
    "MESSAGE",
];

/// Does a line look like one of the forms above?
pub(super) fn is_likely(line: &[u8]) -> bool {
    let Some(text) = line.get(..line.len().min(64)) else { return false };
    let text = String::from_utf8_lossy(text);
    let rest = priority(&text).map_or(&*text, |(_, rest)| rest);
    let mut stamps = Stamps::new(jiff::tz::TimeZone::UTC, unmasq_flow::Timestamp::default());
    let is_stamped = |after: &str| after.starts_with(' ');
    rest.len() < text.len()
        || stamps.rfc3164(rest).is_some_and(|(_, after)| is_stamped(after))
        || stamps.rfc3339(rest).is_some_and(|(_, after)| is_stamped(after))
}

/// Fills an entry from one line. `name` is scratch space.
pub(super) fn parse(line: &str, stamps: &mut Stamps, name: &mut String, entry: &mut Entry, fields: &Fields) {
    let mut rest = line;
    let mut is_sent = false;
    if let Some((value, after)) = priority(line) {
        set(entry, fields, "PRIORITY", Value::Integer(i64::from(value % 8)));
        set(entry, fields, "SYSLOG_FACILITY", Value::Integer(i64::from(value / 8)));
        rest = after;
        is_sent = true;
        if let Some(after) = rest.strip_prefix("1 ")
            && let Some(header) = Header::read(after, stamps)
        {
            return header.fill(name, entry, fields);
        }
    }
    let stamp = stamps.rfc3164(rest).or_else(|| stamps.rfc3339(rest));
    let stamp = stamp.filter(|(_, after)| after.is_empty() || after.starts_with([' ', ':']));
    let is_stamped = stamp.is_some();
    if let Some((time, after)) = stamp {
        entry.time = Some(time);
        set(entry, fields, "SYSLOG_TIMESTAMP", Value::Text(&rest[..rest.len() - after.len()]));
        // Some network devices end the time with a colon.
        rest = after.strip_prefix(':').unwrap_or(after).trim_start_matches(' ');
    }
    if is_stamped || is_sent {
        rest = origin(rest, is_stamped, entry, fields);
    }
    set(entry, fields, "MESSAGE", Value::Text(rest));
}

fn set(entry: &mut Entry, fields: &Fields, name: &str, value: Value<'_>) {
    if let Some(slot) = fields.find(name) {
        entry.set(slot, value);
    }
}

/// `<38>`: facility * 8 + severity, at most 191.
fn priority(line: &str) -> Option<(u8, &str)> {
    let (value, rest) = line.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    let value = value.parse().ok().filter(|value| is_number && *value <= 191)?;
    Some((value, rest))
}

/// Takes the host and the program off; what remains is the message. The host is there if a program's tag follows it,
/// or if no tag does and the first word is no tag itself: local programs leave the host out.
fn origin<'l>(rest: &'l str, may_have_host: bool, entry: &mut Entry, fields: &Fields) -> &'l str {
    let (tagged, host) = match tag(rest) {
        Some(tagged) => (Some(tagged), None),
        None if may_have_host => match rest.split_once(' ') {
            Some((host, after)) if is_host(host) => (tag(after), Some((host, after))),
            _ => (None, None),
        },
        None => (None, None),
    };
    if let Some((host, _)) = host {
        set(entry, fields, "_HOSTNAME", Value::Text(host));
    }
    match (tagged, host) {
        (Some(tagged), _) => {
            set(entry, fields, "SYSLOG_IDENTIFIER", Value::Text(tagged.program));
            if let Some(pid) = tagged.pid {
                set(entry, fields, "SYSLOG_PID", process(pid));
            }
            tagged.message
        }
        (None, Some((_, after))) => after,
        (None, None) => rest,
    }
}

/// A number where it is one, as the journal has it.
fn process(pid: &str) -> Value<'_> {
    pid.parse().map_or(Value::Text(pid), Value::Integer)
}

fn is_host(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 255
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte))
}

/// `sshd[7]: text`
struct Tagged<'l> {
    program: &'l str,
    pid: Option<&'l str>,
    message: &'l str,
}

/// The first word, if it is a program's tag: `sshd:`, `sshd[7]:`, `su(pam_unix)[7]:`, `sshd[7]`.
fn tag(rest: &str) -> Option<Tagged<'_>> {
    let end = rest.find(' ').unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let message = after.strip_prefix(' ').unwrap_or(after);
    let bare = word.strip_suffix(':');
    let inner = bare.unwrap_or(word);
    if let Some((program, pid)) = inner.strip_suffix(']').and_then(|inner| inner.rsplit_once('['))
        && !program.is_empty()
    {
        return Some(Tagged { program, pid: Some(pid), message });
    }
    bare.filter(|program| !program.is_empty()).map(|program| Tagged { program, pid: None, message })
}

/// The header of RFC 5424 after the version; `-` is what is not there.
struct Header<'l> {
    time: Option<(unmasq_flow::Timestamp, &'l str)>,
    host: &'l str,
    program: &'l str,
    pid: &'l str,
    id: &'l str,
    data: &'l str,
    message: &'l str,
}

impl<'l> Header<'l> {
    fn read(rest: &'l str, stamps: &Stamps) -> Option<Self> {
        let mut words = rest.splitn(6, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        let stamp = word()?;
        let time = match stamp {
            "-" => None,
            _ => Some((stamps.rfc3339(stamp).filter(|(_, after)| after.is_empty())?.0, stamp)),
        };
        let (host, program, pid, id) = (word()?, word()?, word()?, word()?);
        let rest = words.next().unwrap_or("-");
        // Without structured data that can be read, all of it is the message.
        let length = structured(rest).unwrap_or(0);
        let (data, message) = rest.split_at(length);
        let message = message.strip_prefix(' ').unwrap_or(message);
        let message = message.strip_prefix('\u{feff}').unwrap_or(message);
        Some(Self { time, host, program, pid, id, data, message })
    }

    fn fill(self, name: &mut String, entry: &mut Entry, fields: &Fields) {
        if let Some((time, stamp)) = self.time {
            entry.time = Some(time);
            set(entry, fields, "SYSLOG_TIMESTAMP", Value::Text(stamp));
        }
        for (field, text) in
            [("_HOSTNAME", self.host), ("SYSLOG_IDENTIFIER", self.program), ("MSGID", self.id)]
        {
            if text != "-" {
                set(entry, fields, field, Value::Text(text));
            }
        }
        if self.pid != "-" {
            set(entry, fields, "SYSLOG_PID", process(self.pid));
        }
        each_parameter(self.data, |id, key, value| {
            name.clear();
            name.extend(["SD_", id, "_", key]);
            if let Some(slot) = fields.find(name) {
                if value.contains('\\') {
                    entry.push(slot, Value::Text(&unescaped(value)));
                } else {
                    entry.push(slot, Value::Text(value));
                }
            }
        });
        set(entry, fields, "MESSAGE", Value::Text(self.message));
    }
}

/// Bytes of `-` or `[id k="v"][…]` at the head of `text`.
fn structured(text: &str) -> Option<usize> {
    if text == "-" || text.starts_with("- ") {
        return Some(1);
    }
    let mut at = 0;
    while text[at..].starts_with('[') {
        at += element(&text[at..], |_, _, _| {})?;
    }
    (at > 0 && (at == text.len() || text[at..].starts_with(' '))).then_some(at)
}

fn each_parameter(data: &str, mut each: impl FnMut(&str, &str, &str)) {
    let mut at = 0;
    while data[at..].starts_with('[') {
        let Some(length) = element(&data[at..], &mut each) else { return };
        at += length;
    }
}

/// Reads one `[id k="v" …]`; its length in bytes.
fn element(text: &str, mut each: impl FnMut(&str, &str, &str)) -> Option<usize> {
    let end = text.find([' ', ']'])?;
    let id = text[1..end].trim();
    let mut at = end;
    loop {
        if text[at..].starts_with(']') {
            return Some(at + 1);
        }
        at += text[at..].len() - text[at..].trim_start_matches(' ').len();
        if text[at..].starts_with(']') {
            return Some(at + 1);
        }
        let (key, _) = text[at..].split_once("=\"")?;
        if key.is_empty() || key.contains([' ', ']', '"']) {
            return None;
        }
        let value_at = at + key.len() + 2;
        let value = &text[value_at..];
        let mut is_escaped = false;
        let close = value.bytes().position(|byte| {
            let is_close = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_close
        })?;
        each(id, key, &value[..close]);
        at = value_at + close + 1;
        if !text[at..].starts_with([' ', ']']) {
            return None;
        }
    }
}

/// `\"`, `\\` and `\]` without their backslash; another backslash is one.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ ('"' | '\\' | ']'))) => {
                text.push(*next);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::format::{Context, Format, Parser, Record};
    use crate::{Entry, Fields};
    use unmasq_flow::Timestamp;

    /// The fields of a line, each as `NAME=value`, and its time.
    fn parsed(line: &str) -> (String, Option<i64>) {
        let mut fields = Fields::default();
        for name in super::FIELDS.iter().chain(&["SD_x@1_k", "SD_y_k"]) {
            fields.slot(name);
        }
        let mut entry = Entry::new(&fields);
        let latest = Timestamp::from_seconds(1_795_251_448);
        let mut parser = Parser::new(Format::Syslog, Context { latest, ..Context::default() });
        parser.parse(Record::Text(line), &mut entry, &fields).expect("every line is an entry");
        let shown = entry.iter().map(|(slot, value)| format!("{}={value:?}", fields.name(slot)));
        (shown.collect::<Vec<_>>().join(" "), entry.time.map(Timestamp::as_nanos))
    }

    #[test]
    fn all_the_forms_of_a_header_are_understood() {
        let at = 1_795_251_448_000_000_000;
        for (line, fields, time) in [
            (
                "<134>Nov 21 08:57:28 haproxy[11698]: 203.0.113.5:58349 [21/Nov] x",
                "PRIORITY=6 SYSLOG_FACILITY=16 SYSLOG_TIMESTAMP=\"Nov 21 08:57:28\" \
                 SYSLOG_IDENTIFIER=\"haproxy\" SYSLOG_PID=11698 MESSAGE=\"203.0.113.5:58349 [21/Nov] x\"",
                Some(at),
            ),
            (
                "<134>Nov 21 08:57:28 gw haproxy[11698]: text",
                "PRIORITY=6 SYSLOG_FACILITY=16 SYSLOG_TIMESTAMP=\"Nov 21 08:57:28\" _HOSTNAME=\"gw\" \
                 SYSLOG_IDENTIFIER=\"haproxy\" SYSLOG_PID=11698 MESSAGE=\"text\"",
                Some(at),
            ),
            (
                "Nov 21 08:57:28 gw postfix/smtpd[7]: a: b",
                "SYSLOG_TIMESTAMP=\"Nov 21 08:57:28\" _HOSTNAME=\"gw\" SYSLOG_IDENTIFIER=\"postfix/smtpd\" \
                 SYSLOG_PID=7 MESSAGE=\"a: b\"",
                Some(at),
            ),
            (
                "2026-11-21T09:57:28.5+01:00 gw kernel: [  1.2] x",
                "SYSLOG_TIMESTAMP=\"2026-11-21T09:57:28.5+01:00\" _HOSTNAME=\"gw\" \
                 SYSLOG_IDENTIFIER=\"kernel\" MESSAGE=\"[  1.2] x\"",
                Some(at + 500_000_000),
            ),
            (
                "Nov 21 08:57:28 gw last message repeated 2 times",
                "SYSLOG_TIMESTAMP=\"Nov 21 08:57:28\" _HOSTNAME=\"gw\" MESSAGE=\"last message repeated 2 times\"",
                Some(at),
            ),
            (
                "<13>su: hello",
                "PRIORITY=5 SYSLOG_FACILITY=1 SYSLOG_IDENTIFIER=\"su\" MESSAGE=\"hello\"",
                None,
            ),
            ("<999>su: hello", "MESSAGE=\"<999>su: hello\"", None),
            ("just: a line", "MESSAGE=\"just: a line\"", None),
            ("", "MESSAGE=\"\"", None),
        ] {
            assert_eq!(parsed(line), (fields.to_owned(), time), "{line}");
        }
    }

    #[test]
    fn rfc5424_gives_its_structured_data() {
        let (fields, time) = parsed(
            "<165>1 2026-11-21T08:57:28.003Z gw app 7 ID47 [x@1 j=\"1\" k=\"a\\\"b\\]\"][y k=\"2\"] \u{feff}text",
        );
        assert_eq!(
            fields,
            "PRIORITY=5 SYSLOG_FACILITY=20 SYSLOG_TIMESTAMP=\"2026-11-21T08:57:28.003Z\" _HOSTNAME=\"gw\" \
             SYSLOG_IDENTIFIER=\"app\" SYSLOG_PID=7 MSGID=\"ID47\" MESSAGE=\"text\" SD_x@1_k=\"a\\\"b]\" SD_y_k=\"2\""
        );
        assert_eq!(time, Some(1_795_251_448_003_000_000));
        let (fields, time) = parsed("<165>1 - - - - - -");
        assert_eq!((fields.as_str(), time), ("PRIORITY=5 SYSLOG_FACILITY=20 MESSAGE=\"\"", None));
        // Data that cannot be read is the message.
        assert!(parsed("<165>1 - - - - - [x k=\"1] text").0.ends_with("MESSAGE=\"[x k=\\\"1] text\""));
    }

    #[test]
    fn a_forged_header_in_the_message_changes_nothing() {
        let (fields, _) =
            parsed("Nov 21 08:57:28 gw sshd[7]: Invalid user Nov 21 08:57:28 evil su[1]: x from 192.0.2.1");
        assert!(fields.contains("_HOSTNAME=\"gw\" SYSLOG_IDENTIFIER=\"sshd\" SYSLOG_PID=7"), "{fields}");
    }
}
