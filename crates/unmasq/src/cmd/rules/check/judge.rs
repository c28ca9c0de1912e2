//! One file: read, tried by the kernel, judged.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;
use unmasq_netfilter::settings::Capabilities;
use unmasq_rules::Form;
use unmasq_rules::lint::{Loggers, Prospects, Session, Surroundings, Warning, lint};
use unmasq_rules::program::{self, ProgramError};
use unmasq_rules::ruleset::{Ruleset, RulesetError};

use super::complaint::Complaint;

/// What sshd(8) tells a session about itself.
const SSH_CONNECTION: &str = "SSH_CONNECTION";

/// What files are judged against.
pub(super) struct Judge {
    form: Option<Form>,
    session: Option<Session>,
}

/// What was found about a file.
pub(super) struct Judged {
    pub(super) file: PathBuf,
    pub(super) form: Form,
    /// How many rules it has; of nft as it is written, if the kernel refuses it.
    pub(super) rules: usize,
    pub(super) refused: Option<Complaint>,
    pub(super) warnings: Vec<Warning>,
    /// Why it could not be judged as the kernel has it.
    pub(super) as_written: Option<String>,
    pub(super) prospects: Option<Prospects>,
}

impl Judge {
    /// Without a session, the one that the environment tells of. sshd on something else than a TCP socket tells of none.
    pub(super) fn new(form: Option<Form>, session: Option<Session>) -> Self {
        let told = || std::env::var(SSH_CONNECTION).ok()?.parse().ok();
        let mut session = session.or_else(told);
        if let Some(session) = &mut session {
            session.interface = session.interface.take().or_else(|| interface_toward(session));
        }
        Self { form, session }
    }

    /// A file.
    pub(super) fn file(&self, file: &Path) -> anyhow::Result<Judged> {
        self.text(file, &read(file)?)
    }

    /// A text that is, or would be, in this file.
    pub(super) fn text(&self, file: &Path, text: &str) -> anyhow::Result<Judged> {
        let form = self.form.unwrap_or_else(|| Form::of(file, text));
        let refused = match form.try_out(text) {
            Ok(()) => None,
            Err(ProgramError::Refused { said, .. }) if is_forbidden(&said) => {
                bail!("the kernel tries rulesets only for who has CAP_NET_ADMIN; run this as root");
            }
            Err(ProgramError::Refused { said, .. }) => Some(Complaint::of(file, text, form, &said)),
            Err(error) => return Err(error.into()),
        };
        // After the dry run, which loads the loggers that the rules need.
        let loggers = Loggers::here().context("cannot read which loggers the kernel has")?;
        let surroundings = Surroundings { session: self.session.clone(), loggers };
        let (ruleset, as_written) = match (Ruleset::normalise(form, text), &refused) {
            (Ok(ruleset), _) => (ruleset, None),
            // Of an iptables ruleset that is none there is nothing more to say.
            (Err(error), _) if form != Form::Nft => {
                let refused = refused.unwrap_or_else(|| Complaint::of_reader(file, text, &error));
                return Ok(Judged::refused(file, form, refused));
            }
            (Err(_), Some(_)) => (Ruleset::of_nft_source(text), None),
            (Err(error), None) => (Ruleset::of_nft_source(text), Some(reason(&error))),
        };
        let is_read = ruleset.rule_count() == 0 || !is_of_source(&ruleset);
        let prospects = self.session.as_ref().filter(|_| is_read).map(|session| session.under(&ruleset));
        Ok(Judged {
            file: file.to_owned(),
            form,
            rules: ruleset.rule_count(),
            refused,
            warnings: lint(&ruleset, text, &surroundings),
            as_written,
            prospects,
        })
    }
}

impl Judged {
    fn refused(file: &Path, form: Form, refused: Complaint) -> Self {
        Self {
            file: file.to_owned(),
            form,
            rules: 0,
            refused: Some(refused),
            warnings: Vec::new(),
            as_written: None,
            prospects: None,
        }
    }
}

fn is_of_source(ruleset: &Ruleset) -> bool {
    use unmasq_rules::ruleset::Body;
    ruleset.chains().any(|(_, chain)| chain.rules.iter().any(|rule| matches!(rule.body, Body::Source(_))))
}

fn reason(error: &RulesetError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Did the kernel look at nothing, because of who asks?
fn is_forbidden(said: &str) -> bool {
    let messages = ["Operation not permitted", "Permission denied", "must be root"];
    !Capabilities::read().net_admin && messages.iter().any(|text| said.contains(text))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read the ruleset {}", file.display());
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).with_context(cannot)?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(cannot)
}

/// The interface by which packets to the client leave, and by which those of it most likely come.
fn interface_toward(session: &Session) -> Option<String> {
    let client = session.client.ip().to_string();
    let answer = program::run("ip", &["-j", "route", "get", &client], "").ok()?;
    let routes: Value = serde_json::from_str(&answer).ok()?;
    routes.get(0)?.get("dev")?.as_str().map(str::to_owned)
}
