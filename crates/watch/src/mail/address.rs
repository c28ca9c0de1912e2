//! Addresses as a configuration writes them.

use lettre::Address;
use lettre::message::Mailbox;

use super::MailError;

/// The name of this host, as far as it can stand in an address; else `localhost`.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    if Address::new("root", &name).is_ok() && name.is_ascii() { name } else { "localhost".to_owned() }
}

/// Checks an address as [`Message`](super::Message) takes it: for a configuration that is read before any mail is sent.
pub fn check_address(text: &str) -> Result<(), MailError> {
    mailbox(text, &host_name()).map(drop)
}

/// Reads `name@domain`, `Text <name@domain>`, or either with a bare name, which `host` completes: Pyruse's own defaults
/// are bare names, which no mail library takes.
pub(super) fn mailbox(text: &str, host: &str) -> Result<Mailbox, MailError> {
    let refused = |reason: String| MailError::Address { text: text.chars().take(200).collect(), reason };
    if text.chars().any(char::is_control) {
        return Err(refused("it has a control character".to_owned()));
    }
    let trimmed = text.trim();
    let completed = match trimmed.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) if !address.contains('@') => format!("{name}<{}@{host}>", address.trim()),
        None if !trimmed.contains('@') => format!("{trimmed}@{host}"),
        _ => trimmed.to_owned(),
    };
    let mailbox: Mailbox =
        completed.parse().map_err(|e: lettre::address::AddressError| refused(e.to_string()))?;
    // Others would need a relay with SMTPUTF8.
    if !mailbox.email.to_string().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("only the name before <…> may have other than ASCII characters".to_owned()));
    }
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_completed_by_the_hosts() {
        for (text, whole) in [
            ("pyruse", "pyruse@gw1"),
            (" hostmaster ", "hostmaster@gw1"),
            ("root@localhost", "root@localhost"),
            ("Watch <root>", "Watch <root@gw1>"),
            ("Watch <a.b+c@example.org>", "Watch <a.b+c@example.org>"),
        ] {
            assert_eq!(mailbox(text, "gw1").unwrap().to_string(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "a b", "a@b\r\nBcc: x@y", "a@b\0", "a@@b", "<>", "a@b c", "x <a@b> <c@d>", "é@b.example"]
        {
            assert!(mailbox(text, "gw1").is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_hosts_name_can_stand_in_an_address() {
        assert!(mailbox("root", &host_name()).is_ok());
    }
}
