//! What is known of a flow's start and end when not all of its lines are there.

use unmasq_flow::Selector;

use super::*;

const T: i64 = 1_795_259_950;

/// A line of `conntrack -E -o timestamp,id` at `T + seconds`.
fn line(seconds: i64, event: &str, client: &str, masked_port: u16, id: Option<u32>) -> String {
    let id = id.map_or(String::new(), |id| format!(" id={id}"));
    format!(
        "[{}.000000]\t{event:>9} tcp      6 src={client} dst=203.0.113.80 sport=40001 dport=8080 \
         src=203.0.113.80 dst=203.0.113.1 sport=8080 dport={masked_port}{id}\n",
        T + seconds
    )
}

fn flows(lines: &[String], max_open: usize) -> Vec<Flow> {
    let (paired, refused) = read(Format::Conntrack, lines.concat().as_bytes(), Settings::default(), max_open);
    assert_eq!(refused, BTreeMap::new());
    paired.into_iter().map(|p| p.flow).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T + seconds)
}

#[test]
fn a_flow_without_an_end_stays_open_until_its_tuple_is_seen_again() {
    let a = line(0, "[NEW]", "192.168.101.2", 40001, None);
    assert_eq!(flows(std::slice::from_ref(&a), 10)[0].end, Bound::Unknown);

    let same_client = flows(&[a.clone(), line(9, "[NEW]", "192.168.101.2", 40001, None)], 10);
    assert_eq!(same_client[0].end, Bound::Between(at(0), at(9)));
    assert_eq!((same_client[1].start, same_client[1].end), (Bound::Read(at(9)), Bound::Unknown));

    let other_client = flows(&[a.clone(), line(9, "[NEW]", "192.168.101.3", 40001, None)], 10);
    assert_eq!(other_client[0].end, Bound::Between(at(0), at(9)), "one reply tuple, one flow");

    let other_port = flows(&[a, line(9, "[NEW]", "192.168.101.2", 40002, None)], 10);
    assert_eq!([other_port[0].end, other_port[1].end], [Bound::Unknown; 2]);
}

#[test]
fn a_later_sighting_moves_the_earliest_end() {
    let lines = [
        line(0, "[NEW]", "192.168.101.2", 40001, Some(1)),
        line(5, "[UPDATE]", "192.168.101.2", 40001, Some(1)),
        line(9, "[UPDATE]", "192.168.101.2", 40001, Some(2)),
    ];
    let flows = flows(&lines, 10);
    assert_eq!((flows[0].start, flows[0].end), (Bound::Read(at(0)), Bound::Between(at(5), at(9))));
    assert_eq!(
        (flows[1].start, flows[1].end),
        (Bound::Between(at(5), at(9)), Bound::Unknown),
        "another id, so another flow"
    );
}

#[test]
fn an_end_alone_bounds_the_start() {
    let flows = flows(&[line(3, "[DESTROY]", "192.168.101.2", 40001, Some(1))], 10);
    assert_eq!((flows[0].start, flows[0].end), (Bound::Between(Timestamp::MIN, at(3)), Bound::Read(at(3))));
}

#[test]
fn the_lifetime_puts_the_end_before_its_reading() {
    let destroy =
        line(60, "[DESTROY]", "192.168.101.2", 40001, Some(1)).replace(" id=", " delta-time=30 id=");
    let flows = flows(&[line(0, "[NEW]", "192.168.101.2", 40001, Some(1)), destroy.clone()], 10);
    assert_eq!(flows[0].end, Bound::Between(at(29), at(31)));
    let lone = self::flows(&[destroy], 10);
    assert_eq!((lone[0].start, lone[0].end), (Bound::Between(Timestamp::MIN, at(31)), Bound::Read(at(60))));
}

#[test]
fn a_doubled_log_gives_each_flow_once() {
    let new = line(0, "[NEW]", "192.168.101.2", 40001, Some(1));
    assert_eq!(flows(&[new.clone(), new.clone()], 10).len(), 1);
}

#[test]
fn a_clock_that_steps_back_leaves_bounds_in_order() {
    let lines = [
        line(0, "[NEW]", "192.168.101.2", 40001, Some(1)),
        line(-7, "[NEW]", "192.168.101.2", 40001, Some(2)),
    ];
    assert_eq!(flows(&lines, 10)[0].end, Bound::Between(at(-7), at(0)));
}

#[test]
fn more_open_flows_than_fit_are_given_out_the_oldest_first() {
    let mut lines: Vec<String> =
        (0..20).map(|n| line(n, "[NEW]", "192.168.101.2", 1000 + n as u16, None)).collect();
    lines.push(line(30, "[DESTROY]", "192.168.101.2", 1000, None));
    lines.push(line(30, "[DESTROY]", "192.168.101.2", 1019, None));
    let flows = flows(&lines, 8);
    assert_eq!(flows.len(), 21, "the one that was given out early has its end as a flow of its own");
    assert_eq!((flows[0].masked.selector, flows[0].end), (Selector::Port(1000), Bound::Unknown));
    let last = flows.iter().find(|f| f.masked.selector == Selector::Port(1019)).unwrap();
    assert_eq!((last.start, last.end), (Bound::Read(at(19)), Bound::Read(at(30))));
}

#[test]
fn pings_that_cannot_be_told_apart_do_not_end_each_other() {
    let ping = |second: u32, event: &str| {
        format!(
            "Nov 21 11:22:{second:02} vm [{event}] ORIG: SRC=192.168.101.2 DST=203.0.113.80 PROTO=ICMP TYPE=0 CODE=8 PKTS=0 \
             BYTES=0 , REPLY: SRC=203.0.113.80 DST=203.0.113.1 PROTO=ICMP TYPE=0 CODE=8 PKTS=0 BYTES=0 \n"
        )
    };
    let started = [ping(1, "NEW"), ping(2, "NEW")].concat();
    let read = |log: &str| read(Format::UlogdEmu, log.as_bytes(), settings(Some("UTC"), Some(2026)), 10).0;
    let open: Vec<String> = read(&started).iter().map(|p| bound(p.flow.start)).collect();
    assert_eq!(open, ["11:22:01Z..11:22:01.999999999Z", "11:22:02Z..11:22:02.999999999Z"]);

    let ended = read(&[started, ping(9, "DESTROY"), ping(10, "DESTROY")].concat());
    assert_eq!(ended.len(), 2);
    for paired in ended {
        assert_eq!(bound(paired.flow.start), "11:22:01Z..11:22:02.999999999Z", "either of the two");
        assert!(paired.flow.end.is_closed());
    }
}

#[test]
fn what_was_open_at_a_mark_is_known_when_it_ends() {
    let mut parser = Parser::new(Format::Conntrack, Settings::default());
    let mut pairer = Pairer::new(Origin::new("s", ""), 10);
    let mut known = Vec::new();
    let mut push = |pairer: &mut Pairer, line: String| {
        let sighting = parser.line(line.trim_end().as_bytes()).unwrap().unwrap();
        pairer.push(&sighting, &mut |paired| known.push(paired.is_known));
    };
    push(&mut pairer, line(0, "[NEW]", "192.168.101.2", 1, None));
    pairer.mark_known();
    push(&mut pairer, line(1, "[NEW]", "192.168.101.2", 2, None));
    push(&mut pairer, line(2, "[DESTROY]", "192.168.101.2", 1, None));
    push(&mut pairer, line(2, "[DESTROY]", "192.168.101.2", 2, None));
    assert_eq!(known, [true, false]);
}
