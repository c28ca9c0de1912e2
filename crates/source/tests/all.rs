//! What the sources give, of real data, of real programs and of hostile ones.

mod support;

mod containing;
mod follow;
mod formats;
mod haproxy;
mod sockets;
mod stress;
