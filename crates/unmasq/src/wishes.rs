//! What signals ask of a worker.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What a worker is asked while it runs: flags, which it looks at when it has the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// To stop.
    pub(crate) stop: Arc<AtomicBool>,
    /// To look at configuration, files or namespaces anew; the worker takes it back.
    pub(crate) reload: Arc<AtomicBool>,
}

impl Wishes {
    /// Those of SIGTERM, SIGINT and SIGHUP. Handlers, not threads: privileges can still be dropped.
    pub(crate) fn of_signals() -> anyhow::Result<Self> {
        let wishes = Self::default();
        for signal in [SIGTERM, SIGINT] {
            // A second one ends the process at once, should the disk not let us go.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&wishes.stop))
                .and_then(|_| flag::register(signal, Arc::clone(&wishes.stop)))
                .context("cannot handle signals")?;
        }
        flag::register(SIGHUP, Arc::clone(&wishes.reload)).context("cannot handle signals")?;
        Ok(wishes)
    }
}
