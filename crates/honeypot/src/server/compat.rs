//! What sshd does otherwise for clients whose software it knows (compat.c of OpenSSH 9.2).

use unmasq_ssh::{KexInit, List};

/// sshd closes without a word to these.
const SCANNERS: [&str; 2] = ["Probe-*", "*SSH_Version_Mapper*"];
/// These get the shared secret of a method wrong (`SSH_BUG_CURVE25519PAD`)...
const BAD_CURVE: [&str; 2] = ["OpenSSH_6.5*", "OpenSSH_6.6*"];
/// ...but not this one, which the second pattern would fit.
const MENDED_CURVE: &str = "OpenSSH_6.6.1*";
/// The method.
const CURVE: [&str; 1] = ["curve25519-sha256@libssh.org"];
/// These ask for a group in an old way only (`SSH_OLD_DHGEX`).
const OLD_GROUPS: [&str; 22] = [
    "PuTTY_Local:*",
    "PuTTY-Release-0.5*",
    "PuTTY_Release_0.5*",
    "PuTTY_Release_0.60*",
    "PuTTY_Release_0.61*",
    "PuTTY_Release_0.62*",
    "PuTTY_Release_0.63*",
    "PuTTY_Release_0.64*",
    "FuTTY*",
    "WinSCP_release_4*",
    "WinSCP_release_5.0*",
    "WinSCP_release_5.1",
    "WinSCP_release_5.1.*",
    "WinSCP_release_5.5",
    "WinSCP_release_5.5.*",
    "WinSCP_release_5.6",
    "WinSCP_release_5.6.*",
    "WinSCP_release_5.7",
    "WinSCP_release_5.7.1",
    "WinSCP_release_5.7.2",
    "WinSCP_release_5.7.3",
    "WinSCP_release_5.7.4",
];
/// The methods.
const GROUPS: [&str; 2] = ["diffie-hellman-group-exchange-sha256", "diffie-hellman-group-exchange-sha1"];

/// Does sshd not talk to it?
pub(super) fn is_scanner(software: &[u8]) -> bool {
    fits_one(&SCANNERS, software)
}

/// Takes from our list of key exchange methods what the client is known to do wrong. Was there anything?
pub(super) fn leave_out(kexinit: &mut KexInit, software: &[u8]) -> bool {
    let left_out: &[&str] = if fits_one(&OLD_GROUPS, software) {
        &GROUPS
    } else if fits_one(&BAD_CURVE, software) && !fits(MENDED_CURVE, software) {
        &CURVE
    } else {
        return false;
    };
    let kept: Vec<&str> = kexinit.names(List::Kex).filter(|name| !left_out.contains(name)).collect();
    kexinit.lists[List::Kex as usize] = kept.join(",");
    true
}

fn fits_one(patterns: &[&str], software: &[u8]) -> bool {
    patterns.iter().any(|pattern| fits(pattern, software))
}

/// `*` at either end stands for anything.
fn fits(pattern: &str, software: &[u8]) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), _) => {
            let inside = rest.strip_suffix('*').unwrap_or(rest).as_bytes();
            software.windows(inside.len()).any(|window| window == inside)
        }
        (None, Some(start)) => software.starts_with(start.as_bytes()),
        (None, None) => software == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn software_is_known_by_sshds_patterns() {
        let without = |software: &str| {
            let mut kexinit = Profile::debian_12().kexinit.clone();
            let all: Vec<String> = kexinit.names(List::Kex).map(str::to_owned).collect();
            let is_shorter = leave_out(&mut kexinit, software.as_bytes());
            let missing: Vec<String> =
                all.into_iter().filter(|name| kexinit.names(List::Kex).all(|kept| kept != name)).collect();
            assert_eq!(is_shorter, !missing.is_empty());
            missing.join(",")
        };
        for software in ["OpenSSH_6.5p1", "OpenSSH_6.6p1 Ubuntu-2"] {
            assert_eq!(without(software), "curve25519-sha256@libssh.org", "{software}");
        }
        for software in ["PuTTY_Release_0.64", "WinSCP_release_5.1", "WinSCP_release_5.1.8", "FuTTY"] {
            assert_eq!(without(software), "diffie-hellman-group-exchange-sha256", "{software}");
        }
        for software in ["OpenSSH_6.6.1p1", "PuTTY_Release_0.65", "WinSCP_release_5.2", "x FuTTY", ""] {
            assert_eq!(without(software), "", "{software}");
        }
        assert!(is_scanner(b"my SSH_Version_Mapper 2") && is_scanner(b"Probe-") && !is_scanner(b"x Probe-"));
    }
}
