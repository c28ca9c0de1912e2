//! `unmasq doctor`: is this gateway set so that its translations can be recorded, and what to do if not?
//!
//! ```text
//!  Settings::read ─► judge ─► checks ─► show
//!  Boot::read ──────┘            └────► Plan ─► show, ask, apply ─► read and judge again
//! ```

mod boot;
mod check;
mod judge;
mod mend;
mod show;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use unmasq_netfilter::netns::Namespace;
use unmasq_netfilter::settings::{Settings, Sysctl};

use crate::failure::Outcome;
use boot::Boot;
use check::{By, Check, Verdict};
use judge::Patient;
use mend::{Plan, Reach};
use show::Show;

/// Checks every kernel setting that a complete record depends on, and mends what is wrong.
///
/// Each check says what was read, why it matters for a trace, and the command that mends it. Nothing is
/// changed without --fix or --fix-host, and then only after it was shown and confirmed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
EXAMPLES
  unmasq doctor                                 look at this host
  unmasq doctor --fix                           mend it, now and for the next boot, after asking
  unmasq doctor --fix --dry-run                 show the changes only
  unmasq doctor --netns vpn0 --fix --yes        mend a namespace, without asking
  unmasq doctor --netns all --json | jq '.namespaces[] | {namespace, verdict}'

WHAT --fix DOES
  In the namespace: loads nf_conntrack and nf_conntrack_netlink, sets nf_conntrack_events,
  nf_conntrack_timestamp and nf_conntrack_acct to 1.
  For the next boot (the host's own namespace only): writes /etc/modules-load.d/unmasq.conf and
  /etc/sysctl.d/60-unmasq.conf. The settings of a named namespace end with it: have what makes it run
  `unmasq doctor --netns NAME --fix --yes`.
  It never touches firewall rules, forwarding or the clock: for those it shows the command.

EXIT STATUS
  0  all is well
  1  something is to be mended (with --fix: is left to be mended)
  2  usage, or something could not be read or changed")]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and they combine freely"
)]
pub(crate) struct Args {
    /// Look at this network namespace of /run/netns instead; may be repeated; "all" for all of them.
    #[arg(long, value_name = "NAME")]
    netns: Vec<String>,
    /// Mend what can be mended in the namespace, and write it down for the next boot.
    #[arg(long)]
    fix: bool,
    /// As --fix, and host-wide settings, too: nf_conntrack_max, nf_conntrack_buckets, rmem_max.
    #[arg(long)]
    fix_host: bool,
    /// Do not ask before changing.
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    yes: bool,
    /// Show the changes that --fix would make, and make none.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
    /// Read and write /etc below this directory, and do so in any namespace; for tests.
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
}

impl Args {
    fn changes_something(&self) -> bool {
        self.fix || self.fix_host
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if args.json && args.changes_something() && !args.yes && !args.dry_run {
        return Err(anyhow!("--json cannot ask before it changes something: give --yes or --dry-run").into());
    }
    let mut out = anstream::stdout().lock();
    let mut worst = Verdict::Ok;
    let mut reports = Vec::new();
    for (nth, namespace) in namespaces(&args.netns)?.iter().enumerate() {
        if !args.json && nth > 0 {
            writeln!(out)?;
        }
        let visit =
            visit(args, namespace, &mut out).with_context(|| format!("examining {}", title(namespace)))?;
        worst = worst.max(visit.worst());
        reports.push(visit.json());
    }
    if args.json {
        writeln!(out, "{}", json!({"verdict": worst, "namespaces": reports}))?;
    }
    Ok(ExitCode::from(u8::from(worst != Verdict::Ok)))
}

/// What is known of one namespace in the end.
struct Visit {
    namespace: String,
    is_host: bool,
    checks: Vec<Check>,
    plan: Plan,
    is_changed: bool,
}

impl Visit {
    fn worst(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
    }

    fn json(&self) -> Value {
        let checks: Vec<_> = self.checks.iter().map(|c| show::check_json(c, &self.namespace)).collect();
        json!({
            "namespace": self.namespace,
            "is_host": self.is_host,
            "verdict": self.worst(),
            "checks": checks,
            "changes": show::plan_json(&self.plan, &self.namespace),
            "changed": self.is_changed,
        })
    }
}

/// Examines one namespace and mends it if told to.
fn visit(args: &Args, namespace: &Namespace, out: &mut impl Write) -> anyhow::Result<Visit> {
    let (is_host, checks) = examine(args, namespace)?;
    let mut visit = Visit {
        namespace: namespace.name().to_owned(),
        is_host,
        checks,
        plan: Plan::default(),
        is_changed: false,
    };
    if !args.json {
        writeln!(out, "{}\n", title(namespace))?;
        show::checks(out, namespace.name(), &visit.checks, Show::All)?;
    }
    if !args.changes_something() {
        if !args.json
            && let Some(hint) = hint(&visit.checks, namespace)
        {
            writeln!(out, "{hint}")?;
        }
        return Ok(visit);
    }
    let root = is_host.then(|| args.root.as_deref().unwrap_or(Path::new("/")));
    visit.plan = Plan::of(&visit.checks, Reach { host: args.fix_host, root })?;
    if visit.plan.is_empty() {
        if !args.json {
            writeln!(out, "nothing that could be changed is wrong")?;
        }
        return Ok(visit);
    }
    if !args.json {
        writeln!(out, "\nchanges{}:", if args.dry_run { " that would be made" } else { "" })?;
        show::plan(out, &visit.plan, namespace.name())?;
    }
    if args.dry_run || !(args.yes || confirmed(out)?) {
        if !args.json {
            writeln!(out, "nothing was changed")?;
        }
        return Ok(visit);
    }
    visit.plan.apply(namespace)?;
    visit.is_changed = true;
    visit.checks = examine(args, namespace)?.1;
    if !args.json {
        writeln!(out, "changed; what is left:\n")?;
        show::checks(out, namespace.name(), &visit.checks, Show::Wrong)?;
        if !is_host {
            writeln!(out, "{}", transience(namespace))?;
        }
    }
    Ok(visit)
}

/// Reads and judges. The first is whether the next boot makes this namespace.
fn examine(args: &Args, namespace: &Namespace) -> anyhow::Result<(bool, Vec<Check>)> {
    let mut settings = Settings::read(namespace)?;
    // Before Linux 6.7 other namespaces do not show it; it is the host's anyway.
    if settings.receive_max.is_err() {
        settings.receive_max = Sysctl::ReceiveMax.read();
    }
    let is_host = settings.is_initial || args.root.is_some();
    let root = is_host.then(|| args.root.as_deref().unwrap_or(Path::new("/")));
    let boot = root.map(Boot::read).transpose().context("cannot read what the next boot sets")?;
    let patient = Patient { namespace: namespace.name(), settings: &settings, boot: boot.as_ref() };
    Ok((is_host, judge::judge(&patient)))
}

/// Those that were asked for; the own one if none was.
fn namespaces(names: &[String]) -> anyhow::Result<Vec<Namespace>> {
    if names.is_empty() {
        return Ok(vec![Namespace::current()]);
    }
    let mut found: Vec<Namespace> = Vec::new();
    for name in names {
        let more = if name == "all" { Namespace::all_named()? } else { vec![Namespace::named(name)?] };
        for namespace in more {
            if !found.contains(&namespace) {
                found.push(namespace);
            }
        }
    }
    if found.is_empty() {
        bail!("there is no network namespace in /run/netns; leave --netns out to look at this one");
    }
    Ok(found)
}

fn title(namespace: &Namespace) -> String {
    match namespace.name() {
        "" => "this network namespace".to_owned(),
        name => format!("network namespace {name}"),
    }
}

/// What to run next, if running something would help.
fn hint(checks: &[Check], namespace: &Namespace) -> Option<String> {
    let by = |by| checks.iter().flat_map(|check| &check.remedies).filter(|remedy| remedy.by() == by).count();
    let netns = match namespace.name() {
        "" => String::new(),
        name => format!(" --netns {name}"),
    };
    match (by(By::Fix), by(By::FixHost)) {
        (0, 0) => None,
        (_, 0) => Some(format!("mend with: unmasq doctor{netns} --fix")),
        (_, _) => Some(format!("mend with: unmasq doctor{netns} --fix-host")),
    }
}

/// Why the changes end with the namespace, and how to have them again.
fn transience(namespace: &Namespace) -> String {
    let again = match namespace.name() {
        "" => "unmasq doctor --fix --yes".to_owned(),
        name => format!("unmasq doctor --netns {name} --fix --yes"),
    };
    format!("These settings end with the namespace: let what makes it run `{again}`.")
}

/// Asks on the terminal.
fn confirmed(out: &mut impl Write) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(
            "cannot ask whether to make these changes: standard input is no terminal; give --yes or --dry-run"
        );
    }
    write!(out, "make these changes? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
