//! Made-up attempts at a honeypot, the same for the same seed: what the report is measured and shown with.
//!
//! | column | distribution |
//! | --- | --- |
//! | time | Poisson arrivals of connections from [`FIRST_SECOND`] on; at night twice as many as at noon |
//! | attempts of a connection | 1 to 6, uniform; one in twenty connections tries nothing |
//! | source | 20,000 addresses scattered in IPv4 (one in sixteen in 2001:db8::/32), Zipf with exponent 1 |
//! | user name | root in 55 of 100, otherwise Zipf over 24 usual ones and 50,000 made up |
//! | password | Zipf over 40 usual ones and as many made up as was asked for; one in 5,000 is no UTF-8, one in 5,000 an escape for terminals |
//! | software, HASSH | eight, Zipf; fixed for each source |
//! | event | password; one in 50 a public key; a `connection` for each connection |

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unmasq_honeypot::record::{EventKind, Record, Signature, text_of};
use unmasq_honeypot::report::clock;

use crate::random::{Random, Zipf};

/// The first connection begins just after this: seconds since the Unix epoch (2026-11-01T00:00:00Z).
pub const FIRST_SECOND: i64 = 1_793_491_200;
const SOURCES: u32 = 20_000;
const MADE_UP_USERS: u32 = 50_000;

const USERS: [&str; 24] = [
    "admin",
    "test",
    "ubuntu",
    "user",
    "oracle",
    "postgres",
    "git",
    "guest",
    "ftpuser",
    "pi",
    "mysql",
    "hadoop",
    "deploy",
    "nagios",
    "tomcat",
    "support",
    "www",
    "jenkins",
    "minecraft",
    "steam",
    "dev",
    "es",
    "debian",
    "ansible",
];
const PASSWORDS: [&str; 40] = [
    "123456",
    "password",
    "admin",
    "root",
    "1234",
    "12345",
    "123456789",
    "test",
    "12345678",
    "qwerty",
    "123",
    "P@ssw0rd",
    "1q2w3e4r",
    "111111",
    "admin123",
    "root123",
    "ubuntu",
    "passw0rd",
    "abc123",
    "123123",
    "toor",
    "changeme",
    "1qaz2wsx",
    "qwerty123",
    "default",
    "raspberry",
    "oracle",
    "postgres",
    "guest",
    "000000",
    "letmein",
    "q1w2e3r4",
    "Aa123456",
    "test123",
    "",
    "3245gs5662d34",
    "345gs5662d34",
    "password123",
    "!@#$%^",
    "nproc",
];
const SOFTWARE: [(&str, &str); 8] = [
    ("Go", "98ddc5604ef6a1006a2b49a58759fbe6"),
    ("libssh_0.9.6", "f555226df1963d1d3c09daf865abdc9a"),
    ("libssh2_1.10.0", "af8223ac9914f5b6a5f5a6f1a1a5c7ed"),
    ("PUTTY", "92674389fa1e47a27ddd8d9b63ecd42b"),
    ("paramiko_2.12.0", "b5752e36ba6c5979a575e43178908adf"),
    ("OpenSSH_7.4", "ec7378c1a92f5a8dde7e8b7a1ddf33d1"),
    ("OpenSSH_9.2p1 Debian", "aae6b9604f6f3356543709a376d7f657"),
    ("JSCH", "57446c12547a668110aa237e5965e374"),
];

/// Lines of JSON, without line feeds.
#[derive(Clone, Debug)]
pub struct Attempts {
    random: Random,
    left: u64,
    pshitt_share: u64,
    passwords: Zipf,
    users: Zipf,
    sources: Zipf,
    clock: f64,
    mean_gap: f64,
    session: Session,
}

#[derive(Clone, Debug, Default)]
struct Session {
    id: u64,
    source: u64,
    port: u16,
    tried: u32,
    left: u32,
    is_pshitt: bool,
    is_open: bool,
}

impl Attempts {
    /// So many attempts with so many different passwords at most, over so many days; of a hundred connections, so many are told in
    /// pshitt's form.
    pub fn new(seed: u64, attempts: u64, passwords: u32, days: u32, pshitt_percent: u64) -> Self {
        let mean_gap = f64::from(days) * 86_400.0 * 3.3 / attempts.max(1) as f64;
        Self {
            random: Random::new(seed),
            left: attempts,
            pshitt_share: pshitt_percent,
            passwords: Zipf::new(passwords.max(PASSWORDS.len() as u32)),
            users: Zipf::new(USERS.len() as u32 + MADE_UP_USERS),
            sources: Zipf::new(SOURCES),
            clock: 0.0,
            mean_gap,
            session: Session::default(),
        }
    }

    fn begin(&mut self) {
        let hour = (self.clock / 3600.0) % 24.0;
        let pace = 1.0 + 0.33 * (hour / 24.0 * std::f64::consts::TAU).cos();
        self.clock += self.random.exponential(self.mean_gap) / pace;
        let tries_nothing = self.random.below(20) == 0;
        let left = if tries_nothing { 0 } else { 1 + self.random.below(6) as u32 };
        self.session = Session {
            id: self.random.bits(),
            source: self.sources.draw(&mut self.random) as u64,
            port: 1024 + self.random.below(64_000) as u16,
            tried: 0,
            left,
            is_pshitt: self.random.below(100) < self.pshitt_share,
            is_open: true,
        };
    }

    fn user(&mut self) -> Cow<'static, str> {
        if self.random.below(100) < 55 {
            return "root".into();
        }
        let rank = self.users.draw(&mut self.random);
        USERS.get(rank).map_or_else(|| format!("user{rank}").into(), |name| (*name).into())
    }

    fn password(&mut self) -> Cow<'static, [u8]> {
        match self.random.below(5000) {
            0 => return (&b"p\xe4ssw\xf6rd"[..]).into(),
            1 => return (&b"\x1b]0;owned\x07\x1b[2J"[..]).into(),
            _ => {}
        }
        let rank = self.passwords.draw(&mut self.random);
        match PASSWORDS.get(rank) {
            Some(password) => password.as_bytes().into(),
            // A word and a number, as word lists have them.
            None => {
                format!("{}{}", USERS[rank % USERS.len()], rank.wrapping_mul(2_654_435_761) % 1_000_000_007)
                    .into_bytes()
                    .into()
            }
        }
    }
}

impl Iterator for Attempts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if self.session.left == 0 && self.session.is_open {
                self.session.is_open = false;
                // pshitt tells nothing of a connection's end.
                if !self.session.is_pshitt {
                    return Some(self.ended());
                }
            }
            if self.left == 0 {
                return None;
            }
            if self.session.left == 0 {
                self.begin();
                continue;
            }
            self.left -= 1;
            self.session.left = if self.left == 0 { 0 } else { self.session.left - 1 };
            self.session.tried += 1;
            return Some(self.attempt());
        }
    }
}

impl Attempts {
    fn moment(&self) -> String {
        let seconds = self.clock + f64::from(self.session.tried) * 1.1;
        let whole = seconds.floor();
        let micros = ((seconds - whole) * 1e6) as u32;
        format!("{}.{micros:06}", clock(FIRST_SECOND + whole as i64).replace(' ', "T"))
    }

    fn source(&self) -> IpAddr {
        // Scattered, and the same for the same rank.
        let bits = Random::new(self.session.source).bits();
        if bits.is_multiple_of(16) {
            let network = (0x2001_0db8_u128 << 96) | (u128::from(bits >> 40) << 72);
            return Ipv6Addr::from_bits(network | u128::from(bits & 0xffff)).into();
        }
        Ipv4Addr::from_bits(0x0100_0000 + (bits >> 32) as u32 % 0xde00_0000).into()
    }

    fn record(&self, event: EventKind) -> Record<'static> {
        let (software, hassh) = SOFTWARE[(self.session.source.trailing_ones() as usize
            + (self.session.source % 3) as usize)
            % SOFTWARE.len()];
        let mut record = Record {
            src_ip: self.source().to_string().into(),
            src_port: self.session.port,
            timestamp: self.moment().into(),
            software_version: Some(software.into()),
            event,
            ..Record::default()
        };
        if !self.session.is_pshitt {
            record.timestamp = (record.timestamp.into_owned() + "Z").into();
            record.session = Some(format!("{:016x}", self.session.id).into());
            record.dest_ip = Some("192.0.2.22".into());
            record.dest_port = Some(22);
            record.client_version = Some(format!("SSH-2.0-{software}").into());
            record.hassh = Some(hassh.into());
            record.kex = Some("curve25519-sha256".into());
        }
        record
    }

    fn attempt(&mut self) -> String {
        let user = self.user();
        if !self.session.is_pshitt && self.random.below(50) == 0 {
            let mut record = self.record(EventKind::Publickey);
            record.username = Some(user);
            record.key_fingerprint =
                Some(format!("SHA256:{:043x}", u128::from(self.session.source % 40)).into());
            record.key_algorithm = Some("ssh-ed25519".into());
            record.signature = Some(Signature::Offered);
            return line(&record);
        }
        let password = self.password();
        let (text, raw) = text_of(&password);
        if self.session.is_pshitt {
            // With the names, blanks and order that pshitt writes.
            return serde_json::json!({
                "username": user, "src_ip": self.source().to_string(), "password": text, "src_port": self.session.port,
                "timestamp": self.moment(), "software_version": self.record(EventKind::Password).software_version,
                "cipher": "aes128-ctr", "mac": "hmac-sha2-256", "try": self.session.tried,
            })
            .to_string();
        }
        let mut record = self.record(EventKind::Password);
        record.username = Some(user);
        record.password_raw = raw.map(Into::into);
        record.password = Some(text.into_owned().into());
        record.number = Some(self.session.tried);
        record.cipher = Some("aes128-ctr".into());
        record.mac = Some("hmac-sha2-256".into());
        line(&record)
    }

    fn ended(&self) -> String {
        let mut record = self.record(EventKind::Connection);
        record.attempts = Some(self.session.tried);
        record.duration = Some(format!("{:.6}", f64::from(self.session.tried) * 1.1).into());
        record.reason = Some("the client disconnected".into());
        line(&record)
    }
}

fn line(record: &Record<'_>) -> String {
    // Strings and numbers only: nothing that JSON could refuse.
    serde_json::to_string(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use unmasq_honeypot::report::Line;

    use super::*;

    #[test]
    fn every_line_is_one_that_the_report_reads_and_there_are_as_many_attempts_as_asked_for() {
        let lines: Vec<String> = Attempts::new(1, 5_000, 1_000, 30, 30).collect();
        let attempts = lines.iter().filter(|line| {
            !matches!(Line::parse(line.as_bytes()).unwrap().event, EventKind::Connection | EventKind::None)
        });
        assert_eq!(attempts.count(), 5_000);
        assert!(
            lines.iter().any(|line| line.contains("\"event\""))
                && lines.iter().any(|line| !line.contains("\"event\""))
        );
        assert_eq!(lines, Attempts::new(1, 5_000, 1_000, 30, 30).collect::<Vec<_>>());
    }
}
