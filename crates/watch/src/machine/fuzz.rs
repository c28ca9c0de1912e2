//! Any configuration and any values, in a world that does nothing; for fuzzing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use unmasq_entry::{Entry, Value};
use unmasq_flow::Timestamp;

use super::{Act, Ended, Machine, Resumed, World};
use crate::client::{Answer, Capture, Question, Subset};
use crate::config::{Config, Spelling};
use crate::counters::CategoryId;
use crate::program::{Program, StepId};

struct Nowhere;

impl World for Nowhere {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(0)
    }

    fn raise(&mut self, _: StepId, _: CategoryId, _: Value<'_>, _: Option<Duration>) -> Result<u64, String> {
        Ok(3)
    }

    fn reset(&mut self, _: StepId, _: CategoryId, _: Value<'_>, _: Option<Duration>) -> Result<(), String> {
        Ok(())
    }

    fn user_exists(&mut self, name: &str) -> Result<bool, String> {
        Ok(name.len().is_multiple_of(2))
    }

    fn capture(&mut self, _: StepId, _: Capture) -> Result<(), String> {
        Ok(())
    }

    fn replace(&mut self, _: StepId, _: Subset, _: &Question) -> Answer {
        Answer::Later
    }

    fn act(&mut self, _: StepId, _: Act<'_>, _: &Entry) -> Result<(), String> {
        Ok(())
    }

    fn trouble(&mut self, _: StepId, _: &str) {}
}

/// Runs entries through any program: with values of many types, watched and not, waiting and resumed.
fn fuzz_machine(program: Program) {
    const VALUES: [Value<'static>; 8] = [
        Value::Text("Failed password for x from 192.0.2.7 port 22"),
        Value::Text("::ffff:192.0.2.7"),
        Value::Text(""),
        Value::Integer(i64::MIN),
        Value::Null,
        Value::Bytes(b"\xff\0"),
        Value::Time(Timestamp::MAX),
        Value::Float(f64::NAN),
    ];
    let program = Arc::new(program);
    let mut machine = Machine::in_zone(Arc::clone(&program), TimeZone::UTC);
    for shift in 0..=VALUES.len() {
        let mut entry = Entry::new(program.fields());
        for (slot, _) in program.fields().iter() {
            if let Some(value) = VALUES.get((slot.index() + shift) % (VALUES.len() + 1)) {
                entry.set(slot, *value);
            }
        }
        let mut ended = machine.run(&mut entry, &mut Nowhere);
        // Each wait is at a step further on, as there are no loops.
        while let Ended::Waits { resume, .. } = ended {
            assert_eq!(program.resume_at(&program.place_of(resume)), Some(resume), "a place has one name");
            ended = machine.resume(&mut entry, resume, &Resumed::Pass, &mut Nowhere);
        }
        machine.watch();
    }
}

/// Reads any bytes as a configuration in every spelling, compiles it, draws it, and runs an entry through it; for
/// fuzzing.
pub fn fuzz_program(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for (name, spelling) in
        [("f.json", Spelling::Json), ("f.toml", Spelling::Toml), ("f.yaml", Spelling::Yaml)]
    {
        let Ok(loaded) = Config::parse(Path::new(name), text, spelling) else { continue };
        match Program::compile(&loaded) {
            Ok(compiled) => {
                drop(compiled.program.dot());
                fuzz_machine(compiled.program);
            }
            Err(problems) => drop(loaded.show(problems).to_string()),
        }
    }
}
