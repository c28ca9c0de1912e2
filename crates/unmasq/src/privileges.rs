//! What a worker gives up once its sockets are open.

use std::io;
use std::path::Path;

use anyhow::Context;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid,
};

/// The account that a worker becomes, if the machine has it.
pub(crate) const DEFAULT_ACCOUNT: &str = "unmasq";

/// An account that can do nothing, and that every machine has: for what must not stay root.
pub(crate) const LEAST_ACCOUNT: &str = "nobody";

/// An account to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account of that name in /etc/passwd, if there is one.
    pub(crate) fn find(name: &str) -> io::Result<Option<Self>> {
        Ok(Self::find_in(&std::fs::read_to_string("/etc/passwd")?, name))
    }

    fn find_in(passwd: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (user, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            (user == name).then_some(())?;
            Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    }
}

/// The account to become: the one named, or else the usual one if the machine has it.
pub(crate) fn account(name: Option<&str>) -> anyhow::Result<Option<Account>> {
    let find = |name| Account::find(name).context("cannot read /etc/passwd");
    let account = match name {
        Some(name) => Some(find(name)?.with_context(|| {
            format!("there is no account {name:?}; make it with `useradd --system {name}`")
        })?),
        None => find(DEFAULT_ACCOUNT)?,
    };
    // Only root can become another.
    Ok(account.filter(|_| rustix::process::geteuid().is_root()))
}

/// The same for what must not stay root: [`LEAST_ACCOUNT`] if the machine has not the usual one.
pub(crate) fn least_account(name: Option<&str>) -> anyhow::Result<Option<Account>> {
    let is_without =
        name.is_none() && Account::find(DEFAULT_ACCOUNT).context("cannot read /etc/passwd")?.is_none();
    account(name.or(is_without.then_some(LEAST_ACCOUNT)))
}

/// The number of the group of that name in /etc/group.
///
/// # Errors
/// If there is none: how to make it.
pub(crate) fn group(name: &str) -> anyhow::Result<u32> {
    let groups = std::fs::read_to_string("/etc/group").context("cannot read /etc/group")?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    });
    number.with_context(|| format!("there is no group {name:?}; make it with `groupadd --system {name}`"))
}

/// Gives the folder to the account, so that it can go on writing there. Files in it stay as they are: a recorder
/// that ran as another user before says so by name when it meets them.
pub(crate) fn hand_over(folder: &Path, account: &Account) -> io::Result<()> {
    std::os::unix::fs::chown(folder, Some(account.uid), Some(account.gid))
}

/// Keeps these capabilities and no other; becomes the account, if one is given. Must be called while the process has one thread
/// only, or for the calling thread alone: the kernel keeps these per thread, and threads made later inherit them.
pub(crate) fn drop_to(account: Option<&Account>, kept: CapabilitySet) -> io::Result<()> {
    if let Some(account) = account {
        set_capabilities_secure_bits(CapabilitiesSecureBits::KEEP_CAPS)?;
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(account.gid))?;
        set_thread_uid(Uid::from_raw(account.uid))?;
    }
    // Nothing inheritable: a watchdog, this program again, needs no capability.
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    set_no_new_privs(true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nunmasq:x:996:995::/:/usr/sbin/nologin\nbad:x:no:1\n";
        let account = Account { name: "unmasq".to_owned(), uid: 996, gid: 995 };
        assert_eq!(Account::find_in(passwd, "unmasq"), Some(account));
        assert_eq!(Account::find_in(passwd, "unm"), None);
        assert_eq!(Account::find_in(passwd, "bad"), None);
    }
}
