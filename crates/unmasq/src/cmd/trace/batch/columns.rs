//! Which column of a table is what. Reports come from many tools, so several names mean the same.

use unmasq_flow::{Endpoint, Protocol, Selector};

/// What a column can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Masked,
    Port,
    Id,
    Time,
    Date,
    Zone,
    Protocol,
    Server,
    ServerPort,
    Window,
}

/// Names of columns, as they are after [`normal`]. They are documented in docs/find-who-used-an-address.md.
const NAMES: [(Meaning, &[&str]); 10] = [
    (
        Meaning::Masked,
        &[
            "masked",
            "endpoint",
            "ip",
            "address",
            "addr",
            "ip_address",
            "masked_ip",
            "masked_address",
            "masked_endpoint",
            "public",
            "public_ip",
            "public_address",
            "nat_ip",
            "source",
            "src",
            "source_ip",
            "src_ip",
            "srcip",
            "source_address",
            "src_addr",
            "saddr",
            "remote_ip",
            "remote_addr",
            "client_ip",
            "attacker",
            "attacker_ip",
            "offender",
            "host",
        ],
    ),
    (
        Meaning::Port,
        &[
            "port",
            "masked_port",
            "public_port",
            "nat_port",
            "source_port",
            "src_port",
            "srcport",
            "sport",
            "remote_port",
            "client_port",
            "attacker_port",
        ],
    ),
    (Meaning::Id, &["id", "icmp_id", "masked_id"]),
    (
        Meaning::Time,
        &[
            "time",
            "at",
            "timestamp",
            "datetime",
            "date_time",
            "when",
            "ts",
            "event_time",
            "seen",
            "first_seen",
            "time_utc",
        ],
    ),
    (Meaning::Date, &["date", "day"]),
    (Meaning::Zone, &["tz", "zone", "timezone", "time_zone"]),
    (Meaning::Protocol, &["proto", "protocol", "ip_protocol", "transport"]),
    (
        Meaning::Server,
        &[
            "to",
            "dest",
            "destination",
            "server",
            "dst",
            "target",
            "dest_ip",
            "dst_ip",
            "dstip",
            "destination_ip",
            "destination_address",
            "dest_addr",
            "dst_addr",
            "daddr",
            "server_ip",
            "server_address",
            "target_ip",
        ],
    ),
    (
        Meaning::ServerPort,
        &[
            "dest_port",
            "dst_port",
            "dstport",
            "dport",
            "destination_port",
            "server_port",
            "target_port",
            "to_port",
        ],
    ),
    (Meaning::Window, &["window"]),
];

/// `Source-IP`, `source ip` and `@source.ip` are all `source_ip`.
fn normal(name: &str) -> String {
    let lower: String =
        name.trim().chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    lower.trim_matches('_').to_owned()
}

/// What each column is, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(Vec<Option<Meaning>>);

impl Columns {
    /// From the names. The first column of a meaning counts; a second one is left as it is.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut columns: Vec<Option<Meaning>> = Vec::new();
        for name in names {
            let name = normal(name);
            let found =
                NAMES.iter().find(|(_, known)| known.contains(&name.as_str())).map(|(meaning, _)| *meaning);
            columns.push(found.filter(|meaning| !columns.contains(&Some(*meaning))));
        }
        Self(columns)
    }

    /// Is there a column for the masked endpoint?
    pub(super) fn has_masked(&self) -> bool {
        self.0.contains(&Some(Meaning::Masked))
    }

    /// Is there a column for the time?
    pub(super) fn has_time(&self) -> bool {
        self.0.contains(&Some(Meaning::Time)) || self.0.contains(&Some(Meaning::Date))
    }

    /// The question that a row's values ask, still as text where it needs more to be understood.
    pub(super) fn read<'a>(&self, values: impl Iterator<Item = &'a str>) -> Result<RowQuestion, String> {
        let mut cells: Vec<(Meaning, &str)> = Vec::new();
        for (meaning, value) in self.0.iter().zip(values) {
            if let Some(meaning) = meaning
                && !value.trim().is_empty()
            {
                cells.push((*meaning, value.trim()));
            }
        }
        let cell =
            |wanted: Meaning| cells.iter().find(|(meaning, _)| *meaning == wanted).map(|(_, value)| *value);
        let protocol =
            cell(Meaning::Protocol).map(str::parse::<Protocol>).transpose().map_err(|e| e.to_string())?;
        let masked = cell(Meaning::Masked).ok_or("the row names no masked address")?;
        let id = cell(Meaning::Id).map(|text| number("id", text)).transpose()?.map(Selector::Id);
        let selector = |text: Option<&str>| -> Result<Option<Selector>, String> {
            let number = text.map(|text| number("port", text)).transpose()?;
            Ok(number.map(|n| {
                if protocol.is_some_and(Protocol::has_ids) { Selector::Id(n) } else { Selector::Port(n) }
            }))
        };
        let port = selector(cell(Meaning::Port))?.or(id);
        let server_port = selector(cell(Meaning::ServerPort))?;
        let time = match (cell(Meaning::Date), cell(Meaning::Time)) {
            (Some(date), Some(time)) => Some(format!("{date} {time}")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        };
        Ok(RowQuestion {
            masked: endpoint(masked, port)?,
            protocol,
            server: cell(Meaning::Server).map(|text| endpoint(text, server_port)).transpose()?,
            time,
            zone: cell(Meaning::Zone).map(str::to_owned),
            window: cell(Meaning::Window).map(str::to_owned),
        })
    }
}

fn endpoint(text: &str, selector: Option<Selector>) -> Result<Endpoint, String> {
    let mut endpoint: Endpoint = text.parse().map_err(|error: unmasq_flow::ParseError| error.to_string())?;
    if endpoint.selector == Selector::None {
        endpoint.selector = selector.unwrap_or(Selector::None);
    }
    Ok(endpoint)
}

fn number(what: &str, text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| {
        format!(
            "{:?} is not a {what}; give a number from 0 to 65535",
            text.chars().take(64).collect::<String>()
        )
    })
}

/// What a row asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowQuestion {
    pub(super) masked: Endpoint,
    pub(super) protocol: Option<Protocol>,
    pub(super) server: Option<Endpoint>,
    pub(super) time: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) window: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &str, values: &str) -> Result<RowQuestion, String> {
        Columns::new(names.split(',')).read(values.split(','))
    }

    #[test]
    fn columns_go_by_many_names() {
        for (names, values) in [
            ("masked,at,proto,to", "203.0.113.1:61002,T,tcp,198.51.100.7:80"),
            ("IP,Port,Time,Protocol,Dest IP,Dest Port", "203.0.113.1,61002,T,TCP,198.51.100.7,80"),
            (
                "note,src_ip,src_port,@timestamp,proto,dst_ip,dst_port",
                "x,203.0.113.1,61002,T,6,198.51.100.7,80",
            ),
        ] {
            let row = read(names, values).unwrap();
            assert_eq!(row.masked.to_string(), "203.0.113.1:61002", "{names}");
            assert_eq!((row.protocol, row.time.as_deref()), (Some(Protocol::TCP), Some("T")), "{names}");
            assert_eq!(row.server.map(|s| s.to_string()).as_deref(), Some("198.51.100.7:80"), "{names}");
        }
    }

    #[test]
    fn an_icmp_port_column_is_an_id() {
        let row = read("ip,port,proto", "203.0.113.1,777,icmp").unwrap();
        assert_eq!(row.masked.to_string(), "203.0.113.1#777");
        assert_eq!(read("ip,id", "203.0.113.1,777").unwrap().masked.to_string(), "203.0.113.1#777");
    }

    #[test]
    fn date_and_time_in_two_columns_are_one_time() {
        let row = read("date,time,tz,ip", "2026-11-21,08:57:28,UTC,203.0.113.1").unwrap();
        assert_eq!((row.time.as_deref(), row.zone.as_deref()), (Some("2026-11-21 08:57:28"), Some("UTC")));
    }

    #[test]
    fn a_wrong_value_is_told() {
        assert!(read("ip,port", "203.0.113.1,70000").unwrap_err().contains("70000"));
        assert!(read("ip,port", "nobody,7").unwrap_err().contains("nobody"));
        assert!(read("ip,port", ",7").unwrap_err().contains("no masked address"));
        assert!(read("ip,proto", "203.0.113.1,tpc").unwrap_err().contains("tpc"));
    }
}
