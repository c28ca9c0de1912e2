//! The enforcer's thread: orders into transactions, and what is wanted compared with what the kernel holds.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_netfilter::sets::{Action, Change, Listed, Member, Verdict, What};
use unmasq_netfilter::{Error, Result};

use super::enforcer::{Options, Order, Orders};
use super::kernel::{self, Fitting, Kernel, Like};
use super::wanted::{self, End, Key, Nesting, Target, WantedSet, later, sooner, time_to_put};
use super::{Element, Failure, Report, SetName, canonical};

/// How long after word of a change the kernel is looked at: a ruleset is loaded in one transaction, but there may be
/// several.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Comparing takes at most this part of the time: with large sets and a busy firewall, it is done more rarely.
const SHARE: u32 = 5;

/// How often ipsets are looked at, of whose changes there is no word, and sets that are in trouble.
const GLANCE: Duration = Duration::from_secs(1);

/// Most glances that are left out after fruitless ones.
const MOST_SKIPPED: u32 = 30;

/// Runs until it is told to end.
pub(super) fn run(orders: &Orders, options: &Options, kernel: Kernel, report: &mut dyn FnMut(Report)) {
    let now = Instant::now();
    let mut worker = Worker {
        kernel,
        sets: HashMap::default(),
        report,
        compare_at: now + options.compare_every,
        glance_at: now + GLANCE,
        compared: now,
        comparing_took: Duration::ZERO,
        is_broken: false,
    };
    loop {
        worker.wait(orders);
        // The bell is silenced before the queue is read, so that no order is missed.
        let _ = rustix::io::read(&orders.bell, &mut [0_u8; 8]);
        let queue = std::mem::take(&mut *orders.queue.lock());
        if worker.carry_out(queue) {
            return;
        }
        worker.look(options.compare_every);
    }
}

struct Worker<'r> {
    kernel: Kernel,
    sets: HashMap<SetName, WantedSet, RandomState>,
    report: &'r mut dyn FnMut(Report),
    compare_at: Instant,
    glance_at: Instant,
    /// When the last comparison ended, and how long it took.
    compared: Instant,
    comparing_took: Duration,
    is_broken: bool,
}

/// An element of a transaction, and the orders that it answers.
struct Item {
    set: usize,
    member: Member,
    action: Action,
    is_there: bool,
    orders: Vec<(Element, Instant)>,
}

/// The sets of a transaction.
#[derive(Default)]
struct Batch {
    of: Vec<(SetName, Like)>,
    items: Vec<Item>,
    places: HashMap<(usize, Member), usize, RandomState>,
}

impl Batch {
    /// The place of the element's item, if there is one.
    fn place(&self, set: usize, member: &Member) -> Option<usize> {
        self.places.get(&(set, *member)).copied()
    }

    fn push(&mut self, item: Item) {
        self.places.insert((item.set, item.member), self.items.len());
        self.items.push(item);
    }

    fn changes(&self) -> Vec<Change> {
        let change = |item: &Item| Change {
            set: item.set,
            member: item.member,
            action: item.action,
            is_there: item.is_there,
        };
        self.items.iter().map(change).collect()
    }
}

impl Worker<'_> {
    /// Until there are orders, word of a change, or something is due.
    fn wait(&mut self, orders: &Orders) {
        let due = self.compare_at.min(self.glance_at).saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: due.as_secs() as i64, tv_nsec: i64::from(due.subsec_nanos()) };
        let mut waiting = [
            PollFd::new(&orders.bell, PollFlags::IN),
            PollFd::from_borrowed_fd(self.kernel.events.as_fd(), PollFlags::IN),
        ];
        // An interruption is a wake-up like any other.
        let _ = poll(&mut waiting, Some(&timeout));
        let is_word = !waiting[1].revents().is_empty();
        if is_word {
            self.hear();
        }
    }

    /// Reads what others changed, and looks soon if it concerns a set of ours.
    fn hear(&mut self) {
        let (sets, ours) = (&self.sets, self.kernel.nft.port());
        let mut is_ours = false;
        let heard = self.kernel.events.receive(|event| {
            if event.by == ours || event.what == What::ElementsAdded {
                return;
            }
            is_ours |= sets.keys().any(|set| match set {
                SetName::Nft(id) => {
                    id.family() == event.family
                        && id.table() == event.table
                        && (event.set.is_empty() || id.set() == event.set)
                }
                SetName::Ipset(_) => false,
            });
        });
        match heard {
            Ok(is_complete) => {
                if is_ours || !is_complete {
                    let rest = self.comparing_took * SHARE;
                    self.compare_at =
                        self.compare_at.min((Instant::now() + DEBOUNCE).max(self.compared + rest));
                }
            }
            Err(error) => self.broken(&error),
        }
    }

    /// True if it is to end.
    fn carry_out(&mut self, queue: Vec<Order>) -> bool {
        let mut batch = Batch::default();
        for order in queue {
            match order {
                Order::Ban(element, ordered) => self.ban(element, ordered, &mut batch),
                Order::Unban(element) => self.unban(element, &mut batch),
                other => {
                    self.commit(std::mem::take(&mut batch));
                    match other {
                        Order::Restore(elements, ordered) => self.restore(elements, ordered),
                        Order::Forget(set) => drop(self.sets.remove(&set)),
                        Order::Expect(sample) => self.expect(&sample),
                        Order::Compare => drop(self.compare_all(true)),
                        // Nobody may be waiting any more.
                        Order::Settle(done) => drop(done.send(())),
                        Order::End => return true,
                        Order::Ban(..) | Order::Unban(_) => {}
                    }
                }
            }
        }
        self.commit(batch);
        false
    }

    fn ban(&mut self, element: Element, ordered: Instant, batch: &mut Batch) {
        let key = Key { target: canonical(element.target), port: element.port };
        let end = end_of(&element, ordered);
        let wanted = self.sets.entry(element.set.clone()).or_default();
        let known = wanted.elements.insert(key, end);
        let (number, fitting) = match self.fit(batch, &element.set, &key, end) {
            Ok(fitted) => fitted,
            Err(failure) => return (self.report)(Report::Failed { element, failure }),
        };
        let member = fitting.member;
        if let Some(place) = batch.place(number, &member) {
            if let Action::Put(_) = batch.items[place].action {
                let item = &mut batch.items[place];
                item.action = Action::Put(time_to_put(end, Instant::now()));
                item.orders.push((element, ordered));
                return;
            }
            // It comes after an order to the contrary: that goes first.
            self.commit(std::mem::take(batch));
            let wanted = self.sets.entry(element.set.clone()).or_default();
            wanted.elements.remove(&key);
            return self.ban(element, ordered, batch);
        }
        batch.push(Item {
            set: number,
            member,
            action: Action::Put(time_to_put(end, Instant::now())),
            is_there: known.is_some(),
            orders: vec![(element, ordered)],
        });
    }

    fn unban(&mut self, element: Element, batch: &mut Batch) {
        // What is to be there before it is taken away goes first; and the answer for a network is that of all its
        // addresses, which nothing else may have asked for.
        let is_single = element.target.prefix_len() == element.target.max_prefix_len();
        let is_put = |item: &Item| item.action != Action::Remove && batch.of[item.set].0 == element.set;
        if !is_single || batch.items.iter().any(is_put) {
            self.commit(std::mem::take(batch));
        }
        let key = Key { target: canonical(element.target), port: element.port };
        let mut keys = self.sets.entry(element.set.clone()).or_default().remove(&key);
        keys.push(key);
        let mut members = Vec::new();
        for key in keys {
            match self.fit(batch, &element.set, &key, None) {
                Ok((number, fitting)) => members.push((number, fitting.member)),
                Err(failure) => return (self.report)(Report::Failed { element, failure }),
            }
        }
        members.sort_unstable_by_key(|(_, member)| *member);
        members.dedup();
        let order = (element, Instant::now());
        for (set, member) in members {
            if let Some(place) = batch.place(set, &member) {
                batch.items[place].orders.push(order.clone());
            } else {
                let orders = vec![order.clone()];
                batch.push(Item { set, member, action: Action::Remove, is_there: true, orders });
            }
        }
    }

    /// The number of the set in the batch, and the element that it can hold.
    fn fit(
        &mut self,
        batch: &mut Batch,
        set: &SetName,
        key: &Key,
        end: End,
    ) -> std::result::Result<(usize, Fitting), Failure> {
        let known = batch.of.iter().position(|(name, _)| name == set);
        let number = known.unwrap_or(batch.of.len());
        if known.is_none() {
            batch.of.push((set.clone(), self.like(set)?));
        }
        let like = &batch.of[number].1;
        let fitting = like.fit(set, key, end.is_some())?;
        if fitting.is_narrowed {
            warn(self.report, self.sets.get_mut(set), set, like);
        }
        Ok((number, fitting))
    }

    /// What the set is like; an error tells of its trouble, too.
    fn like(&mut self, set: &SetName) -> std::result::Result<Like, Failure> {
        let failure = match self.kernel.like(set) {
            Ok(Some(like)) => return Ok(like),
            Ok(None) => Failure::NoSuchSet { set: set.clone() },
            Err(error) => {
                self.broken(&error);
                kernel::trouble(set, &error)
            }
        };
        self.trouble(set, Some(failure.clone()));
        Err(failure)
    }

    /// Carries a batch out and reports.
    fn commit(&mut self, batch: Batch) {
        if batch.items.is_empty() {
            return;
        }
        let changes = batch.changes();
        let verdicts = match self.kernel.apply(&batch.of, &changes) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.broken(&error);
                for item in batch.items {
                    let failure = kernel::trouble(&batch.of[item.set].0, &error);
                    for (element, _) in item.orders {
                        (self.report)(Report::Failed { element, failure: failure.clone() });
                    }
                }
                return;
            }
        };
        let done = Instant::now();
        let mut is_uncovered = false;
        let mut removals: Vec<(Element, Instant, std::result::Result<bool, Failure>)> = Vec::new();
        for (item, verdict) in batch.items.into_iter().zip(verdicts) {
            let (set, like) = &batch.of[item.set];
            let outcome = match item.action {
                Action::Put(_) => self.put_outcome(set, like, &item, verdict),
                Action::Remove => {
                    is_uncovered |= like.nesting() == Nesting::Never && !item.member.is_single();
                    self.remove_outcome(set, like, &item, verdict)
                }
            };
            for (element, ordered) in item.orders {
                match (&outcome, item.action) {
                    (Ok(_), Action::Put(_)) => (self.report)(Report::Banned { element, ordered, done }),
                    (Err(failure), Action::Put(_)) => {
                        (self.report)(Report::Failed { element, failure: failure.clone() });
                    }
                    (_, Action::Remove) => match removals.last_mut() {
                        // Another address of the same network.
                        Some((same, at, so_far)) if *same == element && *at == ordered => match &outcome {
                            Ok(was_there) => *so_far = so_far.clone().map(|before| before || *was_there),
                            Err(failure) => *so_far = Err(failure.clone()),
                        },
                        _ => removals.push((element, ordered, outcome.clone())),
                    },
                }
            }
        }
        for (element, _, outcome) in removals {
            (self.report)(match outcome {
                Ok(was_there) => Report::Unbanned { element, was_there },
                Err(failure) => Report::Failed { element, failure },
            });
        }
        if is_uncovered {
            // Addresses that the network stood for may be wanted for themselves.
            self.compare_at = done;
        }
    }

    fn put_outcome(
        &mut self,
        set: &SetName,
        like: &Like,
        item: &Item,
        verdict: Verdict,
    ) -> std::result::Result<bool, Failure> {
        match (verdict, item.action) {
            (Verdict::Done { was_there }, _) => Ok(was_there),
            (Verdict::Overlaps, Action::Put(timeout)) => {
                match self.make_room(set, like, item.member, timeout) {
                    Ok(outcome) => outcome.map(|()| false),
                    Err(error) => {
                        self.broken(&error);
                        Err(kernel::trouble(set, &error))
                    }
                }
            }
            (verdict, _) => kernel::failure(set, verdict).map_or(Ok(false), Err),
        }
    }

    /// Puts an element that overlaps others: what covers it is enough, and what lies in it and is ours gives way.
    fn make_room(
        &mut self,
        set: &SetName,
        like: &Like,
        member: Member,
        timeout: Option<Duration>,
    ) -> Result<std::result::Result<(), Failure>> {
        let held = self.kernel.list(set, like)?;
        let overlapping: Vec<&Listed> = held.iter().filter(|one| one.member.overlaps(&member)).collect();
        if let Some(cover) = overlapping.iter().find(|one| one.member.covers(&member)) {
            // In effect until that ends; then this one is due.
            if let Some(left) = cover.expires.filter(|left| timeout.is_none_or(|timeout| *left < timeout)) {
                self.compare_at = self.compare_at.min(Instant::now() + left);
            }
            return Ok(Ok(()));
        }
        let ours = self.members(set, like);
        if let Some(other) = overlapping.iter().find(|one| !ours.contains_key(&one.member)) {
            let other = other.member.to_string();
            return Ok(Err(Failure::Overlaps { set: set.clone(), other }));
        }
        let removal =
            |one: &&Listed| Change { set: 0, member: one.member, action: Action::Remove, is_there: true };
        let mut changes: Vec<Change> = overlapping.iter().map(removal).collect();
        changes.push(Change { set: 0, member, action: Action::Put(timeout), is_there: false });
        // An address in it that is to stay longer is put back when the network ends.
        if let Some(end) = timeout.and_then(|timeout| Instant::now().checked_add(timeout))
            && overlapping
                .iter()
                .any(|one| ours.get(&one.member).is_some_and(|own| later(*own, Some(end)) != Some(end)))
        {
            self.compare_at = self.compare_at.min(end);
        }
        let verdicts = self.kernel.apply(&[(set.clone(), like.clone())], &changes)?;
        let verdict = verdicts.last().copied().unwrap_or(Verdict::Overlaps);
        Ok(kernel::failure(set, verdict).map_or(Ok(()), Err))
    }

    /// What is wanted of the set, as it can hold it.
    fn members(&self, set: &SetName, like: &Like) -> HashMap<Member, End, RandomState> {
        let elements = self.sets.get(set).map(|wanted| &wanted.elements);
        let fit = |(key, end): (&Key, &End)| Some((like.fit(set, key, end.is_some()).ok()?.member, *end));
        elements.into_iter().flatten().filter_map(fit).collect()
    }

    fn remove_outcome(
        &mut self,
        set: &SetName,
        like: &Like,
        item: &Item,
        verdict: Verdict,
    ) -> std::result::Result<bool, Failure> {
        let was_there = match verdict {
            Verdict::Done { was_there } => was_there,
            verdict => return kernel::failure(set, verdict).map_or(Ok(false), Err),
        };
        if was_there || like.nesting() == Nesting::Free {
            return Ok(was_there);
        }
        let held = self.kernel.list(set, like).unwrap_or_default();
        match held.iter().find(|one| one.member.covers(&item.member)) {
            Some(one) => Err(Failure::Covered { set: set.clone(), other: one.member.to_string() }),
            None => Ok(false),
        }
    }

    fn restore(&mut self, elements: Vec<Element>, ordered: Instant) {
        let began = Instant::now();
        for element in elements {
            let key = Key { target: canonical(element.target), port: element.port };
            let end = end_of(&element, ordered);
            self.sets.entry(element.set).or_default().elements.insert(key, end);
        }
        let Compared { held, failed, .. } = self.compare_all(false);
        (self.report)(Report::Restored { held, failed, took: began.elapsed() });
    }

    fn expect(&mut self, sample: &Element) {
        let key = Key { target: canonical(sample.target), port: sample.port };
        let wanted = self.sets.entry(sample.set.clone()).or_default();
        wanted.sample = Some((key, sample.timeout.is_some()));
        self.compare_one(&sample.set, false);
    }

    /// What is due by now.
    fn look(&mut self, compare_every: Duration) {
        let now = Instant::now();
        if now >= self.compare_at {
            self.compare_at = now + compare_every;
            self.compare_all(true);
        }
        if now >= self.glance_at {
            self.glance();
            self.glance_at = Instant::now() + GLANCE;
        }
    }

    /// Looks at what there is no word of: the number of elements in ipsets, and sets that were in trouble.
    fn glance(&mut self) {
        let doubtful = |(set, wanted): &(&SetName, &WantedSet)| {
            matches!(set, SetName::Ipset(_)) || wanted.trouble.is_some()
        };
        let names: Vec<SetName> = self.sets.iter().filter(doubtful).map(|(set, _)| set.clone()).collect();
        for set in names {
            let Some(wanted) = self.sets.get_mut(&set) else { continue };
            if wanted.glances_to_skip > 0 {
                wanted.glances_to_skip -= 1;
                continue;
            }
            wanted.expire(Instant::now());
            let (total, is_missing) =
                (wanted.elements.len(), matches!(wanted.trouble, Some(Failure::NoSuchSet { .. })));
            let Ok(like) = self.like(&set) else { continue };
            let is_short = like.count().is_some_and(|count| (count as usize) < total);
            if !is_short && !is_missing {
                continue;
            }
            let put = self.compare_one(&set, true).put;
            // A set that is full, or holds something else, stays short: it is looked at more and more rarely.
            if let Some(wanted) = self.sets.get_mut(&set) {
                wanted.fruitless = if put > 0 { 0 } else { (wanted.fruitless * 2 + 1).min(MOST_SKIPPED) };
                wanted.glances_to_skip = wanted.fruitless;
            }
        }
    }

    /// Puts what the sets lack.
    fn compare_all(&mut self, is_mending: bool) -> Compared {
        let began = Instant::now();
        if self.is_broken {
            match self.kernel.reopen() {
                Ok(()) => self.is_broken = false,
                Err(error) => self.broken(&error),
            }
        }
        let names: Vec<SetName> = self.sets.keys().cloned().collect();
        let mut all = Compared::default();
        for set in names {
            let one = self.compare_one(&set, is_mending);
            all = Compared {
                held: all.held + one.held,
                failed: all.failed + one.failed,
                put: all.put + one.put,
            };
        }
        self.compared = Instant::now();
        self.comparing_took = began.elapsed();
        all
    }

    /// Puts what the set lacks.
    fn compare_one(&mut self, set: &SetName, is_mending: bool) -> Compared {
        let now = Instant::now();
        let Some(wanted) = self.sets.get_mut(set) else { return Compared::default() };
        wanted.expire(now);
        let total = wanted.elements.len();
        if total == 0 && wanted.trouble.is_none() && wanted.sample.is_none() {
            return Compared::default();
        }
        let nothing = Compared { failed: total, ..Compared::default() };
        let Ok(like) = self.like(set) else { return nothing };
        let Some(wanted) = self.sets.get_mut(set) else { return Compared::default() };
        let (mut targets, mut failure, mut is_narrowed) = (Vec::with_capacity(total), None, false);
        match wanted.sample.map(|(key, is_timed)| like.fit(set, &key, is_timed)) {
            Some(Ok(fitting)) => is_narrowed = fitting.is_narrowed,
            Some(Err(reason)) => failure = Some(reason),
            None => {}
        }
        for (key, end) in &wanted.elements {
            match like.fit(set, key, end.is_some()) {
                Ok(fitting) => {
                    is_narrowed |= fitting.is_narrowed;
                    targets.push(Target { member: fitting.member, end: *end });
                }
                Err(reason) => failure = Some(reason),
            }
        }
        let mut failed = total - targets.len();
        if is_narrowed {
            warn(self.report, Some(wanted), set, &like);
        }
        let (targets, outlived) = wanted::effective(targets, like.nesting(), now);
        // Of a set that nothing is wanted in, only its form matters: what others put there is not listed.
        let outcome =
            if targets.is_empty() { Ok(Put::default()) } else { self.put_missing(set, &like, &targets, now) };
        match outcome {
            Ok(put) => {
                if let Some(wake) = sooner(outlived, put.wake) {
                    self.compare_at = self.compare_at.min(wake);
                }
                failed += put.failed;
                self.trouble(set, failure.or(put.failure));
                if is_mending && put.count > 0 {
                    (self.report)(Report::Mended { set: set.clone(), count: put.count });
                }
                Compared { held: total - failed.min(total), failed, put: put.count }
            }
            Err(error) => {
                self.broken(&error);
                self.trouble(set, Some(kernel::trouble(set, &error)));
                nothing
            }
        }
    }

    fn put_missing(&mut self, set: &SetName, like: &Like, targets: &[Target], now: Instant) -> Result<Put> {
        let held = self.kernel.list(set, like)?;
        let (missing, wake) = wanted::missing(targets, &held, like.nesting(), like.longest(), now);
        let change = |one: &wanted::Missing| Change {
            set: 0,
            member: one.target.member,
            action: Action::Put(time_to_put(one.target.end, now)),
            is_there: one.is_there,
        };
        let changes: Vec<Change> = missing.iter().map(change).collect();
        let verdicts = self.kernel.apply(&[(set.clone(), like.clone())], &changes)?;
        let mut put = Put { wake, ..Put::default() };
        for (change, verdict) in changes.iter().zip(verdicts) {
            let item = Item {
                set: 0,
                member: change.member,
                action: change.action,
                is_there: change.is_there,
                orders: Vec::new(),
            };
            match self.put_outcome(set, like, &item, verdict) {
                Ok(_) => put.count += 1,
                Err(failure) => {
                    put.failed += 1;
                    put.failure = Some(failure);
                }
            }
        }
        Ok(put)
    }

    /// Tells of a set's trouble if it is new, and of its end.
    fn trouble(&mut self, set: &SetName, failure: Option<Failure>) {
        let Some(wanted) = self.sets.get_mut(set) else { return };
        if wanted.trouble == failure {
            return;
        }
        wanted.trouble.clone_from(&failure);
        (self.report)(match failure {
            Some(failure) => Report::Trouble { set: set.clone(), failure },
            None => Report::Recovered { set: set.clone() },
        });
    }

    /// The connection is opened anew with the next comparison, unless the kernel merely said no.
    fn broken(&mut self, error: &Error) {
        if matches!(error, Error::Refused { .. } | Error::NotPermitted { .. }) || self.is_broken {
            return;
        }
        self.is_broken = true;
        self.compare_at = self.compare_at.min(Instant::now() + GLANCE);
        (self.report)(Report::Connection { reason: error.to_string() });
    }
}

/// A time beyond what the clock can say is for ever.
fn end_of(element: &Element, ordered: Instant) -> End {
    element.timeout.and_then(|timeout| ordered.checked_add(timeout))
}

/// What came of a comparison.
#[derive(Clone, Copy, Default)]
struct Compared {
    /// Elements that the kernel holds now.
    held: usize,
    /// Elements that it does not.
    failed: usize,
    /// Elements that it lacked and has got.
    put: usize,
}

/// What came of putting what a set lacked.
#[derive(Default)]
struct Put {
    count: usize,
    failed: usize,
    failure: Option<Failure>,
    wake: Option<Instant>,
}

/// Says once that a set holds addresses only.
fn warn(report: &mut dyn FnMut(Report), wanted: Option<&mut WantedSet>, set: &SetName, like: &Like) {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_warned) else { return };
    wanted.is_warned = true;
    let message = format!(
        "{set} cannot hold networks, so only single addresses are banned there; {}",
        like.network_remedy()
    );
    report(Report::Warning { set: set.clone(), message });
}
