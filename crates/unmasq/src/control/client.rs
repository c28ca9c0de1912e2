//! The asking side of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unmasq_control::{Ask, Reply, Request};

/// A recorder that could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("cannot reach a recorder at {path}: {source}; is `unmasq record` or `unmasq daemon` running?")]
    Connect { path: PathBuf, source: io::Error },
    #[error("the recorder at {path} broke off: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the recorder at {path} answered {line:?}, which this version of unmasq does not understand: {source}"
    )]
    Reply { path: PathBuf, line: String, source: serde_json::Error },
    #[error("the recorder at {path} refused: {message}")]
    Refused { path: PathBuf, message: String },
}

/// How long a recorder may take for each line of its reply. A scan over a million flows takes well under a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks, and gives each line of the reply but the last.
pub(crate) fn ask(path: &Path, ask: Ask, mut each: impl FnMut(Reply)) -> Result<(), ControlError> {
    let io = |source| ControlError::Io { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path)
        .map_err(|source| ControlError::Connect { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let request = serde_json::to_string(&Request::new(ask)).map_err(|e| io(e.into()))?;
    stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(b"\n")).map_err(io)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(io)?;
        match serde_json::from_str(&line) {
            Ok(Reply::End { .. }) => return Ok(()),
            Ok(Reply::Error(message)) => {
                return Err(ControlError::Refused { path: path.to_owned(), message });
            }
            Ok(reply) => each(reply),
            Err(source) => {
                let line = line.chars().take(120).collect();
                return Err(ControlError::Reply { path: path.to_owned(), line, source });
            }
        }
    }
    Err(io(io::ErrorKind::UnexpectedEof.into()))
}
