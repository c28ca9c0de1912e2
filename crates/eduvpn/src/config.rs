//! An eduVPN 2 node's own configuration: where its portal is, and which profiles are its own.

use std::fmt;
use std::path::{Path, PathBuf};

use unmasq_diagnostic::line_and_column;

use crate::error::EduvpnError;
use crate::file;
use crate::php::{self, Array, PhpError, Value};
use crate::uri::Uri;

/// What a node knows about its portal.
///
/// As the script does, it takes `apiUser`, `apiPass`, `apiUri` and `profileList`, and does not look at the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The portal's API.
    pub uri: Uri,
    /// Name that the node gives to the portal.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// The profiles of this node. Empty: all of the portal's.
    pub profiles: Vec<String>,
}

/// A password. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be sent to whom it is for.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl NodeConfig {
    /// Where vpn-server-node's package has it.
    pub const DEFAULT_FILE: &str = "/usr/share/vpn-server-node/config/config.php";

    /// Reads a node's configuration.
    pub fn read(file: &Path) -> Result<Self, EduvpnError> {
        Self::parse(file, &file::read(file)?)
    }

    /// Reads a node's configuration from its bytes; `file` is for messages.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, EduvpnError> {
        let source = Source { file, bytes };
        let value = php::parse(bytes).map_err(|PhpError { at, message }| source.error(at, message))?;
        let Value::Array(array) = value else {
            return Err(
                source.error(0, "the file does not return an array; is it vpn-server-node's config.php?")
            );
        };
        let user = source.string(&array, "apiUser")?;
        if user.contains(':') || user.contains(char::is_control) {
            let at = array.entry("apiUser").map_or(0, |entry| entry.at);
            return Err(
                source.error(at, "apiUser has a colon or a control character, which HTTP cannot send")
            );
        }
        Ok(Self {
            password: Password(source.string(&array, "apiPass")?),
            uri: Uri::parse(&source.string(&array, "apiUri")?)?,
            profiles: source.profiles(&array)?,
            user,
        })
    }
}

/// A file, for messages that name a place in it.
struct Source<'t> {
    file: &'t Path,
    bytes: &'t [u8],
}

impl Source<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> EduvpnError {
        // Bytes that are no UTF-8 may stand before the place, in a comment.
        let before = String::from_utf8_lossy(self.bytes.get(..at).unwrap_or(self.bytes));
        // A place right behind a line's end is on the next line: without a character there it would be shown on the
        // line before.
        let (line, column) = line_and_column(&format!("{before}."), before.len());
        EduvpnError::Config { file: PathBuf::from(self.file), line, column, message: message.into() }
    }

    fn string(&self, array: &Array, name: &str) -> Result<String, EduvpnError> {
        match array.entry(name) {
            None => {
                Err(self.error(0, format!("the array has no {name}; is it vpn-server-node's config.php?")))
            }
            Some(entry) => match &entry.value {
                Value::String(text) => Ok(text.clone()),
                other => {
                    Err(self.error(entry.at, format!("{name} is {}; write it as a string", other.kind())))
                }
            },
        }
    }

    fn profiles(&self, array: &Array) -> Result<Vec<String>, EduvpnError> {
        let Some(entry) = array.entry("profileList") else { return Ok(Vec::new()) };
        let Value::Array(list) = &entry.value else {
            let message = format!("profileList is {}; write it as ['office', …]", entry.value.kind());
            return Err(self.error(entry.at, message));
        };
        let text = |entry: &php::Entry| match &entry.value {
            Value::String(text) => Ok(text.clone()),
            other => {
                let message =
                    format!("a profile in profileList is {}; write its name in quotes", other.kind());
                Err(self.error(entry.at, message))
            }
        };
        list.entries.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "<?php\n\nreturn [\n    // who it is\n    'vpnUser' => 'openvpn',\n    'apiUser' => 'vpn-server-node',\n    'apiPass' => 'se\\'cret',\n    'apiUri' => 'http://localhost/vpn-server-api/api.php',\n];\n";

    fn parse(text: &str) -> Result<NodeConfig, String> {
        NodeConfig::parse(Path::new("config.php"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_eduvpn_is_read() {
        let config = parse(EXAMPLE).unwrap();
        assert_eq!(config.user, "vpn-server-node");
        assert_eq!(config.password.reveal(), "se'cret");
        assert_eq!(config.uri.to_string(), "http://localhost/vpn-server-api/api.php");
        assert!(config.profiles.is_empty());
    }

    #[test]
    fn profiles_are_read_in_their_order() {
        let text = EXAMPLE.replace("];", "'profileList' => ['office', 'internet']];");
        assert_eq!(parse(&text).unwrap().profiles, ["office", "internet"]);
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_told_with_its_place() {
        for (from, to, message) in [
            ("'apiUser'", "'apiuser'", "config.php:1:1: the array has no apiUser;"),
            ("'vpn-server-node'", "7", "config.php:6:18: apiUser is a number;"),
            ("'vpn-server-node'", "'a:b'", "config.php:6:18: apiUser has a colon"),
            ("];", "'profileList' => 'office'];", "config.php:9:18: profileList is a string;"),
            ("];", "'profileList' => ['a', 1]];", "config.php:9:24: a profile in profileList is a number;"),
            ("];", "", "config.php:10:1: the file ends"),
            ("http:", "ftp:", "apiUri, cannot be used"),
        ] {
            let error = parse(&EXAMPLE.replace(from, to)).unwrap_err();
            assert!(error.contains(message), "{to}: {error}");
        }
        assert!(parse("<?php return 5;").unwrap_err().contains("does not return an array"));
    }

    #[test]
    fn no_message_and_no_debug_output_has_the_password() {
        assert!(!format!("{:?}", parse(EXAMPLE).unwrap()).contains("cret"));
        for wrong in
            ["'se'cret'", "cret", "\"se$cret\"", "'secret", "secret()", "'secret'.'secret'", "['cret']"]
        {
            let error = parse(&EXAMPLE.replace("'se\\'cret'", wrong)).unwrap_err();
            assert!(!error.contains("cret"), "{error}");
            assert!(error.contains("config.php:"), "{error}");
        }
    }
}
