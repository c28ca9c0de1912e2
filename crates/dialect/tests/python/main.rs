//! What Python itself says, beside what this crate does: the same patterns on the same texts, the same
//! templates with the same values. Needs `python3` of 3.11 or later.

mod patterns;
mod templates;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// Asks one Python process all the questions.
fn ask(questions: &[Json]) -> Vec<Json> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/oracle.py");
    let mut python = Command::new("python3")
        .args(["-W", "ignore", script])
        .env("PYTHONIOENCODING", "utf-8")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let mut input = python.stdin.take().expect("it was asked for");
    let lines: Vec<String> = questions.iter().map(|question| format!("{question}\n")).collect();
    let writer =
        std::thread::spawn(move || lines.iter().all(|line| input.write_all(line.as_bytes()).is_ok()));
    let output = BufReader::new(python.stdout.take().expect("it was asked for"));
    let answers = output.lines().map(|line| line.expect("Python writes UTF-8"));
    let answers: Vec<Json> =
        answers.map(|line| serde_json::from_str(&line).expect("the oracle writes JSON")).collect();
    assert!(writer.join().expect("the writer does not panic"), "Python stopped reading");
    assert!(python.wait().expect("Python ends").success());
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Random choices that are the same in every run, or as `UNMASQ_SEED` says.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("UNMASQ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        println!("UNMASQ_SEED={seed}");
        Self(seed)
    }

    /// Below `end`. (SplitMix64.)
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Up to `most` characters of `alphabet`.
    fn text(&mut self, alphabet: &[char], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}
