//! Syslog sockets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use unmasq_entry::format::Context;
use unmasq_entry::saved::SavedValue;
use unmasq_flow::Timestamp;
use unmasq_source::{Address, Datagrams, Source, SourceError, Streams, listen};

use crate::support::{PATIENCE, Reader, message, text};

const FIELDS: [&str; 4] = ["PRIORITY", "SYSLOG_IDENTIFIER", "_HOSTNAME", "MESSAGE"];

fn udp(address: &str) -> (Reader<Datagrams>, SocketAddr) {
    let source = Datagrams::udp(address.parse().expect("an address"), Context::default()).expect("a socket");
    let port = source.local_port().expect("bound");
    (Reader::new(Box::new(source), &FIELDS), SocketAddr::from(([127, 0, 0, 1], port)))
}

fn tcp() -> (Reader<Streams>, SocketAddr) {
    let source =
        Streams::listen("[::]:0".parse().expect("an address"), Context::default()).expect("a socket");
    let port = source.local_port().expect("bound");
    (Reader::new(Box::new(source), &FIELDS), SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn addresses_are_printed_as_they_are_read() {
    for text in ["udp://[::]:514", "udp://127.0.0.1:514", "tcp://[::1]:601", "unix:/run/unmasq/log"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    for text in ["", "udp://host", "unix:relative", "514", "http://[::]:514"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn a_udp_datagram_is_one_entry_whatever_is_in_it() {
    // Also over IPv4, at the address of both.
    let (mut reader, to) = udp("[::]:0");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let long = format!("<13>su: {}", "x".repeat(60_000));
    let messages: [&[u8]; 5] =
        [b"<38>su: a\nb\0c\n", b"\n", b"<38>sshd[7]: caf\xe9", b"\x1b[2J", long.as_bytes()];
    for message in messages {
        sender.send_to(message, to).unwrap();
    }
    assert_eq!(reader.messages(3), ["a\nb\0c", "café", "\u{1b}[2J"]);
    assert_eq!(message(&reader.wait().unwrap()).len(), 60_000);
    assert!(reader.messages_now().is_empty());
}

#[test]
fn a_message_without_an_exact_time_has_that_of_its_arrival() {
    let (mut reader, to) = udp("127.0.0.1:0");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = Timestamp::now().as_nanos();
    sender.send_to(b"<13>su: a", to).unwrap();
    sender.send_to(b"<13>1 2026-11-21T08:57:28.25Z gw su - - - b", to).unwrap();
    sender.send_to(b"<13>1 2026-11-21T08:57:28Z gw su - - - c", to).unwrap();
    let entries: Vec<_> = (0..3).map(|_| reader.wait().unwrap()).collect();
    assert!(entries[0].time.unwrap() >= before);
    assert_eq!(entries[1].time, Some(1_795_251_448_250_000_000));
    assert_eq!(entries[2].time, Some(1_795_251_448_000_000_000), "not of this second");
    assert_eq!(entries[0].find("PRIORITY"), Some(&SavedValue::Integer(5)));
    assert_eq!(text(&entries[1], "_HOSTNAME"), "gw");
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let (mut reader, to) = udp("127.0.0.1:0");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = vec![b'x'; 60_000];
    // More than the largest queue.
    for _ in 0..5000 {
        sender.send_to(&datagram, to).unwrap();
    }
    let mut got = 0;
    // The kernel is asked once a second.
    let limit = Instant::now() + PATIENCE;
    while got + reader.source.counts().lost < 5000 && Instant::now() < limit {
        got += reader.now().len() as u64;
    }
    assert!(got > 0 && got < 5000, "{got} came");
    assert_eq!(got + reader.source.counts().lost, 5000);
    assert!(reader.notices()[0].contains("the kernel dropped"));
}

#[test]
fn a_unix_socket_is_made_with_its_mode_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let address = Address::Unix { path: path.clone(), mode: 0o620 };
    let mut reader = Reader::new(listen(&address, Context::default()).unwrap(), &FIELDS);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"<38>Nov 21 08:57:28 sshd[7]: hello", &path).unwrap();
    let entry = reader.wait().unwrap();
    assert_eq!((message(&entry), text(&entry, "SYSLOG_IDENTIFIER")), ("hello".to_owned(), "sshd".to_owned()));
    // Nobody else's place is taken.
    assert!(matches!(listen(&address, Context::default()), Err(SourceError::Listen { .. })));
    drop(reader);
    assert!(!path.exists());
    // A socket that a killed process left is taken over.
    drop(UnixDatagram::bind(&path).unwrap());
    drop(listen(&address, Context::default()).unwrap());
    // What is no socket stays.
    fs::write(&path, "").unwrap();
    assert!(listen(&address, Context::default()).is_err());
    assert!(path.exists());
}

#[test]
fn tcp_messages_come_whole_in_both_framings_from_many_connections() {
    let (mut reader, to) = tcp();
    let mut streams: Vec<_> = (0..20).map(|_| TcpStream::connect(to).unwrap()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let message = format!("<13>su: {number}");
        let (first, second) = message.split_at(number % message.len());
        if number % 2 == 0 {
            write!(stream, "{} {first}", message.len()).unwrap();
        } else {
            write!(stream, "{first}").unwrap();
        }
        reader.now();
        write!(stream, "{second}{}", if number % 2 == 0 { "" } else { "\n" }).unwrap();
        assert_eq!(reader.messages(1), [number.to_string()]);
    }
    // The last one, without its end.
    write!(streams[3], "<13>su: half").unwrap();
    drop(streams);
    assert_eq!(reader.messages(1), ["half"]);
    assert!(reader.messages_now().is_empty());
}

#[test]
fn one_busy_connection_does_not_silence_the_others() {
    let (mut reader, to) = tcp();
    let mut busy = TcpStream::connect(to).unwrap();
    busy.set_nonblocking(true).unwrap();
    let line = format!("<13>su: {}\n", "b".repeat(1000)).repeat(64);
    let mut quiet = TcpStream::connect(to).unwrap();
    writeln!(quiet, "<13>su: quiet").unwrap();
    for read in 0..20_000 {
        // As much as there is room for, so that there is always something to read.
        while busy.write(line.as_bytes()).is_ok() {}
        let Some(entry) = reader.wait() else { panic!("sockets have no end") };
        if message(&entry) == "quiet" {
            return;
        }
        assert!(read < 19_999, "the quiet one was never heard");
    }
}

#[test]
fn one_connection_too_many_closes_the_most_silent() {
    let (mut reader, to) = tcp();
    let mut first = TcpStream::connect(to).unwrap();
    writeln!(first, "<13>su: first").unwrap();
    assert_eq!(reader.messages(1), ["first"]);
    let mut others = Vec::new();
    for number in 0..512 {
        let mut stream = TcpStream::connect(to).unwrap();
        writeln!(stream, "<13>su: {number}").unwrap();
        assert_eq!(reader.messages(1), [number.to_string()]);
        others.push(stream);
    }
    assert!(reader.notices().iter().any(|notice| notice.contains("silent the longest")));
    assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0, "it is closed");
}
