//! What the running watch answers at its control socket.

use std::time::Duration;

use unmasq_control::Reply;
use unmasq_control::watch::{BanRecord, SourceStatus, WatchAsk, WatchReply, WatchStatus};
use unmasq_flow::Timestamp;
use unmasq_watch::bans::Ban;
use unmasq_watch::enforce::{SetKind, SetName};
use unmasq_watch::state::BanRequest;

use super::super::control::Asked;
use super::super::{self as watch, shown};
use super::{Watch, element};

impl Watch {
    pub(super) fn answer(&mut self, asked: &Asked) -> Result<Vec<Reply>, String> {
        let done = |text: String| Ok(vec![Reply::Watch(WatchReply::Done(text))]);
        let now = Timestamp::now();
        match &asked.ask {
            WatchAsk::Status => Ok(vec![Reply::Watch(WatchReply::Status(self.status()))]),
            WatchAsk::Bans => {
                let bans = self.engine.world.state.bans().list(now);
                Ok(bans.iter().map(|ban| Reply::Watch(WatchReply::Ban(record(ban)))).collect())
            }
            WatchAsk::Ban { set, is_ipset, target, seconds } => {
                let target = watch::target(target)?;
                let kind = if *is_ipset { SetKind::Ipset } else { SetKind::Nft };
                // Its text in one spelling, as the chains have it.
                let set = &SetName::parse(kind, set).map_err(|error| error.to_string())?.to_string();
                let world = &mut self.engine.world;
                let judged = world.guard.judge(target, unmasq_watch::guard::Reach::Everything, now);
                judged.map_err(|refusal| format!("{} is not banned: {refusal}", shown(target)))?;
                let duration = seconds.map(Duration::from_secs);
                let request = BanRequest { kind, set, target, port: None, duration, by: "by hand" };
                let banned = world.state.ban(&request, None, now).map_err(|full| full.to_string())?;
                let ban = world.state.bans().find(kind, set, target, None, now);
                if let Some(ban) = ban {
                    world.hands.enforcer.ban(element(&ban, now)?);
                }
                self.commit();
                done(match banned.until {
                    Some(until) => format!("banned {} in {set} until {until}", shown(target)),
                    None => format!("banned {} in {set} for ever", shown(target)),
                })
            }
            WatchAsk::Unban { set, target } => {
                let target = watch::target(target)?;
                let world = &mut self.engine.world;
                let held: Vec<Ban> = world
                    .state
                    .bans()
                    .list(now)
                    .into_iter()
                    .filter(|ban| ban.target.trunc() == target.trunc() || ban.target.contains(&target))
                    .filter(|ban| set.as_ref().is_none_or(|set| **set == *ban.set))
                    .collect();
                if held.is_empty() {
                    return Err(format!("{} is not banned", shown(target)));
                }
                for ban in &held {
                    world.state.unban(ban.kind, &ban.set, ban.target, ban.port, now);
                    let element = element(ban, now)?;
                    world.hands.enforcer.unban(element.set, element.target, element.port);
                }
                self.commit();
                let sets: Vec<&str> = held.iter().map(|ban| &*ban.set).collect();
                done(format!("{} is no longer banned in {}", shown(target), sets.join(", ")))
            }
            WatchAsk::Report => {
                let id = self.engine.send_report(now)?;
                self.commit();
                done(format!("the report is on its way ({id})"))
            }
        }
    }

    fn status(&mut self) -> WatchStatus {
        let world = &mut self.engine.world;
        let mut sources = Vec::new();
        for (source, entries) in world.sources.iter_mut().zip(&self.entries) {
            let position = source.position().map_or_else(|error| error.to_string(), |p| p.to_string());
            sources.push(SourceStatus { name: source.name().to_owned(), entries: *entries, position });
        }
        WatchStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            config: self.origin.name().display().to_string(),
            sources,
            entries: self.entries.iter().sum(),
            waiting: world.waits.len() as u64,
            captures: world.captures.len() as u64,
            counters: world.state.counters().map(|(_, usage)| usage.keys as u64).sum(),
            bans: world.state.bans().len() as u64,
            refused: world.refused,
            errors: world.errors,
            trouble: self.trouble.clone().or_else(|| world.hands.trouble.clone()),
        }
    }
}

fn record(ban: &Ban) -> BanRecord {
    let target = shown(ban.target);
    BanRecord {
        set: ban.set.to_string(),
        is_ipset: ban.kind == SetKind::Ipset,
        target: ban.port.map_or(target.clone(), |port| format!("{target} port {port}")),
        until: ban.until.map(|until| until.to_string()),
        since: ban.since.to_string(),
        by: ban.by.to_string(),
    }
}
