//! A server of one answer on 127.0.0.1, which notes what it was asked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// Serves one connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<String>,
}

impl Server {
    /// Gives these bytes, whatever it is asked.
    pub(crate) fn bytes(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::with(move |mut connection| {
            let asked = request(&mut connection);
            // The client may have gone as soon as it saw what it did not like.
            let _ = connection.write_all(&answer);
            asked
        })
    }

    /// Gives an answer of HTTP as the portal does.
    pub(crate) fn answer(status: &str, body: &str) -> Self {
        let length = body.len();
        Self::bytes(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
    }

    /// Does anything with the connection; returns what it was asked.
    pub(crate) fn with(serve: impl FnOnce(TcpStream) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || serve(listener.accept().unwrap().0));
        Self { address, thread }
    }

    /// The request, after the connection has ended.
    pub(crate) fn asked(self) -> String {
        self.thread.join().unwrap()
    }
}

/// Reads the head of a request.
pub(crate) fn request(connection: &mut impl Read) -> String {
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap_or(0) == 1 {
        asked.push(byte[0]);
    }
    String::from_utf8(asked).unwrap()
}
