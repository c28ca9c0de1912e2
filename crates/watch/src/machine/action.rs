//! The actions: their arguments read from the entry, their templates filled in, their effects left to the world.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use jiff::tz::TimeZone;
use unmasq_dialect::Template;
use unmasq_entry::{Entry, Slot, Value};

use super::failure::{Failure, Naming};
use super::{Act, BanOrder, Scratch, World};
use crate::client::{Answer, Capture, Client, Lasted, Masked, Question, Word};
use crate::program::step::{Action, BanStep, CaptureStep, ReplaceStep, Source};
use crate::program::{Program, StepId};

/// What became of an action that did not fail.
pub(super) enum Went {
    /// It is done.
    On,
    /// It needs an answer that is not there yet.
    Waits(Question),
}

/// Runs an action.
pub(super) fn perform(
    action: &Action,
    step: StepId,
    program: &Program,
    entry: &mut Entry,
    scratch: &mut Scratch,
    world: &mut impl World,
) -> Result<Went, Failure> {
    let naming = Naming(&program.fields);
    match action {
        Action::Noop => act(world, step, Act::Noop, entry)?,
        Action::Raise { category, key, keep, save } => {
            let count = world.raise(step, *category, countable(naming, entry, *key)?, *keep);
            let count = count.map_err(Failure::World)?;
            if let Some(save) = save {
                entry.set(*save, Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
            }
        }
        Action::Reset { category, key, grace, save } => {
            world.reset(step, *category, countable(naming, entry, *key)?, *grace).map_err(Failure::World)?;
            if let Some(save) = save {
                entry.set(*save, Value::Integer(0));
            }
        }
        Action::Capture(capture) => {
            if let Some(capture) = capture.read(naming, entry, world)? {
                world.capture(step, capture).map_err(Failure::World)?;
            }
        }
        Action::Replace(replace) => {
            let Some(question) = replace.question(entry, world) else { return Ok(Went::On) };
            match world.replace(step, replace.subset, &question) {
                Answer::Known(client) => correct(replace, program, entry, &question.masked, &client),
                Answer::Later if question.wait.is_some() => return Ok(Went::Waits(question)),
                Answer::Later | Answer::Unknown => (),
            }
        }
        Action::Email { subject, message } => {
            let message = render(message, entry, scratch)?;
            act(world, step, Act::Email { subject, message }, entry)?;
        }
        Action::Log { level, message } => {
            let message = render(message, entry, scratch)?;
            act(world, step, Act::Log { level: *level, message }, entry)?;
        }
        Action::Report { level, details, message } => {
            let message = render(message, entry, scratch)?;
            act(world, step, Act::Report { level: *level, details: *details, message }, entry)?;
        }
        Action::Ban(ban) => {
            let order = ban.order(naming, entry)?;
            act(world, step, Act::Ban(order), entry)?;
        }
    }
    Ok(Went::On)
}

fn act(world: &mut impl World, step: StepId, act: Act<'_>, entry: &Entry) -> Result<(), Failure> {
    world.act(step, act, entry).map_err(Failure::World)
}

fn render<'s>(template: &Template, entry: &Entry, scratch: &'s mut Scratch) -> Result<&'s str, Failure> {
    let Scratch { out, zone, .. } = scratch;
    let zone: &TimeZone = zone;
    out.clear();
    template.render(entry, zone, out)?;
    Ok(out)
}

/// The value that a counter counts: anything but a list, as in Python.
fn countable<'e>(naming: Naming<'_>, entry: &'e Entry, key: Slot) -> Result<Value<'e>, Failure> {
    match entry.get(key) {
        Some(list @ Value::List(_)) => Err(naming.unfit(key, list, "one value that can be counted")),
        Some(value) => Ok(value),
        None => Err(naming.missing(key)),
    }
}

/// Writes the client into the entry, and how it is known.
pub(super) fn correct(
    replace: &ReplaceStep,
    program: &Program,
    entry: &mut Entry,
    masked: &Masked,
    client: &Client,
) {
    if let Some(into) = replace.saddr_into {
        entry.set(into, Value::Text(&client.address));
    }
    if let (Some(into), Some(port)) = (replace.sport_into, &client.port) {
        entry.set(into, Value::Text(port));
    }
    if let Some(slot) = program.evidence {
        entry.set(slot, Value::Text(&client.evidence));
    }
    if let Some(slot) = program.masked {
        entry.set(slot, Value::Text(&masked.to_string()));
    }
}

impl Source {
    fn value<'a>(&'a self, entry: &'a Entry) -> Option<Value<'a>> {
        let present = self.field.and_then(|field| entry.get(field));
        present.or_else(|| self.constant.as_ref()?.value())
    }
}

impl CaptureStep {
    /// The translation that the entry tells of; `None` if it lacks the client's address or the one that masks it.
    fn read(
        &self,
        naming: Naming<'_>,
        entry: &Entry,
        world: &impl World,
    ) -> Result<Option<Capture>, Failure> {
        let Some(client) = word_text(naming, entry, self.saddr)? else { return Ok(None) };
        let client_port = self.sport.map(|field| word_text(naming, entry, field)).transpose()?.flatten();
        let masked = Masked::new(self.masked.each_ref().map(|source| source.value(entry)));
        if masked.words[0].is_none() {
            return Ok(None);
        }
        let time = entry.time.unwrap_or_else(|| world.now());
        let until = if self.compat { Capture::until_compat } else { Capture::until_exact };
        let lasted = match self.lasted.and_then(|field| entry.get(field)) {
            Some(Value::Text(text)) => Lasted::parse(text),
            Some(Value::Integer(milliseconds)) => Lasted::parse(&milliseconds.to_string()),
            _ => Lasted::Unknown,
        };
        Ok(Some(Capture { client, client_port, masked, time, until: until(time, self.keep), lasted }))
    }
}

/// A value as it is written into another entry later.
fn word_text(naming: Naming<'_>, entry: &Entry, field: Slot) -> Result<Option<Box<str>>, Failure> {
    match entry.get(field) {
        Some(Value::Text(text)) if text.len() <= Word::LONGEST => Ok(Some(text.into())),
        Some(Value::Integer(number)) => Ok(Some(number.to_string().into())),
        None | Some(Value::Null) => Ok(None),
        Some(value) => Err(naming.unfit(field, value, "an address or a port")),
    }
}

impl ReplaceStep {
    /// What to ask; `None` if the entry lacks one of the words.
    fn question(&self, entry: &Entry, world: &impl World) -> Option<Question> {
        let masked = Masked::new(self.asked.map(|field| entry.get(field?)));
        let is_whole =
            self.asked.iter().zip(&masked.words).all(|(field, word)| field.is_some() == word.is_some());
        let time = entry.time.unwrap_or_else(|| world.now());
        is_whole.then_some(Question { masked, time, wait: self.wait })
    }
}

impl BanStep {
    fn order(&self, naming: Naming<'_>, entry: &Entry) -> Result<BanOrder<'_>, Failure> {
        let value = entry.get(self.field).ok_or_else(|| naming.missing(self.field))?;
        let target = value.as_text().and_then(target);
        let target = target.ok_or_else(|| naming.unfit(self.field, value, "an IP address or a network"))?;
        Ok(BanOrder {
            target,
            port: self.port.map(|field| port(naming, entry, field)).transpose()?.flatten(),
            set: self.sets.of(&target),
            port_set: self.port_sets.as_ref().map(|sets| sets.of(&target)),
            duration: self.duration,
            if_shared: self.if_shared,
            escalate: self.escalate,
            prefix: self.prefix,
        })
    }
}

/// An address or a network and nothing else around it; an IPv4-mapped one is IPv4.
fn target(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network = text.parse::<IpNet>().ok()?.trunc();
    match network {
        IpNet::V6(net) if net.prefix_len() >= 96 => {
            let mapped = net.addr().to_ipv4_mapped();
            let mapped = mapped.and_then(|address| Ipv4Net::new(address, net.prefix_len() - 96).ok());
            Some(mapped.map_or(network, IpNet::V4))
        }
        IpNet::V4(_) | IpNet::V6(_) => Some(network),
    }
}

/// The port of an entry, if it has one.
fn port(naming: Naming<'_>, entry: &Entry, field: Slot) -> Result<Option<u16>, Failure> {
    match entry.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match Word::of(value) {
            Some(Word::Number(number)) => Ok(Some(number)),
            _ => Err(naming.unfit(field, value, "a port")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_or_a_network_and_nothing_else() {
        let read = |text: &str| target(text).map(|net| net.to_string());
        assert_eq!(read("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(read("192.0.2.7/24").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(read("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(read("::FFFF:c000:207").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(read("::ffff:192.0.2.0/120").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(read("2001:DB8::1/32").as_deref(), Some("2001:db8::/32"));
        for text in [
            "",
            " 192.0.2.7",
            "192.0.2.7 ",
            "192.0.2.7\n",
            "192.0.2.7:22",
            "[2001:db8::1]",
            "fe80::1%eth0",
            "192.0.2",
            "192.0.2.7/33",
            "192.0.2.7/255.255.255.0",
            "3232235777",
            "0x7f.1",
            "010.0.0.1",
            "host.example",
            "1.2.3.4}; flush ruleset; add element ip x y {9.9.9.9",
            "192.0.2.7\0",
            "١.٢.٣.٤",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
