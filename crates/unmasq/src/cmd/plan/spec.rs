//! The flags that say what a plan is made of. What is not given by a flag comes from the configuration file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgAction, ValueEnum};
use unmasq_plan::history::{Format, History, HistoryError, Revision};
use unmasq_plan::{ClientNetwork, Layout, Plan, PortRange};
use unmasq_rules::value::Interface;

use crate::config::{Config, DEFAULT_FILE};
use crate::plan::choice::{Exclusion, PublicChoice};
use crate::plan::wanted::Wanted;

/// What a plan is made of.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the plan is made of (each flag in place of its key under [plan])")]
pub(crate) struct SpecArgs {
    /// Client networks, in the order in which they get their ports; the first host of each is the gateway's
    #[arg(long, value_name = "NET", num_args = 1.., action = ArgAction::Append)]
    network: Vec<ClientNetwork>,
    /// The networks of this interface are client networks; its own addresses are left out
    #[arg(long, value_name = "INTERFACE")]
    from_interface: Option<Interface>,
    /// WireGuard and OpenVPN server files, or their folders, as on an eduVPN 3 node: the networks that they serve
    #[arg(long, value_name = "PATH", num_args = 1.., action = ArgAction::Append)]
    server_files: Vec<PathBuf>,
    /// The configuration of an eduVPN 2 node: its portal is asked for the profiles' ranges
    #[arg(long, value_name = "FILE")]
    portal: Option<PathBuf>,
    /// Addresses or networks in these that are no clients'
    #[arg(long, value_name = "NET", num_args = 1.., action = ArgAction::Append)]
    leave_out: Vec<ClientNetwork>,
    /// Public addresses: 203.0.113.1, 203.0.113.1-203.0.113.16, 203.0.113.0/28, or an interface [default: that of the default route]
    #[arg(long, value_name = "ADDR", num_args = 1.., action = ArgAction::Append)]
    public: Vec<PublicChoice>,
    /// The ports to give out at each public address [default: 1024-65535; eduvpn: 1280-65535]
    #[arg(long, value_name = "LO-HI")]
    ports: Option<PortRange>,
    /// Ports to keep out of these: ranges, `kernel` (those that the gateway itself uses, the default), `none`
    #[arg(long, value_name = "PORTS", num_args = 1.., action = ArgAction::Append)]
    exclude: Vec<Exclusion>,
    /// Ports of each client [default: as many as there are]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    ports_per_client: Option<u16>,
    /// For how many more clients room is kept, in percent of those there are [default: 25]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=1000))]
    growth: Option<u32>,
    /// How ports are given out [default: even]
    #[arg(long, value_enum)]
    layout: Option<LayoutArg>,
    /// The form of the rules [default: nft]
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// The interface by which clients' flows leave [default: any]
    #[arg(long, value_name = "INTERFACE")]
    out: Option<Interface>,
    /// So many ports of the first public address for flows that do not fit into their client's own; shared, and logged
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32_768))]
    overflow: Option<u16>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where the history of plans is.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Folder of the plans that were applied [default: /var/lib/unmasq/plan]
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// The configuration file [default: /etc/unmasq/unmasq.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    /// As many ports for each client as there are; nobody moves while the growth reserve lasts
    Even,
    /// Exactly as eduVPN's vpn-generate-natfw does it
    Eduvpn,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// One map for all clients
    Nft,
    /// A rule for each client and protocol
    Iptables,
}

impl PlaceArgs {
    /// The configuration: of the file named, or of the usual one if it is there.
    fn config(&self) -> anyhow::Result<Config> {
        let usual = Path::new(DEFAULT_FILE);
        Ok(match &self.config {
            Some(file) => Config::load(file)?,
            None if usual.exists() => Config::load(usual)?,
            None => Config::default(),
        })
    }

    /// `[plan]` of the configuration, with the history's folder in its place.
    pub(crate) fn plan(&self) -> anyhow::Result<crate::config::Plan> {
        let mut plan = self.config()?.plan;
        plan.history = self.history.clone().unwrap_or(plan.history);
        Ok(plan)
    }

    /// The history, which must be there.
    pub(crate) fn open(&self) -> anyhow::Result<History> {
        Ok(History::open(&self.plan()?.history)?)
    }
}

impl SpecArgs {
    /// The history, which must be there.
    pub(crate) fn history(&self) -> anyhow::Result<History> {
        self.place.open()
    }

    /// What is wanted.
    pub(crate) fn wanted(&self) -> anyhow::Result<Wanted> {
        let mut plan = self.place.plan()?;
        let is_named = !self.network.is_empty()
            || !self.server_files.is_empty()
            || self.from_interface.is_some()
            || self.portal.is_some();
        if is_named {
            plan.networks.clone_from(&self.network);
            plan.from_interface = named(self.from_interface.as_ref());
            plan.server_files.clone_from(&self.server_files);
            plan.portal.clone_from(&self.portal);
        }
        if !self.leave_out.is_empty() {
            plan.leave_out = self.leave_out.iter().map(ClientNetwork::net).collect();
        }
        replace(&mut plan.public, &self.public);
        replace(&mut plan.exclude, &self.exclude);
        plan.ports = self.ports.or(plan.ports);
        plan.ports_per_client = self.ports_per_client.or(plan.ports_per_client);
        plan.growth = self.growth.unwrap_or(plan.growth);
        plan.overflow = self.overflow.or(plan.overflow);
        plan.out_interface = named(self.out.as_ref()).or(plan.out_interface);
        plan.layout = match self.layout {
            Some(LayoutArg::Even) => Layout::Even,
            Some(LayoutArg::Eduvpn) => Layout::Eduvpn,
            None => plan.layout,
        };
        if plan.layout == Layout::Eduvpn && self.growth.is_some() {
            bail!("--growth is for the layout even: eduVPN's script keeps no room for more clients");
        }
        plan.format = match self.format {
            Some(FormatArg::Nft) => Format::Nft,
            Some(FormatArg::Iptables) => Format::Iptables,
            None => plan.format,
        };
        Ok(Wanted(plan))
    }
}

fn named(interface: Option<&Interface>) -> Option<String> {
    interface.map(Interface::to_string)
}

fn replace<T: Clone>(list: &mut Vec<T>, by: &[T]) {
    if !by.is_empty() {
        *list = by.to_vec();
    }
}

/// The history of what is wanted. None if there is none yet.
pub(crate) fn kept(wanted: &Wanted) -> Result<Option<History>, HistoryError> {
    let directory = &wanted.0.history;
    History::is_in(directory).then(|| History::open(directory)).transpose()
}

/// The plan in force, which a new one is to leave alone as far as it can. None if there is no history yet.
pub(crate) fn in_force(wanted: &Wanted) -> Result<Option<Plan>, HistoryError> {
    let Some(history) = kept(wanted)? else { return Ok(None) };
    history.newest_readable().map(|revision| history.plan(revision.number)).transpose()
}

/// The revision in force and its plan, which must be there.
pub(crate) fn current(history: &History) -> anyhow::Result<(&Revision, Plan)> {
    let newest = history.newest_readable().with_context(|| {
        format!(
            "no plan is in force by {}; apply one with `unmasq plan apply`",
            history.directory().display()
        )
    })?;
    Ok((newest, history.plan(newest.number)?))
}

/// Prints what is to be known besides, to standard error.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("unmasq: {warning}");
    }
}
