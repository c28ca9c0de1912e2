//! `unmasq watch sense`: SSH connections off the wire, as Suricata's events.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unmasq_flow::Timestamp;
use unmasq_sensor::pcap::Capture;
use unmasq_sensor::{Captured, Limits, Sensor, Sighting};
use unmasq_source::sensor::{Packets, Place};

use crate::failure::{Failure, Outcome};
use crate::wishes::Wishes;

/// How often signals are looked for while nothing comes.
const GLANCE: Duration = Duration::from_millis(200);
/// Connections looked at for their age in one step.
const MOST_EXPIRED: usize = 1024;

/// See SSH connections begin, and write Suricata's `ssh` events: who, with what software, with what fingerprint
///
/// No Suricata is needed. Both directions of each connection are followed until the keys are exchanged; one event is written when all
/// is known, or with what was seen when the connection ends or half a minute is over. Runs until SIGTERM or Ctrl-C; SIGHUP opens the
/// output anew.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit status: 0 stopped as asked, or the capture was read; 1 packets cannot be captured or events not be written; 2 wrong usage.

Examples:
  unmasq rules piece log-ssh-banner --group 5 | nft -f -
  unmasq watch sense --nflog 5 --output /var/log/unmasq/ssh.json
      What passes this gateway, or comes to it.
  unmasq watch sense --interface eth0 --ports 22,2222 | jq .ssh.client.software_version
      A mirror port, or one's own interface.
  unmasq watch sense --pcap attack.pcap
      What was captured with tcpdump.

docs/sense-ssh.md has more.")]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// The servers' ports [default: 22; any for --nflog, whose rule has chosen]
    #[arg(long, value_name = "PORTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,
    /// The file that events are added to; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Where packets come from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// Packets that rules log to this netlink group
    #[arg(long, value_name = "GROUP")]
    nflog: Option<u16>,
    /// Frames that pass this interface
    #[arg(long, value_name = "INTERFACE")]
    interface: Option<String>,
    /// A capture: pcap or pcapng
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

/// Where events are written to.
struct Output {
    path: PathBuf,
    writer: BufWriter<Box<dyn Write>>,
    events: u64,
}

impl Output {
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_owned(), writer: writer(path)?, events: 0 })
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.writer.flush()?;
        self.writer = writer(&self.path)?;
        Ok(())
    }

    /// An event, if the sighting is one.
    fn take(&mut self, sighting: &Sighting) -> io::Result<()> {
        let Sighting::Whole(handshake) = sighting else { return Ok(()) };
        self.events += 1;
        let mut line = handshake.to_eve();
        line.push('\n');
        self.writer.write_all(line.as_bytes())
    }
}

fn writer(path: &Path) -> anyhow::Result<BufWriter<Box<dyn Write>>> {
    if path.as_os_str() == "-" {
        return Ok(BufWriter::new(Box::new(io::stdout())));
    }
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot write to {}", path.display()))?;
    Ok(BufWriter::new(Box::new(file)))
}

/// Runs it.
pub(super) fn run(args: &Args) -> Outcome {
    let mut output = Output::open(&args.output)?;
    let told = match &args.place {
        PlaceArgs { pcap: Some(file), .. } => read_capture(file, &ports(&args.ports, &[22]), &mut output),
        PlaceArgs { interface: Some(name), .. } => {
            let ports = ports(&args.ports, &[22]);
            follow(&Place::Interface(name.clone()), &ports, &mut output)
        }
        PlaceArgs { nflog, .. } => {
            follow(&Place::Group(nflog.unwrap_or_default()), &ports(&args.ports, &[]), &mut output)
        }
    };
    match told {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        // All other errors say where they come from.
        Err(error) if error.is::<io::Error>() => {
            let error = error.context(format!("cannot write events to {}", args.output.display()));
            Err(Failure::with_exit(1, error))
        }
        Err(error) => Err(Failure::with_exit(1, error)),
    }
}

fn ports(given: &[u16], default: &[u16]) -> Vec<u16> {
    if given.is_empty() { default.to_vec() } else { given.to_vec() }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn read_capture(file: &Path, ports: &[u16], output: &mut Output) -> anyhow::Result<()> {
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut capture = Capture::open(io::BufReader::with_capacity(1 << 20, input))
        .with_context(|| file.display().to_string())?;
    let mut sensor = Sensor::new(ports.to_vec(), Limits::default());
    let (mut written, mut last) = (Ok(()), Timestamp::default());
    let mut damage = None;
    loop {
        let (at, link, bytes) = match capture.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // What came before it is told all the same.
            Err(error) => {
                damage = Some(error);
                break;
            }
        };
        last = last.max(at);
        let mut tell = |sighting: Sighting| {
            if written.is_ok() {
                written = output.take(&sighting);
            }
        };
        sensor.expire(last, MOST_EXPIRED, &mut tell);
        sensor.take(&Captured::new(at, link, bytes), &mut tell);
        std::mem::replace(&mut written, Ok(()))?;
    }
    sensor.finish(last, &mut |sighting| {
        if written.is_ok() {
            written = output.take(&sighting);
        }
    });
    written?;
    output.writer.flush()?;
    tell_counts(&sensor, output, 0);
    match damage {
        None => Ok(()),
        Some(error) => Err(anyhow::Error::from(error).context(file.display().to_string())),
    }
}

fn follow(place: &Place, ports: &[u16], output: &mut Output) -> anyhow::Result<()> {
    let Wishes { stop, reload: reopen } = Wishes::of_signals()?;
    let mut packets = Packets::open(place, ports)?;
    let mut sensor = Sensor::new(ports.to_vec(), Limits::default());
    // Whoever waits for it to be ready need not guess.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let mut lost = 0;
    let mut written = Ok(());
    while !stop.load(Ordering::Relaxed) {
        let is_empty = {
            let mut tell = |sighting: Sighting| {
                if written.is_ok() {
                    written = output.take(&sighting);
                }
            };
            let is_empty = packets.read(|captured| sensor.take(captured, &mut tell))?;
            sensor.expire(Timestamp::now(), MOST_EXPIRED, &mut tell);
            is_empty
        };
        std::mem::replace(&mut written, Ok(()))?;
        if reopen.swap(false, Ordering::Relaxed) {
            output.reopen()?;
        }
        if packets.lost() > lost {
            lost = packets.lost();
            eprintln!("unmasq: {place}: {lost} packets were lost so far: the kernel had no room for them");
        }
        if is_empty {
            output.writer.flush()?;
            let due = sensor.due().map_or(GLANCE, |due| due.since(Timestamp::now()).min(GLANCE));
            let timeout = Timespec::try_from(due.max(Duration::from_millis(1))).ok();
            match poll(&mut [PollFd::from_borrowed_fd(packets.as_fd(), PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for packets"),
            }
        }
    }
    sensor.finish(Timestamp::now(), &mut |sighting| {
        if written.is_ok() {
            written = output.take(&sighting);
        }
    });
    written?;
    output.writer.flush()?;
    tell_counts(&sensor, output, packets.lost());
    Ok(())
}

/// What it has met, for people.
fn tell_counts(sensor: &Sensor, output: &Output, lost: u64) {
    let counts = sensor.counts();
    eprintln!(
        "unmasq: {} packets, {} connections, {} events; {lost} packets lost, {} fragments and {} damaged packets passed over, {} \
         connections forgotten early",
        counts.packets, counts.connections, output.events, counts.fragments, counts.broken, counts.evicted
    );
}
