//! Any bytes, read in every way: for `cargo fuzz` and for tests over mutated files.

use std::ops::ControlFlow;
use std::path::Path;

use unmasq_flow::{Period, Timestamp};

use super::block::{BlockBytes, BlockReader, Columns};
use super::code::PADDING;
use super::file::Source;
use super::packed::Pool;
use super::{Filter, Run, WriteOptions, merge};

/// Reads the bytes as a run of which all checksums but the trailer's are right, and as a block. Must not panic, hang or
/// allocate more than a small multiple of their length and of the rows they promise (65,536 a block).
pub fn fuzz_open(bytes: &[u8]) {
    fuzz_block(bytes);
    let Ok(run) = Run::from_source(Path::new("fuzz"), Source::Bytes(bytes.to_vec()), "fuzz") else { return };
    let mut last = None;
    let mut left = 10_000;
    let _ = run.scan(&Filter::default(), &mut |row, _| {
        last = Some(row);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(row) = last {
        let mut damage = run.find(row.flow.masked, Some(row.flow.protocol), Period::ALWAYS, &mut |_, _| {});
        let _ = run.neighbours(row.flow.masked, None, Timestamp::from_seconds(0), &mut damage);
        let by_client = Filter::client(row.flow.client.address, row.flow.start.range());
        damage.extend(run.scan(&by_client, &mut |_, _| ControlFlow::Continue(())));
    }
    let _ = (run.verify(), run.sizes());
    let _ = merge(&[run], &WriteOptions::default(), &mut std::io::sink());
}

fn fuzz_block(bytes: &[u8]) {
    let [low, high, block @ ..] = bytes else { return };
    let rows = usize::from(u16::from_le_bytes([*low, *high]));
    let padded = [block, &[0; PADDING]].concat();
    let mut columns = Columns::default();
    let Ok(bytes) = BlockBytes::new(&padded, rows) else { return };
    let mut block = BlockReader::new(bytes, &mut columns, 0, 0);
    let is_read =
        block.keys(0, u64::MAX).and_then(|rows| block.read_times(rows.end)).and_then(|()| block.read_rest());
    if let (Ok(()), Ok(mut walk)) = (is_read, block.walk(0)) {
        let mut pool = Pool::default();
        while let Some(Ok(_)) = walk.next(&mut pool) {}
    }
}
