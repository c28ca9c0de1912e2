//! From a message to its MIME form.

use std::time::SystemTime;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use super::letter::{Envelope, Letter};
use super::{MailError, Message, address, quoted};

/// Longest subject, in characters.
const LONGEST_SUBJECT: usize = 300;
/// Largest message: what relays commonly take is less (Postfix: 10 MB), and a daily report is far from it.
const LARGEST: usize = 32 << 20;

impl Message {
    /// Checks and composes it. `host` completes bare names and the Message-ID; `date` is its date.
    pub(super) fn compose(&self, host: &str, date: SystemTime) -> Result<Letter, MailError> {
        let from = address::mailbox(&self.from, host)?;
        let to = self.to.iter().map(|to| address::mailbox(to, host)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(MailError::NoRecipient);
        }
        let id = message_id(&self.id, host)?;
        let envelope = Envelope {
            from: from.email.to_string(),
            to: to.iter().map(|mailbox| mailbox.email.to_string()).collect(),
            id: id.clone(),
            queued: date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let mut builder = lettre::Message::builder()
            .from(from)
            .subject(subject(&self.subject))
            .date(date)
            .message_id(Some(format!("<{id}>")))
            // RFC 3834: nobody answers with "I am on holiday".
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        // The library ends a message with a line break of its own.
        let text = self.text.strip_suffix('\n').filter(|_| self.html.is_none()).unwrap_or(&self.text);
        let text = part(ContentType::TEXT_PLAIN, text);
        let composed = match &self.html {
            None => builder.singlepart(text),
            Some(html) => builder.multipart(
                MultiPart::alternative()
                    .boundary(boundary(&id))
                    .singlepart(text)
                    .singlepart(part(ContentType::TEXT_HTML, html)),
            ),
        };
        let body = composed.map_err(|error| MailError::Compose(error.to_string()))?.formatted();
        if body.len() > LARGEST {
            return Err(MailError::TooLarge { size: body.len(), limit: LARGEST });
        }
        Ok(Letter { envelope, body })
    }
}

fn part(kind: ContentType, text: &str) -> SinglePart {
    let encoded = quoted::encode(&visible(text));
    SinglePart::builder()
        .header(kind)
        .body(Body::dangerous_pre_encoded(encoded, ContentTransferEncoding::QuotedPrintable))
}

/// The id within the angle brackets.
fn message_id(id: &str, host: &str) -> Result<String, MailError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '=');
    let (local, domain) = id.split_once('@').unwrap_or((id, host));
    let is_plain = |part: &str| !part.is_empty() && part.len() <= 128 && part.chars().all(allowed);
    if is_plain(local) && is_plain(domain) {
        return Ok(format!("{local}@{domain}"));
    }
    Err(MailError::Id(id.chars().take(200).collect()))
}

/// The same for the same mail. No line of a body can be equal to it: see `quoted`.
fn boundary(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    format!("unmasq-{:032x}", digest[..16].iter().fold(0u128, |name, byte| name << 8 | u128::from(*byte)))
}

/// One line of bounded length; what is encoded in it is the library's work.
fn subject(text: &str) -> String {
    let mut line: String = visible(text).replace('\n', "\\n").replace('\t', " ");
    if let Some((cut, _)) = line.char_indices().nth(LONGEST_SUBJECT) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// Controls that a mail reader on a terminal would obey, and those that turn the direction of text, as their escapes.
fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // CRLF is a line break like any other.
        if c == '\r' && rest.peek() == Some(&'\n') {
            continue;
        }
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
