//! SIGHUP: a changed configuration is taken up, or refused while the old one goes on.

use std::sync::Arc;

use unmasq_watch::journal_log::Level;
use unmasq_watch::machine::Machine;

use super::super::build::Plan;
use super::super::sources;
use super::{Watch, resolver, take};

impl Watch {
    /// Reads the configuration anew. A bad one is refused, and the old one goes on.
    pub(super) fn reload(&mut self) {
        match self.try_reload() {
            Ok(()) => {
                self.metrics.reloads.add(["done"], 1);
                self.tell(Level::Notice, &format!("took up {}", self.origin.name().display()));
            }
            Err(error) => {
                self.metrics.reloads.add(["refused"], 1);
                let shown = format!("{error:#}");
                // A log has lines: the errors' first ones, without the text they point at.
                let file = self.origin.name().display().to_string();
                let is_error = |line: &&str| line.starts_with(&file) && !line.contains(": warning: ");
                let errors: Vec<&str> = shown.lines().filter(is_error).collect();
                let errors = if errors.is_empty() { shown } else { errors.join("; ") };
                self.tell(
                    Level::Err,
                    &format!("the old configuration goes on, as the new one is refused: {errors}"),
                );
            }
        }
    }

    fn try_reload(&mut self) -> anyhow::Result<()> {
        let plan = Plan::of(&self.origin)?;
        let guard = plan.guard_options()?;
        if plan.config().storage != self.plan.config().storage {
            anyhow::bail!("`storage` cannot change while the watch runs; restart it");
        }
        self.commit();
        let needs_sources = self.once.is_none()
            && (plan.config().sources != self.plan.config().sources
                || plan.config().encoding != self.plan.config().encoding
                || plan.config().skew != self.plan.config().skew
                || !same_fields(&plan, &self.plan));
        let reopened = if needs_sources {
            let mut places = Vec::new();
            for (source, key) in self.engine.world.sources.iter_mut().zip(&self.keys) {
                places.push((key.clone(), source.position()?));
            }
            // Sockets must be let go before they are taken again.
            self.engine.world.sources.clear();
            let place = |name: &str| {
                Ok(places.iter().find(|(known, _)| known == name).map(|(_, position)| position.clone()))
            };
            match sources::open(plan.config(), place) {
                Ok(sources) => Some(sources),
                Err(error) => {
                    let old = sources::open(self.plan.config(), place)?;
                    self.keys = take(&mut self.engine.world.sources, old);
                    return Err(error);
                }
            }
        } else {
            None
        };
        self.engine.world.hands.reload(plan.config())?;
        let world = &mut self.engine.world;
        world.guard.reload(guard);
        world.escalation = Some(plan.escalation());
        world.waits_for_known = !plan.config().guard.masking.is_empty();
        if plan.config().book != self.plan.config().book {
            world.feed = None;
            world.feed = plan.feed()?;
            world.remote = plan.remote()?;
        }
        let lost = self.engine.load(Machine::new(Arc::clone(&plan.program)));
        if lost > 0 {
            self.tell(
                Level::Warning,
                &format!("{lost} entries waited at steps that are no more; they are let go"),
            );
        }
        if let Some(sources) = reopened {
            self.has_ended = vec![false; sources.len()];
            self.unread = None;
            self.entries = vec![0; sources.len()];
            self.keys = take(&mut self.engine.world.sources, sources);
        }
        self.engine.schedule = plan.schedule();
        self.engine.report_title.clone_from(&plan.config().email.subject);
        (self.resolver, self.resolutions) = resolver(&plan)?;
        self.plan = plan;
        self.expect_bans();
        Ok(())
    }
}

fn same_fields(a: &Plan, b: &Plan) -> bool {
    let (a, b) = (a.program.fields(), b.program.fields());
    a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a == b)
}
