//! What the fuzz targets call: parsers of outside texts, as plain functions. No part of the interface.

mod listing;
mod macros;
mod ruleset;

pub use listing::listing;
pub use macros::macros;
pub use ruleset::ruleset;
