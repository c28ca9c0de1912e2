//! `unmasq honeypot report` on lines made for the purpose.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use unmasq_lab::attempts::Attempts;

use super::support::Said;

fn report(arguments: &[&str]) -> Said {
    report_of(arguments, b"")
}

fn report_of(arguments: &[&str], input: &[u8]) -> Said {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("unmasq"));
    command.args(["honeypot", "report"]).args(arguments).env("NO_COLOR", "1").write_stdin(input);
    let output = command.output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        // A word list is bytes.
        out: output.stdout.iter().copied().map(char::from).collect::<String>(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The standard output as the UTF-8 that it is.
fn text(said: &Said) -> String {
    String::from_utf8(said.out.chars().map(|byte| byte as u8).collect()).unwrap()
}

/// Lines of both forms, with a byte that is no UTF-8, an escape for terminals, a hash and a key.
const LINES: &str = r#"{"username": "root", "src_ip": "116.10.191.236", "password": "123456", "src_port": 36221, "timestamp": "2014-06-26T10:48:05.799316", "software_version": "libssh2_1.4.2"}
{"username": "root", "src_ip": "116.10.191.236", "password": "123456", "src_port": 36221, "timestamp": "2014-06-26T10:48:06.799316", "software_version": "libssh2_1.4.2"}
{"username":"admin","password":"p\ufffdss","password_raw":"cORzcw==","src_ip":"203.0.113.9","src_port":1025,"timestamp":"2014-06-26T23:30:00.000000Z","event":"password","session":"a","software_version":"Go","hassh":"98ddc5604ef6a1006a2b49a58759fbe6"}
{"username":"root","password":"\u001b]0;owned\u0007","src_ip":"203.0.113.10","src_port":1026,"timestamp":"2014-06-27T10:00:00.000000Z","event":"keyboard-interactive","session":"b","software_version":"Go"}
{"username":"root","password_hash":"3fa9","src_ip":"2001:db8:1:2::3","src_port":1027,"timestamp":"2014-06-27T10:00:00.000000Z","session":"c","software_version":"Go"}
{"username":"git","key":"ssh-ed25519 AAAA","key_fingerprint":"SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDn8WPyQ0Hsg","signature":"offered","src_ip":"203.0.113.9","src_port":1028,"timestamp":"2014-06-28T10:00:00.000000Z","event":"publickey","session":"d","software_version":"OpenSSH_9.2p1 Debian"}
{"username":"git","src_ip":"203.0.113.9","src_port":1028,"timestamp":"2014-06-28T10:00:00.000000Z","event":"none","session":"d"}
{"src_ip":"203.0.113.9","src_port":1028,"timestamp":"2014-06-28T10:00:01.000000Z","event":"connection","session":"d","attempts":1}
"#;

fn written(bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts.json");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_page_shows_all_sections_of_both_forms_of_lines() {
    let (_folder, path) = written(LINES);
    let said = report(&[path_text(&path)]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(text(&said));
}

#[test]
fn counts_are_those_of_a_plain_map_also_from_compressed_files_and_with_little_memory() {
    let lines: Vec<String> = Attempts::new(7, 30_000, 100_000, 3, 40).collect();
    let mut pairs: HashMap<(String, String), u64> = HashMap::new();
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let password = line["password_raw"].as_str().or(line["password"].as_str());
        if let (Some(user), Some(password)) = (line["username"].as_str(), password) {
            *pairs.entry((user.to_owned(), password.to_owned())).or_default() += 1;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name);
    let thirds: Vec<String> = lines.chunks(lines.len() / 3 + 1).map(|third| third.join("\n")).collect();
    fs::write(name("plain"), &thirds[0]).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(thirds[1].as_bytes()).unwrap();
    fs::write(name("gz"), gzip.finish().unwrap()).unwrap();
    fs::write(name("zst"), zstd::encode_all(thirds[2].as_bytes(), 1).unwrap()).unwrap();
    for memory in ["1", "96"] {
        let files = ["plain", "gz", "zst"].map(name);
        let mut arguments =
            vec!["--format", "json", "--by", "pairs,passwords", "--top", "10000", "--memory", memory];
        arguments.extend(files.iter().map(|file| path_text(file)));
        let said = report(&arguments);
        assert_eq!((said.status, said.err.as_str()), (0, ""));
        let found: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(found["attempts"], 30_000);
        let section = &found["sections"][0];
        assert_eq!(section["distinct"], pairs.len());
        assert_eq!(section["attempts"], pairs.values().sum::<u64>());
        let rows = section["rows"].as_array().unwrap();
        let mut last = u64::MAX;
        for row in rows {
            let value = row["value_base64"].as_str().or(row["value"].as_str()).unwrap();
            let user = row["user"].as_str().unwrap();
            let count = row["count"].as_u64().unwrap();
            assert_eq!(pairs.get(&(user.to_owned(), value.to_owned())), Some(&count), "{user}:{value}");
            assert!(count <= last);
            last = count;
        }
        let mut counts: Vec<u64> = pairs.values().copied().collect();
        counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        assert_eq!(last, counts[rows.len() - 1]);
    }
}

#[test]
fn damaged_lines_are_told_and_do_not_stop_it() {
    let (_folder, path) = written(LINES);
    let (_other, damaged) = written([b"\n{\"src_ip\":\n\xff\xfe\n" as &[u8], LINES.as_bytes()].concat());
    let said = report(&["--by", "users", path_text(&path), path_text(&damaged)]);
    assert_eq!(said.status, 5);
    assert!(said.out.contains("12 attempts from"), "{}", said.out);
    let told = format!(
        "2 lines are not counted; the first is {}:2: no record of an attempt: EOF while parsing",
        damaged.display()
    );
    assert!(said.out.contains(&told), "{}", said.out);
    assert_eq!(said.err, "");
    let said = report(&["--format", "csv", path_text(&damaged)]);
    assert!(said.err.starts_with("unmasq: 2 lines are not counted; "), "{}", said.err);
}

#[test]
fn a_file_that_is_cut_off_is_counted_as_far_as_it_goes() {
    let whole =
        zstd::encode_all(Attempts::new(1, 20_000, 5_000, 1, 0).collect::<Vec<_>>().join("\n").as_bytes(), 1);
    let whole = whole.unwrap();
    let (_folder, path) = written(&whole[..whole.len() / 2]);
    let said = report(&["--by", "users", path_text(&path)]);
    assert_eq!(said.status, 5);
    assert!(
        said.err.starts_with(&format!("unmasq: cannot read {} to its end: ", path.display())),
        "{}",
        said.err
    );
    assert!(!said.out.starts_with("0 attempts") && !said.out.contains("not counted;"), "{}", said.out);
}

#[test]
fn a_word_list_has_the_exact_bytes_the_most_frequent_first() {
    let (folder, path) = written(LINES);
    let said = report(&["--wordlist", path_text(&path)]);
    assert_eq!(said.status, 0);
    assert_eq!(said.out, "123456\n\u{1b}]0;owned\u{7}\np\u{e4}ss\n");
    assert_eq!(said.err, "unmasq: 1 hash in the place of a password is not in the list\n");
    let words = folder.path().join("words");
    let flag = format!("--wordlist={}", words.display());
    let said = report(&[&flag, "--wordlist-of", "pairs", "--until", "2014-06-26", path_text(&path)]);
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    assert_eq!(fs::read(words).unwrap(), b"root:123456\nadmin:p\xe4ss\n");
    let said = report(&["--wordlist", "--wordlist-of=users", "--memory=1", path_text(&path)]);
    assert_eq!(said.out, "root\nadmin\ngit\n");
}

#[test]
fn a_word_list_is_not_for_a_terminal() {
    let (_folder, path) = written(LINES);
    let unmasq = assert_cmd::cargo::cargo_bin!("unmasq").display().to_string();
    // script(1) gives it a terminal.
    let line = format!("{unmasq} honeypot report --wordlist {}", path.display());
    let output = std::process::Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--wordlist=FILE") && !said.contains('\u{7}'), "{said}");
}

#[test]
fn one_softwares_attempts_are_counted_by_themselves() {
    let (_folder, path) = written(LINES);
    let page = text(&report(&["--by", "passwords,users", "--software", "libssh", path_text(&path)]));
    assert!(page.starts_with("2 attempts from 1 address"), "{page}");
    assert!(page.contains("6 lines of other clients") && !page.contains("admin"), "{page}");
    assert_eq!(report(&["--wordlist", "--software", "libssh2_1", path_text(&path)]).out, "123456\n");
    assert_eq!(report(&["--software", "", path_text(&path)]).status, 2);
}

#[test]
fn hours_and_days_are_those_of_the_zone() {
    let hours = |zone: &str| {
        let arguments =
            ["--by", "hours,days", "--since", "2014-06-26", "--until", "2014-06-27", "--tz", zone];
        let said = report_of(&[&arguments[..], &["--format", "json", "-"]].concat(), LINES.as_bytes());
        let found: Value = serde_json::from_str(&said.out).unwrap();
        let rows = |section: usize| {
            let rows = found["sections"][section]["rows"].as_array().unwrap().clone();
            let counted = rows.into_iter().filter(|row| row["count"] != 0);
            counted
                .map(|row| format!("{}:{}", row["value"].as_str().unwrap(), row["count"]))
                .collect::<Vec<_>>()
        };
        (rows(0), rows(1))
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(hours("UTC"), (texts(&["10:4", "23:1"]), texts(&["2014-06-26:3", "2014-06-27:2"])));
    assert_eq!(hours("Europe/Berlin"), (texts(&["01:1", "12:4"]), texts(&["2014-06-26:2", "2014-06-27:3"])));
}

#[test]
fn pictures_and_pages_have_the_form_that_their_names_say() {
    let (folder, path) = written(LINES);
    let out = |name: &str| folder.path().join(name);
    for (name, head) in [
        ("a.png", &b"\x89PNG\r\n\x1a\n"[..]),
        ("a.svg", b"<svg xmlns="),
        ("a.html", b"<!doctype html>"),
        ("a.csv", b"section,of_user,rank,user,value,count,"),
        ("a.json", b"{\n"),
        ("a.txt", b"6 attempts from 4 addresses in 5 sessions"),
    ] {
        let said = report(&["--output", path_text(&out(name)), path_text(&path)]);
        assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "", ""), "{name}");
        let bytes = fs::read(out(name)).unwrap();
        assert!(bytes.starts_with(head), "{name}");
        // None of what the attacker sent can be obeyed.
        assert!(name == "a.png" || !bytes.contains(&0x1b), "{name}");
    }
    let pictures = format!("{}/", out("pictures").display());
    let said = report(&[
        "--format",
        "png",
        "--by",
        "user-passwords,hours",
        "--user",
        "../root",
        "-o",
        &pictures,
        path_text(&path),
    ]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let mut names: Vec<_> = fs::read_dir(pictures).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["hours.png", "passwords-_2e_2e_2froot.png"]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_remedy() {
    let (folder, path) = written(LINES);
    let refused = |arguments: &[&str], told: &str| {
        let said = report(arguments);
        assert_eq!(said.status, 2, "{arguments:?}");
        assert!(said.err.contains(told), "{arguments:?}: {}", said.err);
    };
    refused(&["/nonexistent"], "cannot open /nonexistent");
    refused(&[path_text(folder.path())], "is a folder; name the files in it");
    refused(&["-o", "x.pdf", path_text(&path)], "say it with --format");
    refused(
        &["--since", "2020-01-01", "--until", "2019-01-01", path_text(&path)],
        "--since is later than --until",
    );
    refused(&["--format", "csv", "-o", path_text(&path), path_text(&path)], "is one of the files to read");
    let flag = format!("--wordlist={}", path.display());
    refused(&[&flag, path_text(&path)], "is one of the files to read");
    let attempts = Attempts::new(1, 60_000, 1_000_000, 1, 0).collect::<Vec<_>>().join("\n");
    let (_folder, large) = written(attempts);
    refused(
        &["--memory", "1", "--temp-dir", "/nonexistent/folder", path_text(&large)],
        "name a folder with more room with --temp-dir",
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), LINES);
}
