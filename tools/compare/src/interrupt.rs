//! Ctrl-C, a request to terminate, or a terminal that hangs up: what the run made is
//! removed, and the command ends with 130.
//!
//! Engines go on meanwhile, while their files vanish. What fails in that time, and what is
//! found to be wrong, says nothing: whoever meets it [waits](wait_if_interrupted) for the
//! end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::exit::{Exit, Failure};
use crate::talk::say;

/// How often it is tried to remove what an engine may still be adding to, and how long is
/// waited between.
const REMOVALS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is to be removed.
static CURRENT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From here on an interrupt is handled.
pub(crate) fn install() -> Result<(), Failure> {
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]);
    let mut signals = signals.map_err(Failure::io("handle", Path::new("Ctrl-C")))?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            say("interrupted");
            if let Some(path) = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take() {
                remove(&path);
            }
            // At once, for engines are at work.
            low_level::exit(Exit::Interrupted as i32);
        }
    });
    Ok(())
}

/// What is to be removed by an interrupt, if anything.
pub(crate) fn on_interrupt_remove(path: Option<PathBuf>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = path;
}

/// Does not return once the run is interrupted.
pub(crate) fn wait_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}

fn remove(path: &Path) {
    for _ in 0..REMOVALS {
        if fs::remove_dir_all(path).is_ok() {
            return;
        }
        thread::sleep(PAUSE);
    }
    say(format_args!("cannot remove {}", path.display()));
}
