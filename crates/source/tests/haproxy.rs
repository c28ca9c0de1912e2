//! A real HAProxy that logs to our sockets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use unmasq_entry::format::Context;
use unmasq_entry::saved::{SavedEntry, SavedValue};
use unmasq_flow::Timestamp;
use unmasq_source::{Datagrams, listen};

use crate::support::{Reader, message, text};

const FIELDS: [&str; 6] =
    ["PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "_HOSTNAME", "MESSAGE"];

struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy that logs to `target`, and its port.
fn haproxy(folder: &Path, global: &str, target: &str) -> (Haproxy, u16) {
    // Handed over as its standard input: a port that was let go could be another's by the time that HAProxy binds it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let file = folder.join("haproxy.cfg");
    let config = format!(
        "global\n    {global}\n    log {target} local0 info\n    maxconn 100\n\
         defaults\n    mode tcp\n    log global\n    retries 0\n    timeout connect 2s\n    timeout client 5s\n    timeout server 5s\n    \
         log-format \"%ci:%cp [%t] %ft %b[%bi:%bp]/%s %Tw/%Tc/%Tt %B %ts\"\n\
         listen shown\n    bind fd@0\n    server none 127.0.0.1:1\n"
    );
    fs::write(&file, config).expect("written");
    let child = Command::new("/usr/sbin/haproxy")
        .arg("-db")
        .arg("-f")
        .arg(&file)
        // Its log has the local time, without a zone.
        .env("TZ", "UTC")
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("haproxy.err")).expect("a file"))
        .process_group(0)
        .spawn()
        .expect("haproxy (scripts/setup test installs it)");
    (Haproxy(child), port)
}

/// Connects once, and gives the entry of that connection and the client's address.
fn log_of_a_connection(
    reader: &mut Reader,
    folder: &Path,
    proxy: &mut Haproxy,
    port: u16,
) -> (SavedEntry, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listened before HAProxy ran");
    let client = stream.local_addr().expect("connected").to_string();
    // There is no server, so that the proxy closes.
    let _ = stream.write_all(b"x");
    let _ = stream.read(&mut [0; 1]);
    let said = fs::read_to_string(folder.join("haproxy.err")).unwrap_or_default();
    assert!(proxy.0.try_wait().expect("a child").is_none(), "haproxy ended: {said}");
    loop {
        let entry = reader.wait().expect("sockets have no end");
        if message(&entry).starts_with(&format!("{client} [")) {
            return (entry, client);
        }
    }
}

fn check(entry: &SavedEntry, proxy: &Haproxy, host: Option<&str>, tag: &str) {
    assert_eq!(entry.find("SYSLOG_FACILITY"), Some(&SavedValue::Integer(16)));
    assert_eq!(text(entry, "SYSLOG_IDENTIFIER"), tag);
    assert_eq!(entry.find("SYSLOG_PID"), Some(&SavedValue::Integer(i64::from(proxy.0.id()))));
    let found = entry.find("_HOSTNAME").map(|_| text(entry, "_HOSTNAME"));
    assert_eq!(found.as_deref(), host);
    let age = Timestamp::now().since(Timestamp::from_nanos(entry.time.expect("a time")));
    assert!(age < Duration::from_secs(3600), "{age:?}");
}

#[test]
fn its_udp_log_is_understood_in_all_its_formats() {
    for (format, global, host) in [
        ("", "", None),
        (" format rfc3164", "log-send-hostname gw.example", Some("gw.example")),
        (" format rfc5424", "log-send-hostname gw.example", Some("gw.example")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let source = Datagrams::udp("127.0.0.1:0".parse().unwrap(), Context::default()).unwrap();
        let target = format!("127.0.0.1:{}{format}", source.local_port().unwrap());
        let mut reader: Reader = Reader::new(Box::new(source), &FIELDS);
        let (mut proxy, port) = haproxy(folder.path(), global, &target);
        let (entry, client) = log_of_a_connection(&mut reader, folder.path(), &mut proxy, port);
        check(&entry, &proxy, host, "haproxy");
        assert!(message(&entry).contains("] shown shown["), "{client}");
    }
}

#[test]
fn its_log_to_a_unix_socket_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let mut reader = Reader::new(listen(&address, Context::default()).unwrap(), &FIELDS);
    let (mut proxy, port) = haproxy(folder.path(), "log-tag front", &path.display().to_string());
    let (entry, _) = log_of_a_connection(&mut reader, folder.path(), &mut proxy, port);
    check(&entry, &proxy, None, "front");
}
