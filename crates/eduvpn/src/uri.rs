//! The address of a portal's API.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http;

use crate::error::EduvpnError;

/// An `http` or `https` address without user, password, query or fragment, so that it may be shown to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
    is_https: bool,
    is_local: bool,
}

impl Uri {
    /// Checks an address as `apiUri` has it.
    pub fn parse(text: &str) -> Result<Self, EduvpnError> {
        // What is refused is not quoted: it may have a password in it.
        let refuse = |reason: &str| EduvpnError::Uri { reason: reason.to_owned() };
        if text.contains('@') {
            return Err(refuse("it has an @; user and password have their own keys, apiUser and apiPass"));
        }
        if text.contains(['?', '#']) {
            return Err(refuse("it has a ? or a #, behind which the name of the list cannot be added"));
        }
        let uri = http::Uri::from_str(text).map_err(|_| refuse("it is no web address"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse("it begins neither with http:// nor with https://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("it has no host"))?;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_local = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback());
        Ok(Self { text: text.to_owned(), is_https, is_local })
    }

    /// Does whoever is on the way to the portal see the password? True for `http` to another host.
    pub fn is_in_the_clear(&self) -> bool {
        !self.is_https && !self.is_local
    }

    /// Is the portal's certificate checked?
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The address of one list of the API, made as eduVPN makes it: a slash is always added.
    pub(crate) fn of(&self, list: &str) -> String {
        format!("{}/{list}", self.text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_without_a_password_are_taken() {
        for good in [
            "http://localhost/api.php",
            "https://vpn.example.org:8443/vpn-server-api/api.php",
            "http://[::1]",
        ] {
            assert_eq!(Uri::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            "/api.php",
            "ftp://a/b",
            "http://u:secret@a/b",
            "http://",
            "http://a/b?c=secret",
            "http://a b/",
        ] {
            let error = Uri::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn http_to_another_host_is_in_the_clear() {
        assert!(Uri::parse("http://vpn.example.org/").unwrap().is_in_the_clear());
        for hidden in
            ["https://vpn.example.org/", "http://localhost/", "http://127.0.0.1:8080/", "http://[::1]:80/"]
        {
            assert!(!Uri::parse(hidden).unwrap().is_in_the_clear(), "{hidden}");
        }
    }
}
