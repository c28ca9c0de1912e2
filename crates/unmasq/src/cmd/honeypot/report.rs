//! `unmasq honeypot report`: what attackers tried, as bars, pictures, tables and word lists.

mod count;
mod input;

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::value_parser;
use jiff::tz::TimeZone;
use unmasq_flow::Period;
use unmasq_honeypot::report::bars::{self, Ink, Zone};
use unmasq_honeypot::report::picture::{self, Picture};
use unmasq_honeypot::report::{ListOf, Moment, Report, Section, WordList, Written, data, html, png, svg};
use unmasq_honeypot::report::{Wanted, grouped};
use unmasq_trace::time;

use self::count::Counted;
use self::input::Input;
use crate::cmd::ledger::Target;
use crate::failure::Outcome;
use crate::output::styled_line;

/// The page's width where the output is no terminal.
const WIDTH: usize = 80;
/// Pixels of a PNG file for each unit of a picture: of one section, and of the whole report.
const SCALE: f64 = 2.0;
const SCALE_OF_ALL: f64 = 1.5;
/// Counting threads: more than this one reader cannot keep busy, and each needs memory for lines.
const MOST_THREADS: usize = 8;
/// Where counts are put aside unless told otherwise: on a disk, which /tmp often is not.
const TEMP_DIR: &str = "/var/tmp";

/// Show what attackers tried: passwords, user names, software, networks, times
///
/// Reads the lines that `unmasq honeypot` and pshitt write, mixed as they come, from files (also .gz and .zst) and standard input.
/// All counts are exact, whatever the size of the files: what does not fit into memory is put aside in files without a name.
/// What attackers sent is shown harmless: controls and what turns or hides text as \u{1b}, bytes that are no UTF-8 as \xe4.
///
/// Passwords, keyboard-interactive answers and public keys are attempts. That a client asks which methods there are (`none`), and
/// that a connection ended, is told beside them. Of lines with a password_hash the hash is counted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status:
  0  shown
  2  wrong usage, a file cannot be opened, or the output cannot be written
  5  lines are damaged or a file could not be read to its end: what could be read was counted

Examples:
  unmasq honeypot report /var/log/unmasq/honeypot.json*
  unmasq honeypot report --since 2026-11-01 --until 2026-11-30 --tz Europe/Berlin --output november.html honeypot.json
  unmasq honeypot report --by passwords,hours --top 50 honeypot.json
  unmasq honeypot report --by user-passwords --user root --output root.png honeypot.json
  unmasq honeypot report --by passwords --software libssh honeypot.json
      What clients with libssh try most.
  unmasq honeypot report --format svg --output pictures/ honeypot.json
      A picture for each section.
  unmasq honeypot report --wordlist=words.txt honeypot.json
      All passwords, the most frequent first.
  zcat honeypot.json.2.gz | unmasq honeypot report --format json - | jq '.sections[] | select(.section == \"users\")'")]
pub(crate) struct Args {
    /// Lines of attempts; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many rows each section has
    #[arg(long, value_name = "N", default_value = "20", value_parser = value_parser!(u32).range(1..=10_000))]
    top: u32,
    /// The sections, in this order [default: all]
    #[arg(long, value_name = "SECTIONS", value_delimiter = ',', value_parser = sections())]
    by: Vec<Section>,
    /// A user whose passwords have a section of their own; can be given more than once [default: root, admin]
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Count only clients whose software has this in its name (libssh)
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    software: Option<String>,
    /// Count from this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Count until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The zone of hours, days, and of times that name none: an IANA name, UTC, or an offset such as +01:00 [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = time::zone)]
    tz: Option<TimeZone>,
    /// Length of the prefix that is one IPv4 network
    #[arg(long, value_name = "BITS", default_value = "24", value_parser = value_parser!(u8).range(0..=32))]
    prefix4: u8,
    /// Length of the prefix that is one IPv6 network
    #[arg(long, value_name = "BITS", default_value = "48", value_parser = value_parser!(u8).range(0..=128))]
    prefix6: u8,
    /// The form [default: by the output's name, else text]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
    /// The file to write; of svg and png also a folder, for a picture of each section
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write a word list instead: a line each, the most frequent first; to standard output if no file is named
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-",
          conflicts_with_all = ["top", "by", "user", "prefix4", "prefix6", "format", "output"])]
    wordlist: Option<PathBuf>,
    /// What the word list is of
    #[arg(long, value_enum, value_name = "WHAT", default_value = "passwords", requires = "wordlist")]
    wordlist_of: Words,
    /// Memory for counts (MiB); beyond it they are put aside
    #[arg(long, value_name = "MIB", default_value = "96", value_parser = value_parser!(u32).range(1..))]
    memory: u32,
    /// Where counts are put aside [default: $TMPDIR, or /var/tmp]
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

/// A form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Bars for a terminal
    Text,
    /// One page with pictures and numbers, which needs nothing beside itself
    Html,
    /// A picture
    Svg,
    /// A picture of pixels
    Png,
    /// A line for each row
    Csv,
    /// All numbers
    Json,
}

/// What a word list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Words {
    /// Passwords for any user
    Passwords,
    /// User names
    Users,
    /// User names and passwords with a colon between
    Pairs,
}

impl From<Words> for ListOf {
    fn from(words: Words) -> Self {
        match words {
            Words::Passwords => Self::Passwords,
            Words::Users => Self::Users,
            Words::Pairs => Self::Pairs,
        }
    }
}

fn sections() -> impl clap::builder::TypedValueParser<Value = Section> {
    PossibleValuesParser::new(Section::ALL.map(Section::name)).try_map(|name| {
        Section::ALL.into_iter().find(|section| section.name() == name).ok_or("no such section")
    })
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let zone = args.tz.clone().unwrap_or(TimeZone::UTC);
    let output = args.wordlist.as_deref().or(args.output.as_deref());
    let output = output.filter(|path| *path != Path::new("-"));
    let form = form(args.format, output)?;
    refuse_to_overwrite(&args.files, output)?;
    if form == Form::Png && output.is_none() && io::stdout().is_terminal() {
        return Err(anyhow!("PNG is not for a terminal; name a file with --output FILE").into());
    }
    if args.wordlist.is_some() && output.is_none() && io::stdout().is_terminal() {
        return Err(anyhow!(
            "a word list has the bytes that attackers sent, which a terminal could obey; name a file with --wordlist=FILE, or read it \
             with `| less`"
        )
        .into());
    }
    let input = Input::open(&args.files)?;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS);
    let counted = count::count(&input, &Arc::new(wanted(args, &zone)?), threads)?;
    for what in &counted.unread {
        complain(what);
    }
    let exit = if counted.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(5) };
    if args.wordlist.is_some() {
        write_words(counted, args.wordlist_of.into(), output)?;
        return Ok(exit);
    }
    let offset = |seconds: i64| {
        let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        i64::from(zone.to_offset(at).seconds())
    };
    let report = counted.report(args.top as usize, offset)?;
    let name = zone_name(&zone);
    write(&report, form, output, &Zone { name: &name, offset: &offset })?;
    if let Some(damage) = report.damage.filter(|_| form != Form::Text || output.is_some()) {
        complain(&damage);
    }
    Ok(exit)
}

fn complain(what: impl fmt::Display) {
    // Nothing is left to tell if standard error is gone too.
    let _ = writeln!(anstream::stderr(), "unmasq: {what}");
}

fn wanted(args: &Args, zone: &TimeZone) -> anyhow::Result<Wanted> {
    let mut sections = match (&args.wordlist, args.by.is_empty()) {
        (Some(_), _) => vec![ListOf::from(args.wordlist_of).section()],
        (None, true) => Section::ALL.to_vec(),
        (None, false) => args.by.clone(),
    };
    keep_first(&mut sections);
    let mut users: Vec<Vec<u8>> = args.user.iter().map(|name| name.clone().into_bytes()).collect();
    if users.is_empty() {
        users = ["root", "admin"].map(Into::into).to_vec();
    }
    keep_first(&mut users);
    let folder = args.temp_dir.clone().or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from));
    Ok(Wanted {
        sections,
        users,
        prefix4: args.prefix4,
        prefix6: args.prefix6,
        period: period(args, zone)?,
        software: args.software.clone().map(String::into_bytes),
        folder: folder.unwrap_or_else(|| TEMP_DIR.into()).into(),
        memory: (args.memory as usize) << 20,
    })
}

/// What was given twice counts once, where it stood first.
fn keep_first<T: Clone + PartialEq>(values: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::new();
    for value in values.drain(..) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    *values = kept;
}

fn period(args: &Args, zone: &TimeZone) -> anyhow::Result<std::ops::RangeInclusive<Moment>> {
    let context = time::Context { now: jiff::Timestamp::now(), zone: Some(zone.clone()) };
    let read = |flag: &str, text: &str| -> anyhow::Result<Period> {
        let asked = time::parse(text, &context).with_context(|| flag.to_owned())?;
        // A local time that occurred twice means both: rather too much is counted than too little.
        let both = asked.windows.into_iter();
        let ends = both.reduce(|a, b| Period { from: a.from.min(b.from), to: a.to.max(b.to) });
        ends.with_context(|| format!("{flag} {text}: no such time"))
    };
    let since = args.since.as_deref().map(|text| read("--since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| read("--until", text)).transpose()?;
    let from = since.map_or(Moment(i64::MIN), |period| Moment(period.from.as_nanos().div_euclid(1000)));
    let to = until.map_or(Moment(i64::MAX), |period| Moment(period.to.as_nanos().div_euclid(1000)));
    if from > to {
        bail!("--since is later than --until");
    }
    Ok(from..=to)
}

fn zone_name(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => zone.to_fixed_offset().map_or_else(|_| "local time".to_owned(), |offset| offset.to_string()),
    }
}

fn form(asked: Option<Form>, output: Option<&Path>) -> anyhow::Result<Form> {
    if let Some(form) = asked {
        return Ok(form);
    }
    let Some(extension) = output.and_then(Path::extension) else { return Ok(Form::Text) };
    match extension.to_str() {
        Some("txt") => Ok(Form::Text),
        Some("html" | "htm") => Ok(Form::Html),
        Some("svg") => Ok(Form::Svg),
        Some("png") => Ok(Form::Png),
        Some("csv") => Ok(Form::Csv),
        Some("json") => Ok(Form::Json),
        _ => bail!("the output's name does not say its form; say it with --format"),
    }
}

/// An output must not be one of the inputs.
fn refuse_to_overwrite(files: &[PathBuf], output: Option<&Path>) -> anyhow::Result<()> {
    let Some(written) = output.and_then(|path| path.canonicalize().ok()) else { return Ok(()) };
    if files.iter().any(|file| file.canonicalize().is_ok_and(|file| file == written)) {
        bail!("{} is one of the files to read; name another to write", written.display());
    }
    Ok(())
}

fn write_words(counted: Counted, of: ListOf, output: Option<&Path>) -> anyhow::Result<()> {
    if let Some(damage) = &counted.damage {
        complain(damage);
    }
    let mut target = Target::open(output)?;
    let mut words = WordList::new(&mut target);
    counted.counts.each_by_count(of, |row| words.add(&row).map_err(anyhow::Error::from))?;
    let Written { words, in_hex, hashes } = words.finish()?;
    target.finish()?;
    match hashes {
        0 => {}
        1 => complain("1 hash in the place of a password is not in the list"),
        _ => complain(format!(
            "{} different hashes in the place of passwords are not in the list",
            grouped(hashes)
        )),
    }
    if in_hex > 0 {
        complain(format!("{} of {} words are written as $HEX[...]", grouped(in_hex), grouped(words)));
    }
    Ok(())
}

fn write(report: &Report, form: Form, output: Option<&Path>, zone: &Zone<'_>) -> anyhow::Result<()> {
    let is_folder =
        output.is_some_and(|path| path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/"));
    if let (true, Some(folder)) = (is_folder, output) {
        if !matches!(form, Form::Svg | Form::Png) {
            bail!("{} is a folder, which only pictures can fill; say --format svg or png", folder.display());
        }
        return write_pictures(report, form, folder);
    }
    if form == Form::Text && output.is_none() {
        return Ok(print(report, zone)?);
    }
    let mut target = Target::open(output)?;
    match form {
        Form::Text => {
            for line in bars::page(report, WIDTH, zone) {
                let text: String = line.iter().map(|span| span.text.as_str()).collect();
                writeln!(target, "{}", text.trim_end())?;
            }
        }
        Form::Html => target.write_all(html::html(report, zone).as_bytes())?,
        Form::Csv => data::write_csv(report, &mut target)?,
        Form::Json => target.write_all(data::json(report).as_bytes())?,
        Form::Svg | Form::Png => {
            let can_be_drawn = if form == Form::Png { png::can_be_drawn } else { |_| true };
            let (picture, scale) = match &report.tables[..] {
                [table] => (picture::of_table(table, can_be_drawn), SCALE),
                _ => (picture::of_report(report, zone, can_be_drawn), SCALE_OF_ALL),
            };
            target.write_all(&drawn(&picture, form, scale)?)?;
        }
    }
    target.finish()
}

fn drawn(picture: &Picture, form: Form, scale: f64) -> anyhow::Result<Vec<u8>> {
    Ok(if form == Form::Png { png::png(picture, scale)? } else { svg::svg(picture).into_bytes() })
}

/// A picture for each section.
fn write_pictures(report: &Report, form: Form, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for table in &report.tables {
        let (extension, can_be_drawn): (_, picture::CanBeDrawn) = match form {
            Form::Png => ("png", png::can_be_drawn),
            _ => ("svg", |_| true),
        };
        let path = folder.join(format!("{}.{extension}", table.file_stem()));
        let mut target = Target::open(Some(&path))?;
        target.write_all(&drawn(&picture::of_table(table, can_be_drawn), form, SCALE)?)?;
        target.finish()?;
    }
    Ok(())
}

/// The page on standard output: in colour and as wide as the terminal, if it is one.
fn print(report: &Report, zone: &Zone<'_>) -> io::Result<()> {
    let columns = comfy_table::Table::new().width().map_or(WIDTH, usize::from);
    let mut out = anstream::stdout();
    for line in bars::page(report, columns, zone) {
        styled_line(&mut out, line.iter().map(|span| (style(span.ink), span.text.as_str())))?;
    }
    Ok(())
}

fn style(ink: Ink) -> Style {
    match ink {
        Ink::Plain => Style::new(),
        Ink::Strong => Style::new().bold(),
        Ink::Quiet => Style::new().dimmed(),
        Ink::Bar => AnsiColor::Blue.on_default(),
        Ink::Doubt => AnsiColor::Yellow.on_default().bold(),
    }
}
