//! What `make demo-honeypot` runs: three servers behind a gateway, an attacker with hydra, a user with OpenSSH. The gateway sees by the
//! banner who is no OpenSSH, and sends the next attempt to the honeypot.
//!
//! It knows `unmasq` only by its command line, as a user does, and believes only sshd's own logs of who came where.

mod programs;
mod town;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use unmasq_lab::Lab;
use unmasq_lab::demo::{self, Flags, step};

use self::programs::{Sshd, Unmasq, attempts, hydra, keygen, log_in, wait};
use self::town::{ATTACKER, OFFICE, SERVERS, Town, USER, inside, public};

/// Shows an attacker being sent to the honeypot while a user reaches the real servers
#[derive(Debug, Parser)]
#[command(name = "unmasq-lab-demo-honeypot", version)]
struct Args {
    #[command(flatten)]
    flags: Flags,
}

const USERS: &str = "root\nadmin\nubuntu\n";
const PASSWORDS: [&str; 9] =
    ["123456", "password", "admin", "root", "toor", "qwerty", "raspberry", "P@ssw0rd", "changeme"];
const SET: &str = "ip nat libssh";
const PORT: &str = "2222";
/// Whom the honeypot becomes.
const ACCOUNT: &str = "nobody";

fn main() -> ExitCode {
    demo::run(&Args::parse().flags, show)
}

fn show(program: &Path, lab: Lab) -> Result<(), Box<dyn Error>> {
    step(
        "Three servers behind a gateway that forwards to them and masquerades, in network namespaces of this machine",
    );
    let town = Town::build(&lab)?;
    println!(
        "   attacker {ATTACKER} ─┐                            ┌─ {}  server1
   user     {USER} ─┼─ 203.0.113.1  gateway ─────┼─ {}  server2
   office   {OFFICE} ─┘                            └─ {}  server3",
        public(1),
        public(2),
        public(3)
    );
    println!("   Each server runs Debian's sshd and nothing else, and sees all clients as the gateway.");
    let path = |name: &str| lab.scratch().join(name);
    let (user_key, users, passwords) = (path("user"), path("users"), path("passwords"));
    keygen(&user_key)?;
    fs::write(&users, USERS)?;
    fs::write(&passwords, PASSWORDS.join("\n"))?;
    let sshds: Vec<Sshd> = (1..)
        .zip(&town.servers)
        .map(|(n, server)| Sshd::start(server, &format!("server{n}"), &user_key))
        .collect::<Result<_, _>>()?;

    step("On the gateway: rules, a sensor that reads SSH banners, a honeypot");
    let unmasq = Unmasq { program, gateway: &town.gateway };
    let (json, keys) = (path("honeypot/attempts.json"), path("honeypot/hostkeys"));
    own_folder(&path("honeypot"))?;
    let (storage, control) = (path("divert"), path("divert.sock"));
    let text = |path: &PathBuf| path.display().to_string();
    let (json_text, keys, storage, control) = (text(&json), text(&keys), text(&storage), text(&control));
    let masking = OFFICE.to_string();
    let sensor = ["log-ssh-banner", "--group", "5"];
    let diverter = ["divert-ssh", "--to", PORT];
    for words in [&sensor[..], &diverter] {
        println!("   $ unmasq rules piece {} | nft -f -", words.join(" "));
        unmasq.load_piece(words)?;
    }
    let honeypot = [
        "honeypot",
        "--listen",
        "0.0.0.0:2222",
        "--delay",
        "0s",
        "--user",
        ACCOUNT,
        "--json",
        &json_text,
        "--host-keys",
        &keys,
    ];
    println!("   $ unmasq honeypot --listen 0.0.0.0:{PORT} --delay 0s --user {ACCOUNT} --json honeypot.json");
    let trap = unmasq.start_service("honeypot", &honeypot)?;
    let divert = ["watch", "divert", "--sensor", "nflog:5", "--set", SET, "--masking", &masking];
    println!(
        "   $ unmasq {}",
        divert.map(|word| if word == SET { "'ip nat libssh'" } else { word }).join(" ")
    );
    let divert = [&divert[..], &["--storage", &storage, "--control", &control, "--stderr"]].concat();
    let watch = unmasq.start("divert", &divert)?;

    let listed = || unmasq.ask(&["watch", "bans", "list", "--control", &control]);
    wait("the watch to answer", || Ok(listed().is_ok()))?;

    step("The user logs in with OpenSSH and a key");
    println!("   user: ssh root@{} says “{}”", public(1), log_in(&town.user, &user_key, public(1))?);
    let logged = sshds[0].told("Accepted publickey")?;
    println!("   server1's own log: {}", logged.last().ok_or("sshd logged nothing")?);

    step("The attacker runs hydra (libssh) against server 1, then against the other two");
    for (server, passwords_tried) in (1..=SERVERS).zip([9, 6, 3]) {
        let passwords = path("attackers");
        fs::write(&passwords, PASSWORDS[..passwords_tried].join("\n"))?;
        hydra(&town.attacker, &users, &passwords, public(server))?;
        wait("the attacker in the set", || Ok(listed()?.contains(&ATTACKER.to_string())))?;
        let sshd = &sshds[usize::from(server) - 1];
        let (refused, seen) = (refused(sshd)?, sshd.told("Connection from")?.len());
        // The user was there once.
        let seen = seen.saturating_sub(usize::from(server == 1));
        if server > 1 && refused > 0 {
            return Err(format!("server {server}: the attacker was not diverted").into());
        }
        // What the honeypot refused is written a moment later.
        let (at, mut trapped) = (public(server).to_string(), 0);
        wait("attempts at this server in the honeypot's file", || {
            trapped = attempts(&json)?.iter().filter(|line| line["dest_ip"] == at).count();
            Ok(trapped > 0)
        })?;
        let connections = if seen == 1 { "connection" } else { "connections" };
        println!(
            "   hydra ssh://{}: {seen} {connections} and {refused} passwords at the real sshd, \
             {trapped:>2} passwords in the honeypot",
            public(server)
        );
    }

    println!("   Its first banner was enough.");

    step("Who is diverted?");
    for line in listed()?.lines() {
        println!("  {}", line.trim_end());
    }

    step("The office is a NAT gateway with many people behind it: the guard knows it (--masking)");
    hydra(&town.office, &users, &passwords, public(3))?;
    let reached = refused(&sshds[2])?;
    println!("   hydra from {OFFICE}: {reached} passwords reached the real sshd, as they should");
    println!("   nobody else behind that address has lost the server");

    step("The user again: all three are the real ones");
    for server in 1..=SERVERS {
        println!(
            "   user: ssh root@{} says “{}”",
            public(server),
            log_in(&town.user, &user_key, public(server))?
        );
    }

    step("Is that true?");
    let tried = attempts(&json)?;
    let sources: BTreeSet<&str> = tried.iter().filter_map(|line| line["src_ip"].as_str()).collect();
    println!(
        "   clients in the honeypot's file: {}",
        Vec::from_iter(&sources).iter().map(|s| **s).collect::<Vec<_>>().join(", ")
    );
    let masked = format!("Connection from {}", inside(1));
    if let Some(line) = sshds[0].told(&masked)?.last() {
        println!("   what server1 sees of anybody:      {line}");
    }
    if sources != BTreeSet::from([ATTACKER.to_string().as_str()]) {
        return Err(format!("only {ATTACKER} should be in the honeypot, and there are {sources:?}").into());
    }
    let (diverted, is_listed) = (listed()?, |address: &str| -> Result<bool, Box<dyn Error>> {
        Ok(town.gateway.exec(&["nft", "list", "set", "ip", "nat", "libssh"])?.contains(address))
    });
    if !is_listed(&ATTACKER.to_string())? || is_listed(&USER.to_string())? || is_listed(&OFFICE.to_string())?
    {
        return Err(format!("the set is not what it should be:\n{diverted}").into());
    }
    if reached == 0 {
        return Err("the office was sent away from the real sshd".into());
    }
    println!("   Only the attacker, by the address that it really has; not the user, not the office.");

    step("What did the attacker try?");
    println!("   $ unmasq honeypot report --top 5 --by passwords,users,software honeypot.json\n");
    for line in unmasq
        .ask(&["honeypot", "report", "--top", "5", "--by", "passwords,users,software", &json_text])?
        .lines()
    {
        println!("   {}", line.trim_end());
    }
    drop((watch, trap, sshds, town, lab));

    step("On a real gateway");
    println!(
        "   docs/divert-ssh-clients.md      # the whole, step by step
   docs/honeypot.md                # what it looks like, what it writes, what it never does
   docs/honeypot-report.md         # pictures, pages, word lists"
    );
    Ok(())
}

/// Passwords that a real sshd has refused.
fn refused(sshd: &Sshd) -> Result<usize, Box<dyn Error>> {
    Ok(sshd.told("Failed password")?.len())
}

/// A folder in which the honeypot may write when it is no longer root.
fn own_folder(path: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir(path)?;
    let status = Command::new("chown").arg(ACCOUNT).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("chown {ACCOUNT} ends with {status}").into()) }
}
