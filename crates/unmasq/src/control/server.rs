//! The answering side of the control socket: a thread that accepts, and one for each connection.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use unmasq_control::{Ask, Reply, Request, VERSION};

/// A request line longer than this is refused; the longest sensible one has under 300 bytes.
pub(super) const MAX_REQUEST: u64 = 4096;
/// Connections served at once; more are closed at once, so that a caller in a loop cannot exhaust the recorder.
const MAX_CONNECTIONS: usize = 16;
/// How long a caller may stay silent or leave a reply unread.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker answers to what it is asked.
pub(crate) trait Answers: Send + Sync {
    /// The lines of the reply, but for the last.
    ///
    /// # Errors
    /// Why the question is refused, for whoever asked.
    fn answer(&self, ask: Ask) -> Result<Vec<Reply>, String>;
}

/// Where the socket is, and who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Permissions of the socket file, such as `0o660`.
    pub(crate) mode: u32,
    /// Its group; the recorder's own if `None`.
    pub(crate) group: Option<u32>,
}

/// A bound socket that nobody answers at yet. Bound while we still may, answered once privileges are dropped.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: UnixListener,
    server: Server,
}

/// A control socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
}

/// A control socket that could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(
        "cannot open the control socket {path}: {source}; give another place with --control, or `--control none`"
    )]
    Bind { path: PathBuf, source: io::Error },
    #[error(
        "a recorder already answers at the control socket {0}; stop it, or give another place with --control"
    )]
    Taken(PathBuf),
}

impl Bound {
    /// Binds the socket. A stale socket file is replaced; one that somebody answers at is not. `owner`: the user that
    /// will answer.
    pub(crate) fn bind(place: &Place, owner: Option<u32>) -> Result<Self, ServerError> {
        let path = &place.path;
        let failed = |source| ServerError::Bind { path: path.clone(), source };
        if let Some(folder) =
            path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
        {
            fs::create_dir_all(folder).map_err(failed)?;
            // The one who answers also removes the socket when it leaves.
            chown(folder, owner, None).map_err(failed)?;
        }
        if fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                return Err(ServerError::Taken(path.clone()));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        chown(path, owner, place.group).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(place.mode)).map_err(failed)?;
        Ok(Self { listener, server: Server { path: path.clone() } })
    }

    /// Answers from a thread of its own.
    pub(crate) fn serve(self, answers: Arc<dyn Answers>) -> Result<Server, ServerError> {
        let Self { listener, server } = self;
        let failed = |source| ServerError::Bind { path: server.path.clone(), source };
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || accept(&listener, &answers))
            .map_err(failed)?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever removed it before has done our work.
        let _ = fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, answers: &Arc<dyn Answers>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("unmasq: control socket: {error}");
                // Out of descriptors or memory: both pass, and spinning would not help them to.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS || !is_allowed(&stream) {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (answers, open) = (Arc::clone(answers), Arc::clone(&open));
        let spawned = thread::Builder::new().name("control-conn".to_owned()).spawn(move || {
            // A caller that went away or fell silent concerns nobody.
            let _ = serve(&stream, &*answers);
            open.fetch_sub(1, Ordering::AcqRel);
        });
        if let Err(error) = spawned {
            eprintln!("unmasq: control socket: {error}");
        }
    }
}

/// The socket's mode and group decide who may connect. This looks at who it really is, in case they are wider than they
/// should be: root, the recorder's own user, and members of the socket's group.
fn is_allowed(stream: &UnixStream) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else { return false };
    if peer.uid.is_root() || peer.uid == rustix::process::geteuid() {
        return true;
    }
    let group = stream
        .local_addr()
        .ok()
        .and_then(|address| fs::metadata(address.as_pathname()?).ok())
        .map(|m| m.gid());
    let Some(group) = group else { return false };
    peer.gid.as_raw() == group || supplementary_groups(peer.pid.as_raw_nonzero().get()).contains(&group)
}

/// The groups of a process beside its own (proc(5)); none if it is gone.
fn supplementary_groups(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.into_iter().flat_map(str::split_whitespace).filter_map(|group| group.parse().ok()).collect()
}

fn serve(stream: &UnixStream, answers: &dyn Answers) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_REQUEST).read_line(&mut line)? == 0 {
            return Ok(());
        }
        respond(&mut &*stream, answer(&line, answers))?;
    }
}

/// Writes a whole reply.
pub(super) fn respond(out: &mut impl Write, answer: Result<Vec<Reply>, String>) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match answer {
        Ok(replies) => {
            for reply in &replies {
                send(&mut out, reply)?;
            }
            send(&mut out, &Reply::End { flows: replies.len() as u64 })?;
        }
        Err(message) => send(&mut out, &Reply::Error(message))?,
    }
    out.flush()
}

fn send(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    out.write_all(b"\n")
}

/// One request line, answered.
pub(super) fn answer(line: &str, answers: &dyn Answers) -> Result<Vec<Reply>, String> {
    let request: Request = serde_json::from_str(line).map_err(|e| format!("not a request: {e}"))?;
    if request.version != VERSION {
        return Err(format!("this unmasq speaks version {VERSION} of the protocol, not {}", request.version));
    }
    answers.answer(request.ask)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use parking_lot::Mutex;
    use unmasq_flow::{self as flow, Book, Endpoint, Flow, Limits, Origin, Protocol, Timestamp};

    use super::*;
    use crate::control::book::BookAnswers;
    use crate::control::client::{ControlError, ask};

    fn sources() -> BookAnswers {
        let mut book = Book::new(Limits { max_bytes: 1 << 20, keep_ended: PATIENCE });
        let server = Endpoint::v4([198, 51, 100, 7], 80);
        let mut flow = Flow::new(
            Origin::new("gw1", "").shared(),
            Protocol::TCP,
            (Endpoint::v4([192, 168, 101, 2], 47_244), server),
            (server, Endpoint::v4([203, 0, 113, 1], 61_002)),
        );
        flow.start = flow::Bound::Exact(Timestamp::from_seconds(100));
        flow.end = flow::Bound::Open;
        book.open(&flow, Timestamp::from_seconds(100)).unwrap();
        BookAnswers { book: Arc::new(Mutex::new(book)), status: Arc::default(), covered: Arc::default() }
    }

    fn start(path: &Path) -> Result<Server, ServerError> {
        Bound::bind(&Place { path: path.to_owned(), mode: 0o600, group: None }, None)?
            .serve(Arc::new(sources()))
    }

    fn find(masked: &str) -> Ask {
        Ask::Find {
            masked: masked.to_owned(),
            protocol: Some("tcp".to_owned()),
            server: None,
            from: 0,
            to: i64::MAX,
        }
    }

    #[test]
    fn a_client_asks_and_is_answered_over_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let server = start(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut flows = Vec::new();
        ask(&path, find("203.0.113.1:61002"), |reply| flows.push(reply)).unwrap();
        let [Reply::Flow(record)] = flows.as_slice() else { panic!("one flow, not {flows:?}") };
        assert_eq!(record.client, "192.168.101.2:47244");

        let refused = ask(&path, find("203.0.113.1:x"), |_| {}).unwrap_err();
        assert!(
            matches!(&refused, ControlError::Refused { message, .. } if message.contains("\"x\"")),
            "{refused}"
        );
        assert!(matches!(start(&path), Err(ServerError::Taken(_))));
        drop(server);
        assert!(!path.exists());
        assert!(matches!(ask(&path, Ask::Status, |_| {}), Err(ControlError::Connect { .. })));
    }

    #[test]
    fn a_socket_file_that_nobody_answers_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        start(&path).unwrap();
    }

    #[test]
    fn requests_of_another_kind_are_refused_with_the_reason() {
        let refused = |line: &str| answer(line, &sources()).unwrap_err();
        assert!(refused("").starts_with("not a request"));
        assert!(refused(r#"{"version":2,"ask":"status"}"#).contains("version 1"));
        assert!(refused(r#"{"version":1,"ask":{"flush":{}}}"#).contains("flush"));
        assert!(refused(r#"{"version":1,"ask":{"client":{"address":"x"}}}"#).contains("\"x\""));
    }
}
