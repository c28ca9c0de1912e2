//! What a recorder answers: from its book of flows.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unmasq_control::{Ask, Covered, Reply, Status};
use unmasq_flow::record::Record;
use unmasq_flow::{self as flow, Book, Endpoint, Flow, Period, Protocol, Timestamp};

use super::server::Answers;

/// How long a question about this moment waits for the events of this moment.
const CATCH_UP: Duration = Duration::from_millis(500);

/// What a recorder answers from.
#[derive(Clone, Debug)]
pub(crate) struct BookAnswers {
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) status: Arc<Mutex<Status>>,
    /// What of each namespace has been accepted by now.
    pub(crate) covered: Arc<Mutex<Vec<Covered>>>,
}

impl BookAnswers {
    /// Waits, for a bounded time, until everything that the kernel sent by `moment` has been accepted.
    fn catch_up(&self, moment: Timestamp) -> Vec<Covered> {
        let asked = Instant::now();
        loop {
            let covered = self.covered.lock().clone();
            let is_behind = covered.iter().any(|c| c.until < moment.as_nanos());
            if !is_behind || asked.elapsed() > CATCH_UP {
                return covered;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Answers for BookAnswers {
    fn answer(&self, ask: Ask) -> Result<Vec<Reply>, String> {
        let now = Timestamp::now();
        let mut replies = Vec::new();
        let flows: Vec<Flow> = match ask {
            Ask::Status => return Ok(vec![Reply::Status(self.status.lock().clone())]),
            Ask::Find { masked, protocol, server, from, to } => {
                let ask = flow::Ask {
                    masked: parse::<Endpoint>(&masked)?,
                    protocol: protocol.as_deref().map(parse::<Protocol>).transpose()?,
                    server: server.as_deref().map(parse::<Endpoint>).transpose()?,
                    period: Period::new(Timestamp::from_nanos(from), Timestamp::from_nanos(to)),
                };
                replies.extend(self.catch_up(ask.period.to.min(now)).into_iter().map(Reply::Covered));
                self.book.lock().find(&ask, now)
            }
            Ask::Watch(_) => return Err("this is a recorder; ask a watch, at its own socket".to_owned()),
            Ask::Client { address } => {
                let address: IpAddr = address.parse().map_err(|e| format!("{address:?}: {e}"))?;
                self.book.lock().of_client(address, now).collect()
            }
        };
        replies.extend(flows.iter().map(|f| Reply::Flow(Box::new(Record::from(f)))));
        Ok(replies)
    }
}

fn parse<T: std::str::FromStr<Err = flow::ParseError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: flow::ParseError| e.to_string())
}
