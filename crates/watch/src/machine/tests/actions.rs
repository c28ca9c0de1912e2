//! Each action, to the letter, and what happens when one fails.

use super::*;
use crate::client::{Client, Lasted, Word};
use crate::machine::{Outcome, Resumed};

/// Runs one action, and a second step that shows that the entry went on; the acts, and the troubles.
fn act(action: &str, args: &str, values: &[(&str, Value<'_>)]) -> (Vec<String>, Vec<String>) {
    let mut machine = machine(&format!(
        r#"{{"c": [{{"action": "{action}", "args": {args}}}, {{"action": "action_noop"}}]}}"#
    ));
    let mut world = Pretended::default();
    run(&mut machine, &mut world, values);
    (world.acts, world.troubles.into_iter().map(|(_, trouble)| trouble).collect())
}

const LONDON: (&str, Value<'_>) = ("IP", Value::Text("192.0.2.7"));

#[test]
fn templates_are_filled_in() {
    let values = [("n", Value::Integer(7)), ("who", Value::Text("al{n}ice"))];
    assert_eq!(
        act("action_log", r#"{"message": "{who} {n:^5d}| {{}} {gone}", "level": "ERR"}"#, &values).0,
        ["log Err al{n}ice   7  | {} None", "noop"]
    );
    assert_eq!(act("action_log", r#"{"message": "x"}"#, &[]).0[0], "log Info x");
    assert_eq!(
        act("action_email", r#"{"message": "{n}", "subject": "{n}"}"#, &values).0[0],
        "email [{n}] 7",
        "a subject is never filled in"
    );
    assert_eq!(act("action_email", r#"{"message": ""}"#, &[]).0[0], "email [Pyruse Notification] ");
    let empty = act("action_email", r#"{"message": "", "subject": ""}"#, &[]).0;
    assert_eq!(empty[0], "email [Daily report] ", "the report's subject");
    for (level, details, expected) in [
        ("WARN", "FIRSTLAST", "report Warn FirstLast 7"),
        ("INFO", "NONE", "report Info None 7"),
        ("OTHER", "ALL", "report Other All 7"),
        ("warn", "first", "report Other All 7"),
    ] {
        let args = format!(r#"{{"level": "{level}", "message": "{{n}}", "details": "{details}"}}"#);
        assert_eq!(act("action_dailyReport", &args, &values).0[0], expected);
    }
}

#[test]
fn a_value_that_the_template_cannot_show_ends_the_way() {
    let (acts, troubles) = act("action_log", r#"{"message": "{gone:d}"}"#, &[]);
    assert_eq!((acts.len(), troubles.len()), (0, 1), "{troubles:?}");
}

#[test]
fn counters_count_by_any_value_but_a_list() {
    let chain = r#"{"c": [
        {"action": "action_counterRaise", "args": {"counter": "x", "for": "k", "keepSeconds": 10, "save": "n"}},
        {"action": "action_log", "args": {"message": "{n}"}}]}"#;
    let mut machine = machine(chain);
    let mut world = Pretended::default();
    for value in [
        Value::Text("a"),
        Value::Text("a"),
        Value::Text("b"),
        Value::Null,
        Value::Integer(1),
        Value::Bool(true),
    ] {
        run(&mut machine, &mut world, &[("k", value)]);
    }
    assert_eq!(
        world.acts,
        ["log Info 1", "log Info 2", "log Info 1", "log Info 1", "log Info 1", "log Info 2"]
    );
    run(&mut machine, &mut world, &[]);
    let mut twice = entry(&machine, &[]);
    let slot = machine.program().fields().find("k").expect("k is used");
    twice.push(slot, Value::Text("a"));
    twice.push(slot, Value::Text("b"));
    machine.run(&mut twice, &mut world);
    assert_eq!(world.acts.len(), 6, "neither went on");
    let troubles: Vec<&str> = world.troubles.iter().map(|(_, trouble)| trouble.as_str()).collect();
    assert_eq!(troubles, ["the entry has no field k", "k is a list, not one value that can be counted"]);
}

#[test]
fn a_reset_with_grace_keeps_the_count_at_nothing() {
    let mut machine = machine(
        r#"{"c": [
        {"filter": "filter_equals", "args": {"field": "what", "value": "good"}, "else": "bad"},
        {"action": "action_counterReset", "args": {"counter": "x", "for": "k", "graceSeconds": 1, "save": "n"}, "then": "show"}],
        "bad": [{"action": "action_counterRaise", "args": {"counter": "x", "for": "k", "save": "n"}, "then": "show"}],
        "show": [{"action": "action_log", "args": {"message": "{n}"}}]}"#,
    );
    let mut world = Pretended::default();
    for (what, millis) in [("bad", 0), ("good", 0), ("bad", 500), ("bad", 600)] {
        world.now = world.now + Duration::from_millis(millis);
        run(&mut machine, &mut world, &[("what", Value::Text(what)), ("k", Value::Text("a"))]);
    }
    assert_eq!(world.acts, ["log Info 1", "log Info 0", "log Info 0", "log Info 1"]);
}

#[test]
fn only_an_address_or_a_network_is_banned() {
    let args = r#"{"IP": "IP", "nftSetIPv4": "ip t four", "nftSetIPv6": "ip6 t six", "banSeconds": 60}"#;
    let ban = |value: Value<'_>| act("action_nftBan", args, &[("IP", value)]);
    assert_eq!(ban(Value::Text("192.0.2.7")).0, ["ban 192.0.2.7/32 in ip t four for Some(60)", "noop"]);
    assert_eq!(ban(Value::Text("2001:DB8::7")).0[0], "ban 2001:db8::7/128 in ip6 t six for Some(60)");
    assert_eq!(ban(Value::Text("::ffff:192.0.2.7")).0[0], "ban 192.0.2.7/32 in ip t four for Some(60)");
    assert_eq!(ban(Value::Text("192.0.2.7/24")).0[0], "ban 192.0.2.0/24 in ip t four for Some(60)");
    for hostile in [
        "1.2.3.4}; flush ruleset; add element ip x y {9.9.9.9",
        "192.0.2.7 timeout 1s",
        "192.0.2.7\n",
        "fe80::1%eth0",
        "192.0.2.7:22",
        "host.example.org",
        "",
    ] {
        let (acts, troubles) = ban(Value::Text(hostile));
        assert_eq!((acts.len(), troubles.len()), (0, 1), "{hostile:?}");
    }
    for value in [Value::Null, Value::Integer(3_232_235_777), Value::Bytes(b"192.0.2.7")] {
        assert_eq!(ban(value).1.len(), 1);
    }
    assert_eq!(act("action_nftBan", args, &[]).1, ["the entry has no field IP"]);
}

#[test]
fn a_ban_for_ever_has_no_time() {
    for seconds in ["", r#", "banSeconds": 0"#, r#", "banSeconds": null"#] {
        let args = format!(r#"{{"IP": "IP", "ipSetIPv4": "four", "ipSetIPv6": "six"{seconds}}}"#);
        assert_eq!(act("action_ipsetBan", &args, &[LONDON]).0[0], "ban 192.0.2.7/32 in four for None");
    }
}

#[test]
fn what_the_world_refuses_ends_the_way() {
    let mut machine =
        machine(r#"{"c": [{"action": "action_noop"}, {"action": "action_log", "args": {"message": ""}}]}"#);
    let mut world = Pretended { refuses: Some("the disk is full".to_owned()), ..Pretended::default() };
    run(&mut machine, &mut world, &[]);
    assert_eq!(world.troubles.len(), 1);
    let stats: Vec<_> =
        machine.stats().iter().map(|stats| (stats.seen, stats.matched, stats.errors)).collect();
    assert_eq!(stats, [(1, 0, 1), (0, 0, 0)]);
}

fn captured(args: &str, values: &[(&str, Value<'_>)]) -> Option<Capture> {
    let mut machine = machine(&format!(r#"{{"c": [{{"action": "action_dnatCapture", "args": {args}}}]}}"#));
    let mut world = Pretended::default();
    let mut entry = entry(&machine, values);
    entry.time = Some(Timestamp::from_seconds(1000));
    machine.run(&mut entry, &mut world);
    assert_eq!(world.troubles, []);
    world.captures.pop()
}

#[test]
fn a_capture_takes_fields_and_constants() {
    let args = r#"{"saddr": "client", "sport": "cport", "addr": "baddr", "addrValue": "10.0.0.1", "port": "bport",
        "daddrValue": "10.0.0.2", "dportValue": 5222, "lasted": "tt"}"#;
    let values = [
        ("client", Value::Text("192.0.2.7")),
        ("cport", Value::Text("40000")),
        ("bport", Value::Text("50000")),
    ];
    let capture = captured(args, &values).expect("a translation");
    assert_eq!((&*capture.client, capture.client_port.as_deref()), ("192.0.2.7", Some("40000")));
    assert_eq!(
        capture.masked.words[0],
        Some(Word::parse("10.0.0.1")),
        "the constant, as the field is missing"
    );
    assert_eq!(
        capture.masked.words[1..],
        [Some(Word::Number(50_000)), Some(Word::parse("10.0.0.2")), Some(Word::Number(5222))]
    );
    assert_eq!(capture.time, Timestamp::from_seconds(1000));
    assert_eq!(capture.until, Timestamp::from_seconds(1063), "Pyruse's default of 63 seconds, exactly");
    assert_eq!(capture.lasted, Lasted::Unknown);

    let values =
        [("client", Value::Text("::1")), ("baddr", Value::Text("10.9.9.9")), ("tt", Value::Text("+1500"))];
    let capture = captured(args, &values).expect("a translation");
    assert_eq!(capture.masked.words[0], Some(Word::parse("10.9.9.9")));
    assert_eq!((capture.client_port, capture.lasted), (None, Lasted::GoesOn));
}

#[test]
fn without_a_client_or_what_masks_it_nothing_is_captured() {
    let args = r#"{"saddr": "client", "addr": "baddr"}"#;
    assert_eq!(captured(args, &[("client", Value::Text("192.0.2.7"))]), None);
    assert_eq!(captured(args, &[("baddr", Value::Text("10.0.0.1"))]), None);
    assert_eq!(captured(args, &[("client", Value::Null), ("baddr", Value::Text("10.0.0.1"))]), None);
    assert!(
        captured(args, &[("client", Value::Text("192.0.2.7")), ("baddr", Value::Text("10.0.0.1"))]).is_some()
    );
}

const REPLACE: &str = r#"{"c": [
    {"action": "action_dnatReplace", "args": {"saddrInto": "ip", "sportInto": "port", "addr": "ip", "port": "port",
      "waitSeconds": 5 MORE}},
    {"action": "action_log", "args": {"message": "{ip} {port} ({UNMASQ_MASKED}, {UNMASQ_EVIDENCE})"}}]}"#;

const MASKED: [(&str, Value<'_>); 2] = [("ip", Value::Text("10.0.0.1")), ("port", Value::Integer(50_000))];

fn client(port: Option<&str>) -> Client {
    Client { address: "192.0.2.7".to_owned(), port: port.map(str::to_owned), evidence: "a line".to_owned() }
}

#[test]
fn a_replace_writes_the_client_and_how_it_is_known() {
    let mut machine = machine(&REPLACE.replace(" MORE", ""));
    let mut world = Pretended { answer: Answer::Known(client(Some("40000"))), ..Pretended::default() };
    run(&mut machine, &mut world, &MASKED);
    world.answer = Answer::Known(client(None));
    run(&mut machine, &mut world, &MASKED);
    world.answer = Answer::Unknown;
    run(&mut machine, &mut world, &MASKED);
    assert_eq!(
        world.acts,
        [
            "log Info 192.0.2.7 40000 (10.0.0.1:50000, a line)",
            "log Info 192.0.2.7 50000 (10.0.0.1:50000, a line)",
            "log Info 10.0.0.1 50000 (None, None)"
        ],
        "a port that nobody captured leaves the entry's alone"
    );
    let (step, asked, question) = &world.questions[0];
    assert_eq!((machine.program().asked(), machine.program().asked_by(*step)), (vec![*asked], Some(*asked)));
    assert_eq!(question.wait, Some(Duration::from_secs(5)));
}

#[test]
fn a_replace_asks_nothing_where_a_word_is_missing() {
    let mut machine = machine(&REPLACE.replace(" MORE", ""));
    let mut world = Pretended { answer: Answer::Known(client(None)), ..Pretended::default() };
    run(&mut machine, &mut world, &MASKED[..1]);
    run(&mut machine, &mut world, &[MASKED[0], ("port", Value::Null)]);
    assert_eq!((world.questions.len(), world.acts.len()), (0, 2));
}

#[test]
fn an_entry_waits_and_goes_on_where_it_stood() {
    let mut machine = machine(&REPLACE.replace(" MORE", ""));
    machine.watch();
    let mut world = Pretended { answer: Answer::Later, ..Pretended::default() };
    let (ended, mut waiting) = run(&mut machine, &mut world, &MASKED);
    let Ended::Waits { resume, question } = ended else { panic!("{ended:?}") };
    assert_eq!(machine.path()[0].outcome, Outcome::Waits);
    assert_eq!(world.acts.len(), 0);
    let place = machine.program().place_of(resume);
    assert_eq!(machine.program().resume_at(&place), Some(resume));
    let known = Resumed::Corrected { question, client: client(Some("1")) };
    let ended = machine.resume(&mut waiting, resume, &known, &mut world);
    assert_eq!((ended, world.acts.len()), (Ended::Done, 1));
    assert_eq!(world.acts[0], "log Info 192.0.2.7 1 (10.0.0.1:50000, a line)");
}

#[test]
fn on_timeout_an_entry_passes_or_is_skipped_and_skipped_before_a_ban() {
    let ban = r#", {"action": "action_nftBan", "args": {"IP": "ip", "nftSetIPv4": "ip t a", "nftSetIPv6": "ip t b"}}]}"#;
    for (more, follows, passes) in [
        ("", "]}", true),
        ("", ban, false),
        (r#", "onTimeout": "pass""#, ban, true),
        (r#", "onTimeout": "skip""#, "]}", false),
    ] {
        let chain = REPLACE.replace(" MORE", more);
        let chain = format!("{}{follows}", chain.strip_suffix("]}").expect("a list"));
        let mut machine = machine(&chain);
        let mut world = Pretended { answer: Answer::Later, ..Pretended::default() };
        let (ended, mut waiting) = run(&mut machine, &mut world, &MASKED);
        let Ended::Waits { resume, .. } = ended else { panic!("{ended:?}") };
        machine.resume(&mut waiting, resume, &Resumed::TimedOut, &mut world);
        assert_eq!(!world.acts.is_empty(), passes, "{more} {follows}");
    }
}
