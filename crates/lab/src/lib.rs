//! What tests, the demo and the benches need of the world: made-up flows, network namespaces, servers, load.

pub mod random;
pub mod synthetic;
