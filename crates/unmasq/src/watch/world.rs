//! What the machine asks of the world, answered: counters, users, translations, effects.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use unmasq_entry::{Entry, Fields, Slot, Value};
use unmasq_flow::Timestamp;
use unmasq_source::Source;
use unmasq_watch::bans::{Escalation, Placed, Prefixes, canonical};
use unmasq_watch::client::remote::RemoteBook;
use unmasq_watch::client::{Answer, Capture, Captures, Client, Key, Masked, Question, Subset, Waits, Word};
use unmasq_watch::counters::{self, CategoryId};
use unmasq_watch::enforce::SetName;
use unmasq_watch::guard::{Guard, Reach, Refusal};
use unmasq_watch::journal_log::AGAIN;
use unmasq_watch::machine::{Act, BanOrder, World};
use unmasq_watch::program::{IfShared, Program, Resume, StepId};
use unmasq_watch::report::Event;
use unmasq_watch::state::{BanRequest, State};

use super::clients;
use super::effect::{At, Banning, Effect, Hands};
use super::feed::Feed;
use super::users::Users;

/// A ban that grows by less than this is left as it is: an attacker's every line would otherwise be an order to the
/// kernel.
const EXTEND_BY: Duration = Duration::from_secs(1);

/// An entry that waits, and where it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) entry: Entry,
    pub(crate) resume: Resume,
    pub(crate) asked: Subset,
    /// The cursor or line of the entry.
    pub(crate) place: String,
}

/// Is an entry one that the watch itself wrote?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Own {
    /// Somebody else did.
    #[default]
    Not,
    /// It did.
    Line,
    /// It did, because of a line of its own: no third follows.
    Again,
}

/// How the watch's own lines are known in the journal; found once for a program, as entries are many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnLines {
    pid: i64,
    pid_field: Option<Slot>,
    again: Option<Slot>,
}

impl OwnLines {
    pub(crate) fn new(fields: &Fields) -> Self {
        Self { pid: i64::from(std::process::id()), pid_field: fields.find("_PID"), again: fields.find(AGAIN) }
    }

    /// What the journal says of an entry.
    pub(crate) fn judge(self, entry: &Entry) -> Own {
        match self.pid_field.and_then(|field| entry.get(field)) {
            Some(Value::Integer(pid)) if pid == self.pid => {
                if self.again.is_some_and(|field| entry.has(field)) { Own::Again } else { Own::Line }
            }
            _ => Own::Not,
        }
    }
}

/// Everything around the machine.
pub(crate) struct Surroundings<H> {
    pub(crate) hands: H,
    pub(crate) program: Arc<Program>,
    pub(crate) state: State,
    pub(crate) captures: Captures,
    pub(crate) waits: Waits<Payload>,
    pub(crate) guard: Guard,
    pub(crate) feed: Option<Feed>,
    pub(crate) users: Users,
    pub(crate) sources: Vec<Box<dyn Source>>,
    /// The source of the entry that is being run.
    pub(crate) current: usize,
    /// The place of an entry that waited; empty for one that its source can still tell.
    pub(crate) place: String,
    /// The engine's time.
    pub(crate) clock: Timestamp,
    /// When the entry that is being run was written.
    pub(crate) caused: Timestamp,
    /// Translations captured since the waits were looked at last.
    pub(crate) captured: Vec<Masked>,
    pub(crate) escalation: Option<Escalation>,
    pub(crate) refused: u64,
    /// Has an action done anything for the entry that is being run?
    pub(crate) has_acted: bool,
    pub(crate) errors: u64,
    /// Who wrote the entry that is being run?
    pub(crate) own: Own,
    /// Is the reason of the error under way to be told?
    pub(crate) is_quiet: bool,
    /// Do entries wait only for addresses that are known to mask others?
    pub(crate) waits_for_known: bool,
    /// Another host's book.
    pub(crate) remote: Option<RemoteBook>,
    /// Entries whose client the other book did not know, to be asked for again.
    pub(crate) ask_again: Vec<u64>,
    pub(crate) most_captures: usize,
    /// The sets that were banned in, and their names as text.
    pub(crate) set_names: Vec<(SetName, Arc<str>)>,
}

impl<H: Hands> Surroundings<H> {
    /// Who is behind that, as far as is known now?
    pub(crate) fn find(&self, asked: Subset, question: &Question) -> Option<Client> {
        let feed = self.feed.as_ref();
        clients::find(feed, &self.captures, &question.masked, asked, question.time, self.clock)
    }

    /// Asks another host's book about a waiting entry, if there is one.
    pub(crate) fn ask_elsewhere(&mut self, id: u64) {
        let Some(remote) = &self.remote else { return };
        let Some(wait) = self.waits.get(id) else { return };
        let Some(ask) = clients::ask(&wait.question.masked, wait.payload.asked, wait.question.time) else {
            return;
        };
        let ask = unmasq_control::Ask::Find {
            masked: ask.masked.to_string(),
            protocol: None,
            server: ask.server.map(|server| server.to_string()),
            from: ask.period.from.as_nanos(),
            to: ask.period.to.as_nanos(),
        };
        if remote.ask(id, ask).is_err() {
            self.ask_again.push(id);
        }
    }

    /// Other chains take the place of these.
    pub(crate) fn load(&mut self, program: Arc<Program>) {
        let mut captures = Captures::new(&program.asked(), self.most_captures);
        for capture in self.captures.iter() {
            captures.insert(capture.clone());
        }
        self.captures = captures;
        self.state.bind_categories(program.categories());
        self.program = program;
    }

    /// The place of the entry that is being run, for people and for the ids of mails.
    pub(crate) fn place(&mut self) -> String {
        if !self.place.is_empty() {
            return self.place.clone();
        }
        let Some(source) = self.sources.get_mut(self.current) else { return String::new() };
        match source.last_place() {
            Ok(place) => place.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Hands an effect on.
    pub(crate) fn carry_out(&mut self, step: StepId, effect: Effect<'_>) -> Result<(), String> {
        let place = if H::WANTS_PLACE { self.place() } else { String::new() };
        let at = At { program: &self.program, step, place: &place, is_own: self.own >= Own::Line };
        self.hands.carry_out(at, effect)
    }

    /// Tells the guard of addresses that the kernel was seen to let stand for others.
    pub(crate) fn know_masking(&mut self) {
        let Some(masking) = self.feed.as_ref().and_then(Feed::new_masking) else { return };
        for address in masking {
            self.guard.note_masking(address, self.clock);
        }
    }

    fn ban(&mut self, step: StepId, order: BanOrder<'_>) -> Result<(), String> {
        // The connection that this entry is of may have been the first one that was translated.
        if let Some(feed) = &self.feed {
            feed.settle();
        }
        self.know_masking();
        let BanOrder { mut target, mut set, .. } = order;
        let mut port = None;
        if let Some(shared) = self.guard.masks_others(target, self.clock) {
            match order.if_shared {
                // The guard says so itself, and counts it.
                IfShared::Refuse => {}
                IfShared::Port => match (order.port, order.port_set) {
                    (Some(only), Some(with_port)) => (port, set) = (Some(only), with_port),
                    _ => return self.refuse(step, target, &shared),
                },
                IfShared::Client => match self.behind(target, order.port) {
                    Some(client) => target = client,
                    None => return self.refuse(step, target, &shared),
                },
            }
        }
        let is_single = target.prefix_len() == target.max_prefix_len();
        if is_single && port.is_none() {
            let prefixes = Prefixes::new(order.prefix.ipv4, order.prefix.ipv6);
            target = prefixes.map_or(target, |prefixes| prefixes.widen(target.addr()));
        }
        let reach = if port.is_some() { Reach::OnePort } else { Reach::Everything };
        if let Err(refusal) = self.guard.admit(step.index() as u32, target, reach, self.clock) {
            return self.refuse(step, target, &refusal);
        }
        let wanted = order.duration.map(|duration| self.clock + duration);
        let name = self.name(set);
        let held = self.state.bans().find(set.kind(), &name, target, port, self.clock);
        let is_held = held.as_ref().is_some_and(|held| match (held.until, wanted) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(held), Some(wanted)) => held + EXTEND_BY > wanted,
        });
        let (until, placed) = match held {
            Some(held) if is_held => (held.until, Placed::Unchanged),
            _ => {
                let by = self.program.step(step).to_string();
                let request = BanRequest {
                    kind: set.kind(),
                    set: &name,
                    target,
                    port,
                    duration: order.duration,
                    by: &by,
                };
                let escalation = self.escalation.filter(|_| order.escalate);
                let banned = self.state.ban(&request, escalation.as_ref(), self.clock);
                let banned = banned.map_err(|full| full.to_string())?;
                (banned.until, banned.placed)
            }
        };
        let duration = match placed {
            Placed::Unchanged => order.duration,
            _ => until.map(|until| until.since(self.clock)),
        };
        let caused = self.caused;
        self.carry_out(step, Effect::Ban(Banning { set, target, port, until, duration, placed, caused }))
    }

    /// The client behind an address and port that stand for others.
    fn behind(&self, target: IpNet, port: Option<u16>) -> Option<IpNet> {
        let masked =
            Masked { words: [Some(Word::Address(target.addr())), Some(Word::Number(port?)), None, None] };
        let question = Question { masked, time: self.caused, wait: None };
        let client = self.find(Subset::new([true, true, false, false]), &question)?;
        Some(canonical(IpNet::from(client.address.parse::<std::net::IpAddr>().ok()?)))
    }

    /// The name of a set as text, made once.
    fn name(&mut self, set: &SetName) -> Arc<str> {
        if let Some((_, name)) = self.set_names.iter().find(|(known, _)| known == set) {
            return Arc::clone(name);
        }
        let name: Arc<str> = set.to_string().into();
        self.set_names.push((set.clone(), Arc::clone(&name)));
        name
    }

    fn refuse(&mut self, step: StepId, target: IpNet, refusal: &Refusal) -> Result<(), String> {
        self.refused += 1;
        self.is_quiet = !refusal.is_news;
        self.carry_out(step, Effect::Refused { refusal })?;
        Err(format!("{} is not banned: {refusal}", super::shown(target)))
    }
}

impl<H: Hands> World for Surroundings<H> {
    fn now(&self) -> Timestamp {
        self.clock
    }

    fn raise(
        &mut self,
        step: StepId,
        category: CategoryId,
        key: Value<'_>,
        keep: Option<Duration>,
    ) -> Result<u64, String> {
        self.has_acted = true;
        let counted = counters::Key::new(key).ok_or("a list cannot be counted")?;
        let count = self.state.raise(category, &counted, keep, self.clock);
        if H::WANTS_PLACE {
            let program = Arc::clone(&self.program);
            let counter = &program.categories()[usize::from(category.0)];
            self.carry_out(step, Effect::Raise { counter, key: &shown(key), keep, count })?;
        }
        Ok(count)
    }

    fn reset(
        &mut self,
        step: StepId,
        category: CategoryId,
        key: Value<'_>,
        grace: Option<Duration>,
    ) -> Result<(), String> {
        self.has_acted = true;
        let counted = counters::Key::new(key).ok_or("a list cannot be counted")?;
        self.state.reset(category, &counted, grace, self.clock);
        if H::WANTS_PLACE {
            let program = Arc::clone(&self.program);
            let counter = &program.categories()[usize::from(category.0)];
            self.carry_out(step, Effect::Reset { counter, key: &shown(key), grace })?;
        }
        Ok(())
    }

    fn user_exists(&mut self, name: &str) -> Result<bool, String> {
        self.users.exists(name, self.clock)
    }

    fn capture(&mut self, step: StepId, capture: Capture) -> Result<(), String> {
        self.has_acted = true;
        if let Some(Word::Address(masking)) = capture.masked.words[0]
            && Word::parse(&capture.client) != Word::Address(masking)
        {
            self.guard.note_masking(masking, self.clock);
        }
        self.state.capture_added(&capture, self.clock);
        if !self.waits.is_empty() {
            self.captured.push(capture.masked.clone());
        }
        if H::WANTS_PLACE {
            self.carry_out(step, Effect::Capture(&capture))?;
        }
        self.captures.insert(capture);
        Ok(())
    }

    fn replace(&mut self, step: StepId, asked: Subset, question: &Question) -> Answer {
        let may_wait = question.wait.is_some();
        if may_wait && self.waits.is_queued(&Key::new(step.index() as u32, asked, &question.masked)) {
            return Answer::Later;
        }
        if let Some(client) = self.find(asked, question) {
            if H::WANTS_PLACE {
                // What is only told cannot fail in a way that concerns the entry.
                let _ = self.carry_out(step, Effect::Replace { masked: &question.masked, client: &client });
            }
            return Answer::Known(client);
        }
        if may_wait && self.is_worth_waiting(&question.masked) { Answer::Later } else { Answer::Unknown }
    }

    fn act(&mut self, step: StepId, act: Act<'_>, entry: &Entry) -> Result<(), String> {
        self.has_acted = true;
        match act {
            Act::Noop => self.carry_out(step, Effect::Noop),
            Act::Log { .. } if self.own == Own::Again => Ok(()),
            Act::Log { level, message } => self.carry_out(step, Effect::Log { level, message }),
            Act::Email { subject, message } => {
                let name = self.program.step(step).to_string();
                let place = self.place();
                let source = self.sources.get(self.current).map_or("", |source| source.name());
                let identity = (!place.is_empty()).then(|| format!("{source}\n{place}"));
                let id = self.state.next_mail(&name, identity.as_deref().map(str::as_bytes), self.clock);
                self.carry_out(step, Effect::Email { id: &id, subject, message })
            }
            Act::Report { level, details, message } => {
                let time = entry.time.unwrap_or(self.clock);
                let event = Event { level, details, message, time };
                self.state.report_event(&event, self.clock);
                self.carry_out(step, Effect::Report { level, details, message })
            }
            Act::Ban(order) => self.ban(step, order),
        }
    }

    fn trouble(&mut self, step: StepId, message: &str) {
        self.errors += 1;
        if std::mem::take(&mut self.is_quiet) || self.own == Own::Again {
            return;
        }
        let place = if H::WANTS_PLACE { self.place() } else { String::new() };
        let at = At { program: &self.program, step, place: &place, is_own: self.own >= Own::Line };
        self.hands.trouble(at, message);
    }
}

impl<H: Hands> Surroundings<H> {
    /// Where the configuration says who masks others, nobody else's entries wait: a client that came directly would
    /// lose its time, and its ban.
    fn is_worth_waiting(&self, masked: &Masked) -> bool {
        let Some(Word::Address(address)) = masked.words[0] else { return true };
        !self.waits_for_known || self.guard.masks_others(IpNet::from(address), self.clock).is_some()
    }
}

/// A counter's key for people: as a template would show it.
fn shown(key: Value<'_>) -> String {
    unmasq_dialect::python_str(key, &jiff::tz::TimeZone::system())
}
