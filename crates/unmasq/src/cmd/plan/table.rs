//! Lists of clients and their ports, as aligned columns.

use std::io::{self, Write};

use unmasq_plan::{Allocation, Block, Changes};

/// More lines than this are counted, not shown, unless all are asked for.
pub(crate) const MOST_SHOWN: usize = 20;

/// Clients with their blocks.
pub(crate) fn allocations(out: &mut impl Write, allocations: &[Allocation], most: usize) -> io::Result<()> {
    writeln!(out, "  {:<15}  {:<15}  {:<11}  protocols", "client", "public address", "ports")?;
    for allocation in allocations.iter().take(most) {
        let Block { address, ports } = allocation.block;
        writeln!(
            out,
            "  {:<15}  {:<15}  {:<11}  {}",
            allocation.client.to_string(),
            address.to_string(),
            ports.to_string(),
            allocation.protocols
        )?;
    }
    more(out, allocations.len(), most)
}

/// Who is added, moved and removed.
pub(crate) fn changes(out: &mut impl Write, changes: &Changes, most: usize) -> io::Result<()> {
    for moved in changes.moved.iter().take(most) {
        writeln!(out, "  ~ {:<15}  {} -> {}", moved.client.to_string(), moved.from, moved.to)?;
    }
    more(out, changes.moved.len(), most)?;
    for (sign, list) in [('-', &changes.removed), ('+', &changes.added)] {
        for allocation in list.iter().take(most) {
            writeln!(out, "  {sign} {:<15}  {}", allocation.client.to_string(), allocation.block)?;
        }
        more(out, list.len(), most)?;
    }
    Ok(())
}

/// `2 added, 1 moved, 0 removed, 250 as before`.
pub(crate) fn counts(changes: &Changes) -> String {
    format!(
        "{} added, {} moved, {} removed, {} as before",
        changes.added.len(),
        changes.moved.len(),
        changes.removed.len(),
        changes.unchanged
    )
}

fn more(out: &mut impl Write, all: usize, most: usize) -> io::Result<()> {
    match all.checked_sub(most).filter(|more| *more > 0) {
        Some(more) => writeln!(out, "    and {more} more; --all lists them"),
        None => Ok(()),
    }
}
