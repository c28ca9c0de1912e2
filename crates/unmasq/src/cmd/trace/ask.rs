//! Asks, and asks again while the record of the last second is still being written.

use std::time::Duration;

use unmasq_flow::{GapReason, Period};
use unmasq_trace::{Answer, Inquiry, Shortfall, Witness, answer};

/// A recorder that runs has stated so within this time.
const STATED_WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
const PAUSES: u32 = 20;

/// The answer to an inquiry. If all that is missing is the last moment before now, and the recorder stated a moment ago that it
/// runs, it gets two seconds to state it again: what it had not written yet is written then.
pub(super) fn until_settled(inquiry: &Inquiry, witnesses: &mut [Box<dyn Witness>]) -> Answer {
    let mut last = answer(inquiry, witnesses);
    if !is_late(&last) {
        return last;
    }
    let lately = Period { from: inquiry.now - STATED_WITHIN, to: inquiry.now };
    let probe = answer(&Inquiry { windows: vec![lately], ..inquiry.clone() }, witnesses);
    // One that began a moment ago has a gap before that.
    let was_running = !gaps(&probe).any(|gap| gap.from <= lately.from && gap.to >= lately.to);
    for _ in 0..PAUSES {
        if !was_running || !is_late(&last) {
            break;
        }
        std::thread::sleep(PAUSE);
        last = answer(inquiry, witnesses);
    }
    last
}

/// Is all that is missing a gap in the last moment before now?
fn is_late(answer: &Answer) -> bool {
    let recently = answer.inquiry.now - STATED_WITHIN;
    let is_down = |shortfall: &Shortfall| match shortfall {
        Shortfall::NotCovered(missing) => missing.gap.reason == GapReason::Down && !missing.stream.is_empty(),
        _ => false,
    };
    !answer.shortfalls.is_empty()
        && answer.shortfalls.iter().all(is_down)
        && gaps(answer).all(|gap| gap.from >= recently)
        && answer.damage.is_empty()
}

fn gaps(answer: &Answer) -> impl Iterator<Item = Period> {
    answer.shortfalls.iter().filter_map(|shortfall| match shortfall {
        Shortfall::NotCovered(missing) => Some(missing.gap.period),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use unmasq_flow::{Coverage, DestinationPolicy, Scope, ScopeKind, Timestamp};
    use unmasq_trace::{
        ClientQuestion, Closing, Hit, Question, Standing, StreamCoverage, StreamKind, Testimony, WitnessError,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    /// A recorder that has covered a period by the time of the first questions, and up to now by that of the later ones.
    struct Behind {
        first: Period,
        asked: u32,
    }

    impl Witness for Behind {
        fn name(&self) -> String {
            "a recorder".to_owned()
        }

        fn ask(&mut self, _: &Question) -> Result<Testimony, WitnessError> {
            self.asked += 1;
            let covered = if self.asked > 2 { Period { to: NOW, ..self.first } } else { self.first };
            let scope =
                Scope { namespace: "".into(), kind: ScopeKind::All, destinations: DestinationPolicy::Keep };
            let coverage = Coverage {
                covered: vec![(covered, scope)],
                is_clock_synchronised: true,
                ..Coverage::default()
            };
            let stream = StreamCoverage {
                stream: "gw1".to_owned(),
                kind: StreamKind::Recorder,
                coverage,
                standing: Standing::NotLooked,
            };
            Ok(Testimony { coverage: vec![stream], ..Testimony::default() })
        }

        fn of_client(
            &mut self,
            _: &ClientQuestion,
            _: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> Result<Closing, WitnessError> {
            Ok(Closing::default())
        }
    }

    fn shortfalls(first: Period) -> Vec<Shortfall> {
        let inquiry = Inquiry::new("203.0.113.1:61002".parse().unwrap(), Period::at(NOW), NOW);
        until_settled(&inquiry, &mut [Box::new(Behind { first, asked: 0 })]).shortfalls
    }

    #[test]
    fn a_recorder_gets_the_time_to_state_the_last_moment_also_when_it_has_just_begun() {
        let until = NOW - Duration::from_millis(30);
        for ago in [3600, 1] {
            let first = Period { from: NOW - Duration::from_secs(ago), to: until };
            assert_eq!(shortfalls(first), [], "it began {ago} s ago");
        }
    }

    #[test]
    fn a_recorder_that_does_not_run_is_not_waited_for() {
        let first = Period { from: NOW - Duration::from_secs(3600), to: NOW - Duration::from_secs(4) };
        assert_ne!(shortfalls(first), []);
    }
}
