//! The answer for people: table, usage, what follows, picture.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use unmasq_flow::Timestamp;
use unmasq_plan::capacity::{FEWEST_PORTS, Ink, Summary, Toward, grouped};

use super::Answer;
use super::measure::Used;
use crate::output::styled_line;

/// How many clients are named.
pub(super) const TOP: usize = 10;
/// The picture's width where the output is no terminal.
const WIDTH: usize = 80;

const STRONG: Style = Style::new().bold();
const DOUBT: Style = AnsiColor::Yellow.on_default().bold();

pub(super) fn page(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    table(out, answer)?;
    if let Some(used) = &answer.used {
        usage(out, answer, used)?;
    }
    writeln!(out)?;
    advice(out, answer)?;
    writeln!(out)?;
    chart(out, answer)
}

/// A table of numbers: all but the first columns are right-aligned.
fn numbers(header: Vec<String>, left: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let columns = header.len();
    table.set_header(header);
    for column in (0..columns).filter(|column| !left.contains(column)) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Prints a table, with some rows (0 is the header's) in bold.
fn print(out: &mut impl Write, table: &Table, is_strong: impl Fn(usize) -> bool) -> io::Result<()> {
    for (number, line) in table.to_string().lines().enumerate() {
        let line = line.trim_end();
        if is_strong(number) { writeln!(out, "{STRONG}{line}{STRONG:#}")? } else { writeln!(out, "{line}")? }
    }
    Ok(())
}

fn table(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    writeln!(
        out,
        "Ports that each client gets, by the number of clients and of public addresses (layout even,\n\
         {} ports at each address, growth reserve {} %)\n",
        grouped(answer.question.capacity.ports()),
        answer.question.capacity.growth()
    )?;
    let asked =
        |is_asked: bool, number: u64| format!("{}{}", if is_asked { "> " } else { "" }, grouped(number));
    let columns =
        answer.table.public.iter().map(|public| asked(answer.question.public.contains(public), *public));
    let mut table = numbers(std::iter::once("CLIENTS".to_owned()).chain(columns).collect(), &[]);
    for row in &answer.table.rows {
        let cell = |ports: &u32| match *ports {
            0 => "-".to_owned(),
            few if few < FEWEST_PORTS => format!("({few})"),
            ports => grouped(ports),
        };
        table.add_row(std::iter::once(asked(row.is_asked, row.clients)).chain(row.ports.iter().map(cell)));
    }
    let strong = answer.table.rows.iter().position(|row| row.is_asked);
    print(out, &table, |row| row == 0 || strong == Some(row.wrapping_sub(1)))?;
    writeln!(out, "\n(n): fewer than {FEWEST_PORTS} are too little in practice;  -: does not fit")
}

fn usage(out: &mut impl Write, answer: &Answer, used: &Used) -> io::Result<()> {
    let measured = &used.measured;
    let until = seconds(used.period.to);
    let period = if used.period.from.is_finite() {
        format!("{} to {until}", seconds(used.period.from))
    } else {
        format!("until {until}")
    };
    let clients = measured.clients.len();
    let (all, one) = (measured.summary(Toward::Any), measured.summary(Toward::OneServer));
    let of = if answer.question.networks.is_empty() { "" } else { " of the plan's networks" };
    writeln!(
        out,
        "\n{STRONG}In use at once{STRONG:#}: {} clients{of} with {} flows\n({}, {period})",
        grouped(clients as u64),
        grouped(measured.flows),
        used.ledger.display()
    )?;
    let (Some(all), Some(one)) = (all, one) else {
        return writeln!(out, "  no client was masked by an IPv4 address then");
    };
    writeln!(out)?;
    let knows_server = !measured.knows_no_server();
    let header = ["PORTS OF A CLIENT AT ONCE", "MEDIAN", "99 %", "MAX"].map(str::to_owned).to_vec();
    let mut table = numbers(header, &[0]);
    let row = |what: &str, found: Summary| {
        [what.to_owned(), grouped(found.median), grouped(found.p99), grouped(found.max)]
    };
    table.add_row(row("in all, each counted once", all));
    if knows_server {
        table.add_row(row("toward a single server", one));
    }
    print(out, &table, |row| row == 0)?;

    writeln!(out)?;
    let share = |toward, ports| {
        let over = measured.exceeding(ports, toward);
        format!("{} ({:.1} %)", grouped(over as u64), over as f64 * 100.0 / clients as f64)
    };
    let mut header = vec!["BLOCK".to_owned(), "CLIENTS THAT HAD MORE".to_owned()];
    header.extend(knows_server.then(|| "TOWARD A SINGLE SERVER".to_owned()));
    let mut table = numbers(header, &[]);
    for ports in answer.sizes() {
        let mut row = vec![grouped(ports), share(Toward::Any, ports)];
        row.extend(knows_server.then(|| share(Toward::OneServer, ports)));
        table.add_row(row);
    }
    print(out, &table, |row| row == 0)?;

    writeln!(out)?;
    let mut header =
        ["CLIENT", "PLACE", "MOST PORTS", "PROTOCOL", "FIRST AT (UTC)"].map(str::to_owned).to_vec();
    header.extend(knows_server.then(|| "TOWARD A SINGLE SERVER".to_owned()));
    let mut table = numbers(header, &[0, 1, 3, 4]);
    for client in measured.clients.iter().take(TOP) {
        let mut row = vec![
            client.client.to_string(),
            client.origin.to_string(),
            grouped(client.any.ports),
            client.any.protocol.to_string(),
            seconds(client.any.at),
        ];
        row.extend(knows_server.then(|| grouped(client.one_server.ports)));
        table.add_row(row);
    }
    print(out, &table, |row| row == 0)?;
    notes(out, used)
}

/// To the second: a peak is no instant that anybody asks about.
fn seconds(time: Timestamp) -> String {
    let text = time.to_millis_text().map_or_else(|| time.to_string(), |text| text.to_string());
    text.split_once('.').map_or(text.clone(), |(seconds, _)| seconds.to_owned())
}

fn notes(out: &mut impl Write, used: &Used) -> io::Result<()> {
    let measured = &used.measured;
    let mut note = |text: String| writeln!(out, "{DOUBT}note{DOUBT:#}: {text}");
    if measured.without_end > 0 {
        let flows = grouped(measured.without_end);
        note(format!(
            "{flows} flows count at their start only, for nobody saw their end: clients used more than this"
        ))?;
    }
    if measured.knows_no_server() {
        note("the ledger keeps no servers, so what is needed toward a single one is not known".to_owned())?;
    } else if measured.without_server > 0 {
        let flows = grouped(measured.without_server);
        note(format!(
            "the servers of {flows} flows were not kept: toward a single one, clients may have had more"
        ))?;
    }
    if measured.is_hashed {
        note("the ledger keeps 16 bits of a server: some count as one that were several".to_owned())?;
    }
    Ok(())
}

fn advice(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let growth = match answer.question.capacity.growth() {
        0 => String::new(),
        percent => format!(" and a growth reserve of {percent} %"),
    };
    let addresses = |count: u64| {
        if count == 1 {
            "1 public address".to_owned()
        } else {
            format!("{} public addresses", grouped(count))
        }
    };
    let needs = |clients: u64, ports: u32| match answer.question.capacity.public_needed(clients, ports) {
        Some(public) => format!(
            "For {} clients{growth} that needs {}, which give{} {} each.",
            grouped(clients),
            addresses(public),
            if public == 1 { "s" } else { "" },
            grouped(answer.question.capacity.ports_per_client(clients, public))
        ),
        None => format!("No address has so many: there are {}.", grouped(answer.question.capacity.ports())),
    };
    match (answer.advice, answer.question.clients) {
        (Some(advice), Some(clients)) => writeln!(
            out,
            "{STRONG}Recommended: at least {} ports for each client{STRONG:#}, a quarter more than 99 of 100 clients had at \
             once\n(but never fewer than {FEWEST_PORTS}).\n{}",
            grouped(advice.ports),
            needs(clients, advice.ports)
        )?,
        (_, Some(clients)) => writeln!(
            out,
            "What clients use is not known. The least that works in practice is {FEWEST_PORTS} ports for each.\n{}\n\
             Record the gateway for some days (unmasq daemon), and ask again.",
            needs(clients, FEWEST_PORTS)
        )?,
        (_, None) => writeln!(
            out,
            "Say for how many clients (--clients), and with a ledger (--ledger) what they need is computed too."
        )?,
    }
    let Some((clients, used)) = answer.question.clients.zip(answer.used.as_ref()) else { return Ok(()) };
    for public in &answer.question.public {
        let ports = answer.question.capacity.ports_per_client(clients, *public);
        let over = |toward| match used.measured.exceeding(ports, toward) {
            0 => "none".to_owned(),
            over => grouped(over as u64),
        };
        let toward = if used.measured.knows_no_server() {
            String::new()
        } else {
            format!(", {} toward one server", over(Toward::OneServer))
        };
        writeln!(
            out,
            "With {} each gets {}: of {} clients, {} had more at once{toward}.",
            addresses(*public),
            grouped(ports),
            grouped(used.measured.clients.len() as u64),
            over(Toward::Any)
        )?;
    }
    Ok(())
}

fn chart(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let width = Table::new().width().map_or(WIDTH, usize::from);
    for line in answer.chart().text(width) {
        styled_line(out, line.iter().map(|span| (style(span.ink), span.text.as_str())))?;
    }
    Ok(())
}

fn style(ink: Ink) -> Style {
    match ink {
        Ink::Plain => Style::new(),
        Ink::Axis => Style::new().dimmed(),
        Ink::Usage => AnsiColor::Green.on_default(),
        Ink::Line => AnsiColor::Cyan.on_default(),
        Ink::Asked => AnsiColor::Red.on_default().bold(),
    }
}
