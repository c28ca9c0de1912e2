//! `unmasq ledger …`: running it, and the logs that it is run on.

#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs fails")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;

use crate::support::Said;

/// A log that a real program wrote: a path below `crates/import/tests/data`.
pub(crate) fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/data").join(name)
}

/// Its text, decompressed.
pub(crate) fn log_text(name: &str) -> String {
    let bytes = std::fs::read(log(name)).unwrap();
    let bytes = if log(name).extension().is_some_and(|e| e == "zst") {
        zstd::decode_all(&*bytes).unwrap()
    } else {
        bytes
    };
    String::from_utf8(bytes).unwrap()
}

/// Runs `unmasq ledger COMMAND… --ledger LEDGER`.
pub(crate) fn ledger(ledger: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    let output = command
        .arg("ledger")
        .args(arguments)
        .arg("--ledger")
        .arg(ledger)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
