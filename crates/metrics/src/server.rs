//! The page over HTTP: `GET /metrics`, and nothing else.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Callers served at once; more are turned away.
const MOST_CALLERS: usize = 8;
/// How long a caller may take for its request, and again for our answer, however it dribbles.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest head of a request.
const LONGEST_HEAD: usize = 8192;

/// The page could not be offered.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for metrics: {source}; give another address, or leave `metrics` out")]
pub struct ServerError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// What makes the page.
type MakePage = dyn Fn() -> String + Send + Sync;

/// A thread that gives the page out. Dropped, it stops.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Offers a page at this address, made anew for each caller. Port 0 takes a free one.
    pub fn start(
        address: SocketAddr,
        page: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let failed = |source| ServerError { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || accept(&listener, &(Arc::new(page) as Arc<MakePage>), &seen))
            .map_err(failed)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread; if even that fails, it stays until the process ends.
        if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, page: &Arc<MakePage>, stop: &AtomicBool) {
    let callers = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of descriptors or memory: both pass, and spinning would not help them to.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if callers.fetch_add(1, Ordering::AcqRel) >= MOST_CALLERS {
            callers.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (page, taken) = (Arc::clone(page), Arc::clone(&callers));
        let spawned = thread::Builder::new().name("metrics-conn".to_owned()).spawn(move || {
            // A caller that went away or fell silent concerns nobody.
            let _ = serve(stream, &*page);
            taken.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            callers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn serve(mut stream: TcpStream, page: &MakePage) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", page()),
        ("GET", _) => ("404 Not Found", "text/plain", "the page is /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let until = Instant::now() + PATIENCE;
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        let written = stream.write(rest)?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The request up to its empty line.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        stream.set_read_timeout(Some(left(until)?))?;
        let length = stream.read(&mut part)?;
        if length == 0 || head.len() + length > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&part[..length]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Page, Total};

    fn start() -> (Server, Arc<Total>) {
        let total = Arc::new(Total::default());
        let shown = Arc::clone(&total);
        let page = move || {
            let mut page = Page::new("test");
            page.total("entries_total", "Entries", &shown);
            page.into_text()
        };
        (Server::start(([127, 0, 0, 1], 0).into(), page).unwrap(), total)
    }

    fn ask(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_page_is_given_to_who_asks_for_it_and_nothing_else_is() {
        let (server, total) = start();
        total.add(5);
        let answer = ask(&server, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("test_entries_total 5\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(ask(&server, "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(&server, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }

    #[test]
    fn silent_callers_take_their_places_and_no_more() {
        let (server, _) = start();
        let silent: Vec<TcpStream> =
            (0..MOST_CALLERS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        // Accepted in their order, so the next is one too many: it is closed without a word.
        let mut one_more = TcpStream::connect(server.address()).unwrap();
        assert_eq!(one_more.read(&mut [0; 16]).unwrap_or(0), 0);
        drop(silent);
        let answered = || {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let mut answer = String::new();
            // Turned away, it is a broken pipe or an early end.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
            let _ = stream.read_to_string(&mut answer);
            answer.starts_with("HTTP/1.1 200")
        };
        let began = Instant::now();
        while !answered() {
            assert!(began.elapsed() < Duration::from_secs(120), "places are free once callers have left");
        }
    }
}
