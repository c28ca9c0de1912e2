//! sd_notify(3), heard from workers and passed on.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::net::{SocketAddrUnix, bind};
use sd_notify::NotifyState;

/// What a worker reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It does its work.
    Ready,
    /// It is still alive.
    Watchdog,
    /// It leaves.
    Stopping,
    /// How it is, in words.
    Status(String),
}

/// The socket on which workers report. Abstract, so that no file is left behind.
#[derive(Debug)]
pub(super) struct Notices {
    socket: UnixDatagram,
    name: String,
}

impl Notices {
    /// One for a worker.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The kernel chooses a name ("autobind", unix(7)). One with our process id in it can be another's, in another PID namespace.
        bind(&socket, &SocketAddrUnix::new_unnamed())?;
        let address = socket.local_addr()?;
        let name = address.as_abstract_name().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or(io::ErrorKind::AddrNotAvailable)?.to_owned();
        Ok(Self { socket, name })
    }

    /// The value of `NOTIFY_SOCKET` for a worker.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// The news of one datagram, if one comes in time.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<Vec<News>> {
        self.socket.set_read_timeout(Some(timeout))?;
        let mut bytes = [0_u8; 1024];
        match self.socket.recv(&mut bytes) {
            Ok(length) => Ok(parse(&String::from_utf8_lossy(&bytes[..length]))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

fn parse(text: &str) -> Vec<News> {
    text.lines()
        .filter_map(|line| match line.split_once('=')? {
            ("READY", "1") => Some(News::Ready),
            ("WATCHDOG", "1") => Some(News::Watchdog),
            // The supervisor says for itself when it leaves: a worker that is started anew does not.
            ("STATUS", status) => Some(News::Status(status.to_owned())),
            _ => None,
        })
        .collect()
}

/// Passes the news on to the service manager, if there is one.
pub(super) fn tell(news: &News) {
    let state = match news {
        News::Ready => NotifyState::Ready,
        News::Watchdog => NotifyState::Watchdog,
        News::Stopping => NotifyState::Stopping,
        News::Status(status) => NotifyState::Status(status),
    };
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[state]);
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::SocketAddr;

    use super::*;

    #[test]
    fn each_worker_is_heard_on_a_socket_of_its_own() {
        let [first, second] = [(), ()].map(|()| Notices::open().unwrap());
        assert_ne!(first.address(), second.address());
        let to = SocketAddr::from_abstract_name(first.address().trim_start_matches('@')).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &to).unwrap();
        assert_eq!(first.wait(Duration::from_secs(60)).unwrap(), [News::Ready]);
    }

    #[test]
    fn what_a_worker_says_is_heard_and_the_rest_passed_over() {
        assert_eq!(
            parse("READY=1\nSTATUS=all well = yes\nMAINPID=7\nSTOPPING=1\nnonsense"),
            [News::Ready, News::Status("all well = yes".to_owned())]
        );
    }
}
