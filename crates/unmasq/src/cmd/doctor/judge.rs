//! Judges what was read: pure, from settings to checks.

use unmasq_netfilter::settings::{NatPlace, Presence, Reading, Settings, Sysctl};

use super::boot::Boot;
use super::check::Verdict::{Bad, Warn};
use super::check::{Check, Group, Remedy};
use crate::config::{Config, units};

/// The modules that must be there.
pub(super) const MODULES: [&str; 2] = ["nf_conntrack", "nf_conntrack_netlink"];

/// The settings of a namespace, and what they should be.
pub(super) const WANTED: [(Sysctl, u64); 3] =
    [(Sysctl::Events, 1), (Sysctl::Timestamp, 1), (Sysctl::Accounting, 1)];

/// From this fill on the recorder gives up reliable delivery, so that the users' traffic comes first.
const FULL: f64 = 0.8;
const HALF_FULL: f64 = 0.5;

/// What is judged.
pub(super) struct Patient<'a> {
    /// The namespace's name; empty for the own one.
    pub(super) namespace: &'a str,
    /// What was read in it.
    pub(super) settings: &'a Settings,
    /// What the next boot will set; `None` for a namespace that no boot makes.
    pub(super) boot: Option<&'a Boot>,
}

/// All checks, in the order of the report.
pub(super) fn judge(patient: &Patient<'_>) -> Vec<Check> {
    let mut checks = vec![
        module("conntrack", MODULES[0], patient.settings.conntrack),
        module("conntrack-netlink", MODULES[1], patient.settings.conntrack_netlink),
        events(patient.settings),
        timestamp(patient.settings),
        accounting(patient.settings),
    ];
    checks.extend(patient.boot.map(boot));
    checks.extend([fill(patient.settings), buckets(patient.settings), receive_buffer(patient.settings)]);
    firewall(patient, &mut checks);
    checks.extend([capabilities(patient), clock(patient.settings)]);
    checks
}

fn module(id: &'static str, name: &'static str, presence: Presence) -> Check {
    let place = (id, Group::Events);
    let why = "without it the kernel neither tells of translations nor lists them: nothing can be recorded";
    match presence {
        Presence::Loaded => Check::ok(id, Group::Events, format!("module {name} is loaded")),
        Presence::BuiltIn => Check::ok(id, Group::Events, format!("{name} is built into the kernel")),
        Presence::Loadable => {
            Check::wrong(place, Bad, format!("module {name} is not loaded"), why, vec![Remedy::Load(name)])
        }
        Presence::Missing => {
            let kernel = "apt-get install linux-image-amd64".to_owned();
            Check::wrong(place, Bad, format!("this kernel has no {name}"), why, vec![Remedy::Command(kernel)])
        }
        Presence::Unknown => {
            let read = format!("cannot tell whether {name} is there without CAP_NET_ADMIN");
            Check::wrong(place, Warn, read, why, vec![as_root("")])
        }
    }
}

fn events(settings: &Settings) -> Check {
    let place = ("events", Group::Events);
    let remedy = vec![Remedy::Set(Sysctl::Events, 1)];
    match &settings.events {
        Ok(1) => Check::ok(place.0, place.1, read(Sysctl::Events, 1)),
        Ok(2) => {
            let why = "flows that are born while nobody listens never send DESTROY: their ends are known \
                       only to the next listing of the table, and a masked port can seem to be in use when \
                       it was not";
            Check::wrong(place, Bad, read(Sysctl::Events, 2), why, remedy)
        }
        Ok(other) => {
            let why =
                "the kernel tells nobody of new and ended flows: nothing is recorded but what listings catch";
            Check::wrong(place, Bad, read(Sysctl::Events, *other), why, remedy)
        }
        Err(_) => unread(place, &settings.events, settings, remedy),
    }
}

fn timestamp(settings: &Settings) -> Check {
    let place = ("timestamp", Group::Events);
    let remedy = vec![Remedy::Set(Sysctl::Timestamp, 1)];
    match &settings.timestamp {
        Ok(0) => {
            let why = "flows carry the time at which their events were read, not the kernel's: an end is up \
                       to half a minute late, and a trace of a reused port can name the wrong client";
            Check::wrong(place, Bad, read(Sysctl::Timestamp, 0), why, remedy)
        }
        Ok(on) => Check::ok(place.0, place.1, read(Sysctl::Timestamp, *on)),
        Err(_) => unread(place, &settings.timestamp, settings, remedy),
    }
}

fn accounting(settings: &Settings) -> Check {
    let place = ("accounting", Group::Events);
    let remedy = vec![Remedy::Set(Sysctl::Accounting, 1)];
    match &settings.accounting {
        Ok(0) => {
            let why = "flows carry no packets and bytes, which tell a download from a port scan; \
                       traces are right without them";
            Check::wrong(place, Warn, read(Sysctl::Accounting, 0), why, remedy)
        }
        Ok(on) => Check::ok(place.0, place.1, read(Sysctl::Accounting, *on)),
        Err(_) => unread(place, &settings.accounting, settings, remedy),
    }
}

fn boot(boot: &Boot) -> Check {
    let place = ("boot", Group::Events);
    let missing = boot.missing();
    if missing.is_empty() {
        return Check::ok(place.0, place.1, "modules and settings are written down for the next boot");
    }
    let why = "the next boot undoes it, and every flow from then on is recorded with these defects";
    // A later file that says otherwise is somebody's decision: it is named, not edited.
    let mut remedies = vec![Remedy::WriteDown];
    remedies.extend(
        boot.overrides().map(|place| Remedy::Command(format!("sed -i '{}d' {}", place.line, place.file))),
    );
    if !boot.is_ours_incomplete() {
        remedies.remove(0);
    }
    Check::wrong(place, Warn, format!("not set at boot: {}", missing.join(", ")), why, remedies)
}

fn fill(settings: &Settings) -> Check {
    let place = ("table", Group::Room);
    let (count, max) = match (&settings.count, &settings.max) {
        (Ok(count), Ok(max)) => (*count, *max),
        (Err(_), _) => return unread(place, &settings.count, settings, Vec::new()),
        (_, Err(_)) => return unread(place, &settings.max, settings, Vec::new()),
    };
    // nf_conntrack_max = 0 means no limit.
    let fill = if max == 0 { 0.0 } else { count as f64 / max as f64 };
    let refused = settings.pressure.as_ref().map_or(0, |p| p.refused);
    let past = if refused > 0 { format!(", {refused} refused since boot") } else { String::new() };
    let what = format!("{count} of nf_conntrack_max = {max} flows ({:.0} %){past}", fill * 100.0);
    let verdict = match fill {
        _ if fill >= FULL => Bad,
        _ if fill >= HALF_FULL || refused > 0 => Warn,
        _ => return Check::ok(place.0, place.1, what),
    };
    let larger = max.saturating_mul(2).max(count.saturating_mul(4)).max(262_144).next_power_of_two();
    let why = format!(
        "a full table drops the packets of new connections, and from 80 % on the recorder gives up reliable \
         delivery to spare them; {larger} entries take up to {} MiB of kernel memory",
        larger.saturating_mul(400) >> 20,
    );
    Check::wrong(place, verdict, what, why, vec![Remedy::Set(Sysctl::Max, larger)])
}

fn buckets(settings: &Settings) -> Check {
    let place = ("buckets", Group::Room);
    match (&settings.buckets, &settings.max) {
        (Ok(buckets), Ok(max)) if max / 8 > *buckets => {
            let why = "long chains in the hash table make every packet, and every listing, slow when the \
                       table fills";
            let remedy = vec![Remedy::Set(Sysctl::Buckets, max.next_power_of_two())];
            Check::wrong(
                place,
                Warn,
                format!("{} for {max} flows", read(Sysctl::Buckets, *buckets)),
                why,
                remedy,
            )
        }
        (Ok(buckets), _) => Check::ok(place.0, place.1, read(Sysctl::Buckets, *buckets)),
        (Err(_), _) => unread(place, &settings.buckets, settings, Vec::new()),
    }
}

fn receive_buffer(settings: &Settings) -> Check {
    let place = ("receive-buffer", Group::Room);
    let wanted = Config::default().record.receive_buffer;
    let shown = units::format_size(wanted);
    match &settings.receive_max {
        _ if settings.capabilities.net_admin => Check::ok(
            place.0,
            place.1,
            format!("{shown}, forced with CAP_NET_ADMIN whatever net.core.rmem_max says"),
        ),
        Ok(limit) if *limit >= wanted => Check::ok(place.0, place.1, read(Sysctl::ReceiveMax, *limit)),
        Ok(limit) => {
            let why = "without CAP_NET_ADMIN the recorder gets no more than that: a burst that does not fit \
                       is lost, and the coverage says so";
            let remedy = vec![Remedy::Set(Sysctl::ReceiveMax, wanted)];
            Check::wrong(place, Warn, read(Sysctl::ReceiveMax, *limit), why, remedy)
        }
        Err(_) => unread(place, &settings.receive_max, settings, Vec::new()),
    }
}

fn firewall(patient: &Patient<'_>, checks: &mut Vec<Check>) {
    let rules = &patient.settings.rules;
    let place = |id| (id, Group::Firewall);
    let by_hand = |commands: &[String]| {
        let inside = |command: &String| Remedy::Command(inside(patient.namespace, command));
        commands.iter().map(inside).collect::<Vec<_>>()
    };
    for error in &rules.unread {
        let why = "rules that cannot be seen may leave flows untracked or translate them twice";
        let remedies = if patient.settings.capabilities.net_admin {
            Vec::new()
        } else {
            vec![as_root(patient.namespace)]
        };
        checks.push(Check::wrong(place("rules"), Warn, format!("cannot read: {error}"), why, remedies));
    }

    let listed = rules.nat.iter().map(nat_place).collect::<Vec<_>>().join(", ");
    checks.push(if rules.translate_twice() {
        let why = "two frameworks translate: which of them masks a flow depends on which was loaded first, \
                   and changes with the next reload; move the old tables over, then empty them";
        let commands = [
            "iptables-legacy-save | iptables-nft-restore --noflush".to_owned(),
            "iptables-legacy -t nat -F && ip6tables-legacy -t nat -F".to_owned(),
        ];
        Check::wrong(place("nat"), Warn, listed, why, by_hand(&commands))
    } else if rules.translate() {
        Check::ok("nat", Group::Firewall, listed)
    } else if rules.unread.is_empty() {
        let why = "no rule translates in this namespace, so there is nothing to trace; is it the right one?";
        let commands = vec![Remedy::Command("unmasq doctor --netns all".to_owned())];
        Check::wrong(place("nat"), Warn, "no NAT rules", why, commands)
    } else {
        Check::ok("nat", Group::Firewall, "none among the rules that could be read")
    });

    for rule in &rules.untracked {
        let why = "packets that match it are not tracked: they are never translated and never recorded";
        let remedy = by_hand(std::slice::from_ref(&rule.removal));
        checks.push(Check::wrong(
            place("notrack"),
            Warn,
            format!("a notrack rule in {}", rule.place),
            why,
            remedy,
        ));
    }
    for table in &rules.flowtables {
        let why = "flows in it go past the stack: their translations are recorded, but counters stand still \
                   and ends come late";
        let read = format!(
            "flowtable {} {} {} on {}",
            table.family,
            table.table,
            table.name,
            table.devices.join(", ")
        );
        checks.push(Check::wrong(place("flowtable"), Warn, read, why, by_hand(&table.removal)));
    }
    if rules.unread.is_empty() {
        if rules.untracked.is_empty() {
            checks.push(Check::ok("notrack", Group::Firewall, "no rule takes packets out of tracking"));
        }
        if rules.flowtables.is_empty() {
            checks.push(Check::ok("flowtable", Group::Firewall, "no flow tables"));
        }
    }
    checks.extend([
        forwarding("forward-ipv4", Sysctl::Forward4, &patient.settings.forward4, patient, &["ip", "inet"]),
        forwarding("forward-ipv6", Sysctl::Forward6, &patient.settings.forward6, patient, &["ip6"]),
    ]);
}

/// Off is wrong only where rules of these families translate.
fn forwarding(
    id: &'static str,
    setting: Sysctl,
    reading: &Reading<u64>,
    patient: &Patient<'_>,
    families: &[&str],
) -> Check {
    let is_used = patient.settings.rules.nat.iter().any(|place| families.contains(&place.family.as_str()));
    match reading {
        Ok(0) if is_used => {
            let why = "rules translate, but the kernel forwards nothing: there are no clients to trace, only \
                       the gateway itself; --fix leaves it, because it would make a router of this machine";
            let command = inside(patient.namespace, &format!("sysctl -w {}=1", setting.key()));
            Check::wrong((id, Group::Firewall), Warn, read(setting, 0), why, vec![Remedy::Command(command)])
        }
        Ok(value) => Check::ok(id, Group::Firewall, read(setting, *value)),
        // A kernel without IPv6 forwards none, which is well unless its rules translate some.
        Err(_) if !is_used => Check::ok(id, Group::Firewall, format!("{} is not there", setting.key())),
        Err(error) => {
            let why = "rules translate, but whether the kernel forwards is not known";
            Check::wrong((id, Group::Firewall), Warn, error.to_string(), why, Vec::new())
        }
    }
}

fn capabilities(patient: &Patient<'_>) -> Check {
    let place = ("capabilities", Group::Host);
    let held = patient.settings.capabilities;
    let mut missing = Vec::new();
    if !held.net_admin {
        missing.push("CAP_NET_ADMIN (conntrack events and listings)");
    }
    if !held.sys_admin {
        missing.push("CAP_SYS_ADMIN (entering other namespaces)");
    }
    let verdict = match (held.net_admin, held.sys_admin) {
        (true, true) => return Check::ok(place.0, place.1, "CAP_NET_ADMIN, CAP_SYS_ADMIN"),
        (true, false) => Warn,
        (false, _) => Bad,
    };
    let why = "a recorder that is started like this cannot record; the systemd unit gives it what it needs";
    Check::wrong(
        place,
        verdict,
        format!("missing {}", missing.join(", ")),
        why,
        vec![as_root(patient.namespace)],
    )
}

fn clock(settings: &Settings) -> Check {
    let place = ("clock", Group::Host);
    match &settings.clock {
        Ok(clock) if clock.is_synchronised => {
            let error = clock.max_error.as_secs_f64();
            Check::ok(place.0, place.1, format!("synchronised, off by at most {error:.3} s"))
        }
        Ok(_) => {
            let why = "an abuse report names a second of true time: on a clock that drifts, the answer is \
                       who had the port at another moment";
            let commands = vec![Remedy::Command("apt-get install -y chrony".to_owned())];
            Check::wrong(place, Warn, "not synchronised (adjtimex: STA_UNSYNC)", why, commands)
        }
        Err(error) => {
            Check::wrong(place, Warn, error.to_string(), "the times of the record may be off", Vec::new())
        }
    }
}

/// A setting that could not be read: because conntrack is not there yet, or for a reason of its own.
fn unread(
    place: (&'static str, Group),
    reading: &Reading<u64>,
    settings: &Settings,
    remedies: Vec<Remedy>,
) -> Check {
    let error = reading.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if settings.conntrack.is_there() {
        let why = "the kernel was built without it, or hides it here: what depends on it is missing from the \
                   record";
        return Check::wrong(place, Warn, error, why, Vec::new());
    }
    Check::wrong(
        place,
        Bad,
        error,
        "it is there once nf_conntrack is loaded, with a default that loses facts",
        remedies,
    )
}

fn read(setting: Sysctl, value: u64) -> String {
    format!("{} = {value}", setting.key())
}

fn nat_place(place: &NatPlace) -> String {
    let (family, table, chain) = (&place.family, &place.table, &place.chain);
    let framework = match place.framework {
        unmasq_netfilter::settings::Framework::Legacy => "legacy",
        unmasq_netfilter::settings::Framework::Nft => "nft",
    };
    let noun = if place.rules == 1 { "rule" } else { "rules" };
    format!("{framework} {family} {table} {chain} ({} {noun})", place.rules)
}

fn as_root(namespace: &str) -> Remedy {
    Remedy::Command(match namespace {
        "" => "sudo unmasq doctor".to_owned(),
        name => format!("sudo unmasq doctor --netns {name}"),
    })
}

/// The command as it is to be typed in the own namespace. One with shell syntax is handed to a shell there.
fn inside(namespace: &str, command: &str) -> String {
    match namespace {
        "" => command.to_owned(),
        name if command.contains(['|', '&']) => format!("ip netns exec {name} sh -c '{command}'"),
        name => format!("ip netns exec {name} {command}"),
    }
}

#[cfg(test)]
mod tests;
