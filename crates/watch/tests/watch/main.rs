//! What holds of this crate as a whole. Tests in network namespaces need root and fail without it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod enforce;
