//! Pyruse's own integration scenario in other words: two hosts, logins that succeed and fail, a ban at the third
//! failure, a report, and a last chain for what nothing else handled.

use super::*;

/// Chains of the same structure as those of Pyruse's test.
const CHAINS: &str = r#"{
  "logins": [
    {"filter": "filter_equals", "args": {"field": "service", "value": "login"}},
    {"filter": "filter_pcre", "args": {"field": "MESSAGE", "re": "^Accepted password for (.*) from ([^ ]*)$",
      "save": ["user", "ip"]}, "else": "failures"},
    {"action": "action_counterReset", "args": {"counter": "failures", "for": "ip"}},
    {"action": "action_dailyReport", "args": {"level": "INFO", "message": "{user} logged in from {ip}"}, "then": "acted"}
  ],
  "failures": [
    {"filter": "filter_pcre", "args": {"field": "MESSAGE", "re": "^Failed password for (.*) from ([^ ]*)$",
      "save": ["user", "ip"]}},
    {"filter": "filter_userExists", "args": {"field": "user"}, "else": "nobody"},
    {"action": "action_email", "args": {"subject": "Look here",
      "message": "{user}@{_HOSTNAME} failed at {__REALTIME_TIMESTAMP}."}},
    {"action": "action_dailyReport", "args": {"level": "WARN", "message": "{user} failed from {ip}"}, "then": "count"}
  ],
  "nobody": [
    {"action": "action_dailyReport", "args": {"level": "INFO", "message": "{user} failed from {ip}"}, "then": "count"}
  ],
  "count": [
    {"action": "action_counterRaise", "args": {"counter": "failures", "for": "ip", "keepSeconds": 600, "save": "n"}},
    {"filter": "filter_greaterOrEquals", "args": {"field": "n", "value": 3}},
    {"action": "action_nftBan", "args": {"IP": "ip", "banSeconds": 100, "nftSetIPv4": "ip four bans",
      "nftSetIPv6": "ip6 six bans"}, "then": "acted"}
  ],
  "nothing handled it": [
    {"action": "action_log", "args": {"message": "filter came last: {_HOSTNAME}/{service} {MESSAGE}"}}
  ],
  "acted": [
    {"action": "action_log", "args": {"level": "DEBUG", "message": "action came last: {_HOSTNAME}/{service} {MESSAGE}"}}
  ]
}"#;

const ENTRIES: [(&str, &str, &str); 12] = [
    ("gate", "ftp", "some transfer"),
    ("gate", "login", "Failed password for No Such User from 1.2.3.4"),
    ("gate", "login", "Failed password for nobody from 5.6.7.8"),
    ("gate", "login", "Session of root on localhost ended"),
    ("gate", "login", "Failed password for Such No User from 1.2.3.4"),
    ("back", "ftp", "another transfer"),
    ("gate", "login", "Accepted password for root from 1.2.3.4"),
    ("back", "login", "Failed password for root from 1.2.3.4"),
    ("back", "login", "Failed password for nobody from 1.2.3.4"),
    ("gate", "login", "Failed password for stranger from 1.2.3.4"),
    ("gate", "login", "Failed password for nobody from 5.6.7.8"),
    ("back", "login", "Failed password for root from ::1"),
];

#[test]
fn twelve_entries_make_one_ban_five_mails_and_a_report() {
    let mut machine = machine(CHAINS);
    let mut world = Pretended { users: vec!["root", "nobody"], ..Pretended::default() };
    for (host, service, message) in ENTRIES {
        let values = [
            ("_HOSTNAME", Value::Text(host)),
            ("service", Value::Text(service)),
            ("MESSAGE", Value::Text(message)),
            ("__REALTIME_TIMESTAMP", Value::Time(world.now)),
        ];
        run(&mut machine, &mut world, &values);
    }
    assert_eq!(world.troubles, []);
    let counts = count(&world.acts);
    assert_eq!(counts["email"], 5);
    assert_eq!(counts["ban"], 1);
    assert_eq!(counts["report"], 9);
    assert!(
        world.acts.contains(&"ban 1.2.3.4/32 in ip four bans for Some(100)".to_owned()),
        "{:?}",
        world.acts
    );
    let last = |kind: &str| world.acts.iter().filter(|act| act.starts_with(kind)).count();
    assert_eq!(last("log Info filter came last"), 10);
    assert_eq!(last("log Debug action came last"), 2);
    assert_eq!(
        world.acts[1..3],
        [
            "report Info All No Such User failed from 1.2.3.4",
            "log Info filter came last: gate/login Failed password for No Such User from 1.2.3.4"
        ]
    );
}
