//! A network namespace: commands and closures run in it, links to others, addresses, routes, rules, settings.

use std::fs::{self, File};
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{guarded, output};
use crate::error::Doing;
use crate::rules::{Rule, ruleset};
use crate::{Lab, LabError};

/// A network namespace of a [`Lab`]. It lives as long as its lab.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    /// Keeps the lab, and with it the namespace.
    lab: Lab,
}

impl Node {
    pub(crate) fn create(lab: Lab, name: String) -> Result<Self, LabError> {
        output(Command::new("ip").args(["netns", "add", &name]), "")?;
        let node = Self { name, lab };
        node.ip(&["link set lo up"])?;
        Ok(node)
    }

    /// Its name in /run/netns.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lab that it belongs to.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Runs a closure in the namespace, on a thread of its own. Sockets that it opens stay in the namespace.
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let path = format!("/run/netns/{}", self.name);
        let on_thread = || {
            let namespace = File::open(&path).doing(|| format!("opening {path}"))?;
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
                .doing(|| format!("entering {path}"))?;
            Ok(action())
        };
        thread::scope(|scope| match scope.spawn(on_thread).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A command to be run in the namespace, killed when the thread that starts it ends.
    pub fn command(&self, program: &str) -> Command {
        let mut command = guarded("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program in the namespace to its end and returns what it printed.
    pub fn exec(&self, words: &[&str]) -> Result<String, LabError> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(words);
        output(&mut command, "")
    }

    /// Runs `ip` commands in the namespace; IPv6 ones that begin with `-6` come after the others:
    /// `["address add 192.0.2.1/32 dev lo", "-6 rule add …"]`.
    pub fn ip(&self, commands: &[impl AsRef<str>]) -> Result<(), LabError> {
        // In a batch, the family is an option of the whole batch.
        for is_v6 in [false, true] {
            let prefix = if is_v6 { "-6 " } else { "" };
            let batch: String = commands
                .iter()
                .map(AsRef::as_ref)
                .filter(|line| line.starts_with("-6 ") == is_v6)
                .flat_map(|line| [&line[prefix.len()..], "\n"])
                .collect();
            if batch.is_empty() {
                continue;
            }
            let mut command = Command::new("ip");
            if is_v6 {
                command.arg("-6");
            }
            output(command.args(["-n", &self.name, "-batch", "-"]), &batch)?;
        }
        Ok(())
    }

    /// Loads a text into the namespace's nftables.
    pub fn nft(&self, text: &str) -> Result<(), LabError> {
        output(Command::new("ip").args(["netns", "exec", &self.name, "nft", "-f", "-"]), text).map(drop)
    }

    /// Translates as these rules say, in place of the rules that an earlier call gave.
    pub fn translate(&self, rules: &[Rule]) -> Result<(), LabError> {
        self.nft(&ruleset(rules))
    }

    /// How many flows the rules of [`Node::translate`] have seen begin: the truth to compare a record with.
    pub fn flows_begun(&self) -> Result<u64, LabError> {
        let text = self.exec(&["nft", "list", "counter", "inet", "lab", "begun"])?;
        let mut words = text.split_whitespace();
        words.find(|word| *word == "packets");
        words.next().and_then(|word| word.parse().ok()).ok_or_else(|| LabError::Command {
            command: "nft list counter inet lab begun".into(),
            status: "unexpected output".into(),
            stderr: text.clone(),
        })
    }

    /// Sets a kernel setting of the namespace: `net.ipv4.ip_forward` and the like.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        // /proc/sys/net shows the namespace of the thread that reads it.
        self.run(|| fs::write(&path, value).doing(|| format!("writing {value} to {path}")))?
    }

    /// Reads a kernel setting of the namespace.
    pub fn setting(&self, setting: &str) -> Result<String, LabError> {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        let text = self.run(|| fs::read_to_string(&path).doing(|| format!("reading {path}")))??;
        Ok(text.trim().to_owned())
    }

    /// Joins two namespaces by a veth pair, up and with these addresses (`192.168.101.2/24`,
    /// `2001:db8::2/64`).
    pub fn link(
        &self,
        interface: &str,
        addresses: &[&str],
        far: (&Self, &str, &[&str]),
    ) -> Result<(), LabError> {
        let (node, far_interface, far_addresses) = far;
        output(
            Command::new("ip").args(["link", "add", interface, "netns", &self.name, "type", "veth"]).args([
                "peer",
                "name",
                far_interface,
                "netns",
                &node.name,
            ]),
            "",
        )?;
        self.ip(&interface_lines(interface, addresses))?;
        node.ip(&interface_lines(far_interface, far_addresses))
    }

    /// Deletes all connection tracking entries of the namespace: each sends its DESTROY.
    pub fn forget_flows(&self) -> Result<(), LabError> {
        // The count that it prints goes to standard error and is no error.
        self.exec(&["conntrack", "-F"]).map(drop)
    }
}

/// Addresses are usable at once: `nodad` spares IPv6 the second of duplicate address detection.
fn interface_lines(interface: &str, addresses: &[&str]) -> Vec<String> {
    let address_lines = addresses.iter().map(|address| {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        format!("address add {address} dev {interface}{nodad}")
    });
    address_lines.chain([format!("link set {interface} up")]).collect()
}
