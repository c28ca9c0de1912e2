//! Witnesses that are alive: the book of a running recorder, and the kernel's own tables. (The ledger's is in
//! `unmasq-trace`.) Asked only about the present: of anything older they know less than the ledger.

mod book;
mod kernel;

pub(crate) use book::BookWitness;
pub(crate) use kernel::KernelWitness;
