//! One `.npy` file for each column (NumPy's format, version 1.0: a header of text, then the numbers).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use unmasq_flow::{Endpoint, Flow};

/// Writes all columns into a folder.
pub(crate) fn write(flows: impl Iterator<Item = Flow>, count: u64, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let column = |name: &str, kind: &str| Column::create(folder, name, kind, count);
    let mut start = column("start", "<i8")?;
    let mut duration = column("dur", "<u4")?;
    let mut protocol = column("proto", "|u1")?;
    let mut client = column("client", "<u4")?;
    let mut client_port = column("cport", "<u2")?;
    let mut masked = column("pubip", "<u4")?;
    let mut masked_port = column("pubport", "<u2")?;
    let mut server = column("dst", "<u4")?;
    let mut server_port = column("dport", "<u2")?;
    for flow in flows {
        let (from, to) = (flow.start.latest().as_millis(), flow.end.latest().as_millis());
        start.put(&from.to_le_bytes())?;
        duration.put(&((to - from) as u32).to_le_bytes())?;
        protocol.put(&[flow.protocol.0])?;
        for (endpoint, address, port) in [
            (Some(flow.client), &mut client, &mut client_port),
            (Some(flow.masked), &mut masked, &mut masked_port),
            (flow.server.endpoint(), &mut server, &mut server_port),
        ] {
            let (bits, number) = endpoint.map(numbers).unwrap_or_default();
            address.put(&bits.to_le_bytes())?;
            port.put(&number.to_le_bytes())?;
        }
    }
    [start, duration, protocol, client, client_port, masked, masked_port, server, server_port]
        .into_iter()
        .try_for_each(Column::finish)
}

/// The synthetic flows are IPv4 with ports.
fn numbers(endpoint: Endpoint) -> (u32, u16) {
    let bits = match endpoint.address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(_) => 0,
    };
    (bits, endpoint.selector.number().unwrap_or(0))
}

struct Column(BufWriter<File>);

impl Column {
    fn create(folder: &Path, name: &str, kind: &str, count: u64) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, File::create(folder.join(format!("{name}.npy")))?);
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count},), }}");
        // Magic, version, length of the header; padded so that the numbers begin at a multiple of 64.
        let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(length as u16).to_le_bytes())?;
        writeln!(file, "{header:<width$}", width = length - 1)?;
        Ok(Self(file))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
