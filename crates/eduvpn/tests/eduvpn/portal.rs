//! The portal's answers, good and bad.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use unmasq_eduvpn::{Authorities, EduvpnError, NodeConfig, Password, Portal, PortalNetworks, Uri};

use crate::server::{Server, request};

const PASSWORD: &str = "s3cr:et/ü";

pub(crate) fn node(uri: &str) -> NodeConfig {
    NodeConfig {
        uri: Uri::parse(uri).unwrap(),
        user: "vpn-server-node".to_owned(),
        password: Password::new(PASSWORD),
        profiles: Vec::new(),
    }
}

fn ask(server: &Server) -> Result<PortalNetworks, EduvpnError> {
    ask_within(server, Duration::from_secs(20))
}

fn ask_within(server: &Server, timeout: Duration) -> Result<PortalNetworks, EduvpnError> {
    let node = node(&format!("http://{}/vpn-server-api/api.php", server.address));
    Portal::new(node, &Authorities::System, timeout).unwrap().networks()
}

/// The error of an answer, after a check that it keeps the password.
fn refused(server: &Server) -> EduvpnError {
    let error = ask(server).unwrap_err();
    for secret in [PASSWORD, "s3cr", "dnBuLXNlcnZlci1ub2Rl"] {
        assert!(!error.to_string().contains(secret) && !format!("{error:?}").contains(secret), "{error:?}");
    }
    assert!(
        error.to_string().contains(&format!("http://{}/vpn-server-api/api.php/profile_list", server.address))
    );
    error
}

const GOOD: &str = r#"{"profile_list":{"ok":true,"data":{
    "office":{"profileNumber":2,"displayName":"Office","range":"10.9.0.7/24","range6":"fd00::/64","hostName":"o"},
    "internet":{"profileNumber":1,"range":"10.8.0.0/24","vpnProtoPorts":["udp/1195"]}}}}"#;

#[test]
fn the_portal_is_asked_as_eduvpns_node_asks_it() {
    let server = Server::answer("200 OK", GOOD);
    let found = ask(&server).unwrap();
    let texts: Vec<_> = found.networks.iter().map(|network| network.text.as_str()).collect();
    assert_eq!(texts, ["10.9.0.0/25", "10.9.0.128/25", "10.8.0.0/24"]);

    let asked = server.asked();
    let head = asked.to_ascii_lowercase();
    assert!(asked.starts_with("GET /vpn-server-api/api.php/profile_list HTTP/1.1\r\n"), "{asked}");
    // printf 'vpn-server-node:s3cr:et/ü' | base64
    assert!(asked.contains("Basic dnBuLXNlcnZlci1ub2RlOnMzY3I6ZXQvw7w=\r\n"), "{asked}");
    assert!(head.contains("\r\naccept: application/json\r\n") && !head.contains("text/html"), "{asked}");
}

#[test]
fn a_proxy_of_the_environment_does_not_get_the_password() {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    // A process's own environment cannot be changed while it has threads.
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "portal::the_portal_is_asked_as_eduvpns_node_asks_it"]);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        test.env(name, &address);
    }
    test.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = test.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    proxy.set_nonblocking(true).unwrap();
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn an_answer_in_chunks_is_read() {
    let (first, second) = GOOD.split_at(40);
    let server = Server::bytes(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    ));
    assert_eq!(ask(&server).unwrap().networks.len(), 3);
}

#[test]
fn nobody_listening_is_a_refused_connection() {
    // A port that the kernel gives nobody who asks for any: of those, another program has each that was free a moment ago.
    const TCPMUX: u16 = 1;
    for host in ["127.0.0.1", "localhost"] {
        let node = node(&format!("http://{host}:{TCPMUX}/api.php"));
        let error = Portal::new(node, &Authorities::System, Portal::TIMEOUT).unwrap().networks().unwrap_err();
        assert!(matches!(error, EduvpnError::Refused { .. }), "{host}: {error:?}");
    }
}

#[test]
fn a_name_without_an_address_is_told() {
    let node = node("http://portal.invalid/api.php");
    let error = Portal::new(node, &Authorities::System, Portal::TIMEOUT).unwrap().networks().unwrap_err();
    // A machine without any resolver may only time out.
    assert!(matches!(error, EduvpnError::NoSuchHost { .. } | EduvpnError::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_portal_that_is_silent_times_out_wherever_it_stops() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"prof"]
    {
        let server = Server::with(move |mut connection| {
            let asked = request(&mut connection);
            // Until the client gives up, which it may have done already.
            let _ = std::io::Write::write_all(&mut connection, begun.as_bytes());
            request(&mut connection);
            asked
        });
        let error = ask_within(&server, Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, EduvpnError::TimedOut { .. }), "{begun:?}: {error:?}");
        assert!(error.to_string().contains("within 0.3 s"), "{error}");
        server.asked();
    }
}

#[test]
fn a_wrong_password_is_told_with_the_user() {
    let error =
        refused(&Server::answer("401 Unauthorized", r#"{"error":"invalid authentication information"}"#));
    let EduvpnError::Unauthorized { user, said, .. } = &error else { panic!("{error:?}") };
    assert_eq!((user.as_str(), said.as_str()), ("vpn-server-node", "\"invalid authentication information\""));
}

#[test]
fn other_statuses_are_told_with_the_portals_words() {
    for (line, body, status, said) in [
        ("403 Forbidden", r#"{"error":"not allowed"}"#, 403, "\"not allowed\""),
        ("404 Not Found", "<html>\n", 404, "\"<html>\""),
        ("500 Internal Server Error", "", 500, "nothing"),
        ("301 Moved Permanently\r\nLocation: http://127.0.0.1:1/", "", 301, "nothing"),
    ] {
        let error = refused(&Server::answer(line, body));
        let EduvpnError::Status { status: found, said: words, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*found, words.as_str()), (status, said));
    }
}

#[test]
fn a_portal_that_repeats_the_password_does_not_get_it_into_a_message() {
    let body = format!("Authorization: Basic dnBuLXNlcnZlci1ub2RlOnMzY3I6ZXQvw7w= {PASSWORD}");
    let error = refused(&Server::answer("500 Oops", &body));
    assert!(error.to_string().contains("Basic (hidden) (hidden)"), "{error}");
    refused(&Server::answer("200 OK", &body));
    refused(&Server::bytes(body));
}

#[test]
fn answers_that_are_no_list_of_profiles_are_told_apart() {
    let empty = refused(&Server::answer("200 OK", " \n"));
    assert!(matches!(empty, EduvpnError::Empty { .. }), "{empty:?}");
    let page = refused(&Server::answer("200 OK", "<!DOCTYPE html>"));
    assert!(
        matches!(&page, EduvpnError::NotJson { begins, .. } if begins == "\"<!DOCTYPE html>\""),
        "{page:?}"
    );
    let other =
        refused(&Server::answer("200 OK", r#"{"profile_list":{"ok":true,"data":{"a":{"range":5}}}}"#));
    assert!(
        other.to_string().contains("profile_list.data.a.range in its answer is a number, not a string"),
        "{other}"
    );
    let failed = refused(&Server::answer("200 OK", r#"{"profile_list":{"ok":false,"error":"broken"}}"#));
    assert!(matches!(&failed, EduvpnError::Failed { said, .. } if said == "\"broken\""), "{failed:?}");
}

#[test]
fn profiles_that_give_no_networks_are_named() {
    let server =
        Server::answer("200 OK", r#"{"profile_list":{"ok":true,"data":{"a":{"range6":"fd00::/64"}}}}"#);
    let error = ask(&server).unwrap_err();
    assert!(matches!(&error, EduvpnError::NoRange { profile } if profile == "a"), "{error:?}");
    let server =
        Server::answer("200 OK", r#"{"profile_list":{"ok":true,"data":{"a":{"range":"10.8.0.0/30"}}}}"#);
    let error = ask(&server).unwrap_err();
    assert!(matches!(&error, EduvpnError::Range { .. }), "{error:?}");
}

#[test]
fn a_connection_that_breaks_and_what_is_no_http_are_told() {
    for answer in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"prof"] {
        let error = refused(&Server::bytes(answer));
        assert!(matches!(error, EduvpnError::Transport { .. }), "{answer:?}: {error:?}");
    }
}

#[test]
fn an_endless_answer_is_cut_off() {
    let body = " ".repeat(5 << 20);
    let error = refused(&Server::answer("200 OK", &body));
    assert!(matches!(error, EduvpnError::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_portal_is_printed_without_its_password() {
    let portal =
        Portal::new(node("http://localhost/api.php"), &Authorities::System, Portal::TIMEOUT).unwrap();
    assert!(!format!("{portal:?}").contains("s3cr"));
}
