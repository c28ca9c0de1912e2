//! The thread between the engine and a recorder: one loop around `poll`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_control::{Ask, Reply, Request};
use unmasq_flow::Flow;

use super::link::{LONGEST_LINE, Link, Opener};
use super::{Answered, Found, Limits, Shared, Standing, Unanswered, settle, signal};

/// The first wait before another attempt; doubled each time,
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A recorder that says nothing for this long to a question that it was sent is not there any more, whatever TCP still
/// hopes for. It may take half a second to catch up with the kernel.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// Flows kept of one reply.
const MOST_FLOWS: usize = 1000;

/// A question under way.
struct Question {
    id: u64,
    ask: Ask,
    until: Instant,
    /// When it was written into the connection that there is now.
    sent: Option<Instant>,
    /// The engine has been told that it takes too long; the reply is still to be read past.
    is_over: bool,
    found: Found,
}

/// The loop and what it knows.
pub(super) struct Worker {
    shared: Arc<Shared>,
    opener: Opener,
    limits: Limits,
    link: Option<Link>,
    /// Sent ones first, in the order of their replies.
    questions: VecDeque<Question>,
    received: Vec<u8>,
    to_send: Vec<u8>,
    heard: Instant,
    opened: Receiver<std::io::Result<Link>>,
    opened_in: Sender<std::io::Result<Link>>,
    is_opening: bool,
    failures: u32,
    next_attempt: Instant,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, opener: Opener, limits: Limits) -> Self {
        let (opened_in, opened) = bounded(1);
        Self {
            shared,
            opener,
            limits,
            link: None,
            questions: VecDeque::new(),
            received: Vec::new(),
            to_send: Vec::new(),
            heard: Instant::now(),
            opened,
            opened_in,
            is_opening: false,
            failures: 0,
            next_attempt: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.wait();
            settle(&self.shared.wake);
            if !self.take_questions() {
                return;
            }
            self.take_connection();
            self.converse();
            self.end_overdue();
            self.connect();
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) {
        let now = Instant::now();
        let deadlines = self.questions.iter().filter(|question| !question.is_over).map(|q| q.until);
        let attempt = (self.link.is_none() && !self.is_opening).then_some(self.next_attempt);
        let next = deadlines.chain(attempt).chain(self.silent_from()).min();
        let limit = next.map(|next| next.saturating_duration_since(now));
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut watched = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        if let Some(link) = &self.link {
            let mut wanted = PollFlags::IN;
            if link.wants_write() || !self.to_send.is_empty() {
                wanted |= PollFlags::OUT;
            }
            watched.push(PollFd::new(link, wanted));
        }
        // Interrupted, or refused for want of memory: the round that follows looks at everything anyway.
        let _ = poll(&mut watched, limit.as_ref());
    }

    /// Takes what the engine asks; false when it is to stop.
    fn take_questions(&mut self) -> bool {
        let mut state = self.shared.state.lock();
        let until = Instant::now() + self.limits.patience;
        self.questions.extend(state.questions.drain(..).map(|(id, ask)| Question {
            id,
            ask,
            until,
            sent: None,
            is_over: false,
            found: Found::default(),
        }));
        !state.stop
    }

    /// Begins to connect, if it is time to.
    fn connect(&mut self) {
        if self.link.is_some() || self.is_opening || Instant::now() < self.next_attempt {
            return;
        }
        let (opener, opened, shared) =
            (self.opener.clone(), self.opened_in.clone(), Arc::clone(&self.shared));
        let spawned = thread::Builder::new().name("book-connect".to_owned()).spawn(move || {
            // Nobody waits for it any more if the book was dropped.
            let _ = opened.try_send(opener.open());
            signal(&shared.wake);
        });
        match spawned {
            Ok(_) => self.is_opening = true,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    fn take_connection(&mut self) {
        let Ok(opened) = self.opened.try_recv() else { return };
        self.is_opening = false;
        match opened {
            Ok(link) => {
                self.link = Some(link);
                self.failures = 0;
                self.heard = Instant::now();
                self.shared.state.lock().standing = Standing::Connected;
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// There is no connection now; what was under way will be asked again.
    fn fail(&mut self, reason: &str) {
        self.link = None;
        self.received.clear();
        self.to_send.clear();
        self.questions.retain(|question| !question.is_over);
        for question in &mut self.questions {
            question.sent = None;
            question.found = Found::default();
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures += 1;
        self.next_attempt = Instant::now() + wait;
        self.shared.state.lock().standing = Standing::Broken(reason.to_owned());
    }

    /// Writes and reads what can be without waiting.
    fn converse(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        match self.exchange(&mut link) {
            Ok(()) => self.link = Some(link),
            Err(reason) => self.fail(&reason),
        }
    }

    fn exchange(&mut self, link: &mut Link) -> Result<(), String> {
        let now = Instant::now();
        for question in self.questions.iter_mut().filter(|question| question.sent.is_none()) {
            let request = serde_json::to_string(&Request::new(question.ask.clone()));
            self.to_send.extend_from_slice(request.map_err(|error| error.to_string())?.as_bytes());
            self.to_send.push(b'\n');
            question.sent = Some(now);
        }
        while !self.to_send.is_empty() {
            match link.write(&self.to_send) {
                Ok(0) => return Err("the recorder takes nothing more".to_owned()),
                Ok(written) => drop(self.to_send.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        match link.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.to_string()),
            _ => {}
        }
        let mut part = [0; 16 << 10];
        loop {
            match link.read(&mut part) {
                Ok(0) => return Err("the recorder closed the connection".to_owned()),
                Ok(length) => {
                    self.heard = Instant::now();
                    self.received.extend_from_slice(&part[..length]);
                    self.take_lines()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Reads the whole lines of what has been received.
    fn take_lines(&mut self) -> Result<(), String> {
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let reply = serde_json::from_slice(&rest[..end])
                .map_err(|error| format!("the recorder answered what is no reply: {error}"))?;
            self.take_reply(reply)?;
            rest = &rest[end + 1..];
        }
        if rest.len() > LONGEST_LINE {
            return Err("the recorder answered with too long a line".to_owned());
        }
        self.received = rest.to_vec();
        Ok(())
    }

    fn take_reply(&mut self, reply: Reply) -> Result<(), String> {
        let Some(question) = self.questions.front_mut().filter(|question| question.sent.is_some()) else {
            return Err("the recorder answered what nobody asked".to_owned());
        };
        let outcome = match reply {
            Reply::Flow(record) => {
                if question.found.flows.len() < MOST_FLOWS {
                    let flow = Flow::try_from(&*record).map_err(|error| error.to_string())?;
                    question.found.flows.push(flow);
                }
                return Ok(());
            }
            Reply::Covered(covered) => {
                question.found.covered.push(covered);
                return Ok(());
            }
            Reply::Status(_) | Reply::Watch(_) => return Ok(()),
            Reply::End { .. } => Ok(std::mem::take(&mut question.found)),
            Reply::Error(message) => Err(Unanswered::Refused(message)),
        };
        let (id, is_over) = (question.id, question.is_over);
        self.questions.pop_front();
        if !is_over {
            self.answer(id, outcome);
        }
        Ok(())
    }

    /// From when on the recorder counts as silent; none if it has nothing to answer.
    fn silent_from(&self) -> Option<Instant> {
        let oldest = self.questions.front()?.sent?;
        Some(oldest.max(self.heard) + self.limits.silence)
    }

    /// Answers what has waited for too long, and gives up a recorder that has fallen silent.
    fn end_overdue(&mut self) {
        let now = Instant::now();
        let mut overdue = Vec::new();
        for question in self.questions.iter_mut().filter(|q| !q.is_over && q.until <= now) {
            question.is_over = true;
            overdue.push(question.id);
        }
        for id in overdue {
            self.answer(id, Err(Unanswered::TimedOut));
        }
        if self.silent_from().is_some_and(|from| from <= now) {
            self.fail("the recorder has fallen silent");
        }
        self.questions.retain(|question| !question.is_over || question.sent.is_some());
    }

    fn answer(&self, id: u64, outcome: Result<Found, Unanswered>) {
        self.shared.state.lock().answers.push_back(Answered { id, outcome });
        signal(&self.shared.ready);
    }
}

/// Reads bytes as the answers to three questions.
pub(super) fn fuzz(bytes: &[u8]) {
    // Without descriptors there is nothing to be tried.
    let Ok(shared) = Shared::new() else { return };
    let limits = Limits { patience: SILENCE, silence: SILENCE };
    let mut worker = Worker::new(Arc::new(shared), Opener::Unix("/".into()), limits);
    for id in 0..3 {
        worker.shared.state.lock().questions.push_back((id, Ask::Status));
    }
    worker.take_questions();
    for question in &mut worker.questions {
        question.sent = Some(question.until);
    }
    // In two parts, as a stream may bring them.
    for part in [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]] {
        worker.received.extend_from_slice(part);
        if let Err(reason) = worker.take_lines() {
            worker.fail(&reason);
            return;
        }
    }
}
