//! Prints the profile of a server: `cargo run -p unmasq-honeypot --example capture 192.0.2.7:22 ROUNDS`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use unmasq_honeypot::capture::{Capture, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("give HOST:PORT")?;
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let mut capture = Capture::new(Options { user: "nobody-of-this-name".to_owned(), rounds })?;
    let mut buffer = [0; 8192];
    while capture.connect(Instant::now()) {
        let mut stream = TcpStream::connect(&address)?;
        while !capture.is_closing() {
            if !capture.output().is_empty() {
                let sent = stream.write(capture.output())?;
                capture.sent(sent);
                continue;
            }
            // A reset ends it, too.
            match stream.read(&mut buffer).unwrap_or(0) {
                0 => capture.end_of_input()?,
                length => capture.receive(&buffer[..length], Instant::now())?,
            }
        }
    }
    print!("{}", capture.finish()?);
    Ok(())
}
