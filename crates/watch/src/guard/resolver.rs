//! Finds out, again and again, what the names of the allow list stand for.
//!
//! The system's resolver does not say how long an answer holds, so each name is asked about at a fixed interval; after
//! a failure sooner. What to do with a failure is the guard's affair: it keeps the last good answer.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

/// How soon a failed look-up is tried again, where the interval is not shorter.
const AGAIN: Duration = Duration::from_secs(10);

/// What a look-up brought.
#[derive(Debug)]
pub struct Resolution {
    /// The name.
    pub name: String,
    /// Its addresses, of both families; at least one.
    pub addresses: io::Result<Vec<IpAddr>>,
}

/// A thread that looks names up. It ends when this is dropped; a look-up that is under way then goes on alone, and
/// nothing is told of it.
#[derive(Debug)]
pub struct Resolver {
    _stop: Sender<()>,
}

impl Resolver {
    /// Starts to look up: all names at once, then each at its interval. `tell` is called on the thread.
    pub fn start(
        names: Vec<String>,
        every: Duration,
        tell: impl FnMut(Resolution) + Send + 'static,
    ) -> io::Result<Self> {
        Self::with(names, every, system, tell)
    }

    fn with(
        names: Vec<String>,
        every: Duration,
        mut look_up: impl FnMut(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
        mut tell: impl FnMut(Resolution) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let mut due: Vec<(String, Instant)> = names.into_iter().map(|name| (name, Instant::now())).collect();
        thread::Builder::new().name("resolver".into()).spawn(move || {
            while let Some(next) = due.iter().map(|(_, when)| *when).min() {
                if stopped.recv_deadline(next) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                for (name, when) in due.iter_mut().filter(|(_, when)| *when <= Instant::now()) {
                    let addresses = look_up(name);
                    *when = Instant::now() + if addresses.is_ok() { every } else { every.min(AGAIN) };
                    if stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
                        return;
                    }
                    tell(Resolution { name: name.clone(), addresses });
                }
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = (name, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_again_also_after_a_failure() {
        let mut calls = 0;
        let look_up = move |name: &str| {
            calls += 1;
            match calls {
                1 | 3 => Ok(vec![format!("192.0.2.{calls}").parse().unwrap()]),
                2 => Err(io::Error::other(format!("no server for {name}"))),
                _ => Err(io::Error::other("and so on")),
            }
        };
        let (told, hear) = crossbeam_channel::unbounded();
        let tell = move |resolution| drop(told.send(resolution));
        let resolver =
            Resolver::with(vec!["admin.example".into()], Duration::from_millis(1), look_up, tell).unwrap();
        let answers: Vec<_> = hear.iter().take(3).map(|resolution| resolution.addresses.ok()).collect();
        assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(answers[2], Some(vec!["192.0.2.3".parse().unwrap()]));
        drop(resolver);
        // The thread ends, and with it the sender: the iteration comes to its end.
        assert!(hear.iter().all(|resolution| resolution.name == "admin.example"));
    }

    #[test]
    fn the_system_knows_localhost() {
        assert!(system("localhost").unwrap().iter().all(IpAddr::is_loopback));
        // No name server is asked about it, so that the answer is the machine's own.
        assert!(system("no host").is_err());
    }
}
