//! Ctrl-C.
//!
//! A command that leaves nothing behind just ends. One that does calls [`defer`] and
//! looks, while it works, whether it is to stop and clean up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{process, thread};

use ringstore::Error;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, Failure};
use crate::talk::say;

static DEFERRED: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C, and a request to terminate, end the command with the exit code for it.
/// A terminal that hangs up is left alone, for those who start a load with `nohup`.
pub(crate) fn install() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|source| {
        Failure::Store(Error::Io { operation: "handle", path: "Ctrl-C".into(), source })
    })?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if DEFERRED.load(Ordering::SeqCst) {
                STOP.store(true, Ordering::SeqCst);
            } else {
                say("interrupted");
                process::exit(Exit::Interrupted as i32);
            }
        }
    });
    Ok(())
}

/// What Ctrl-C sets once it is deferred.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// From here on Ctrl-C does no more than set the [`flag`].
pub(crate) fn defer() {
    DEFERRED.store(true, Ordering::SeqCst);
}

/// Fails if the command is to stop.
pub(crate) fn check() -> Result<(), Error> {
    if STOP.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;

    use super::*;

    const ALONE: &str = "RINGSTORE_TEST_ALONE";

    /// Runs the body of the test of this name after Ctrl-C: in a process of its own, for
    /// what Ctrl-C sets would stop other tests too.
    pub(crate) fn after_ctrl_c(test: &str, body: impl FnOnce()) {
        if std::env::var_os(ALONE).is_some() {
            STOP.store(true, Ordering::SeqCst);
            return body();
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", test]).env(ALONE, "").output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains(" 1 passed;"), "{stdout}");
    }
}
