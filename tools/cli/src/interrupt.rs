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
