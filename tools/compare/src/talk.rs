//! What is told: results on standard output; talk and progress on standard error, in lines,
//! and on a terminal with a bar below them.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::Failure;

/// What goes on just now. It shows nothing where nobody looks.
static BAR: LazyLock<ProgressBar> = LazyLock::new(|| {
    let is_seen = io::stderr().is_terminal();
    let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target)
});

/// Seldom enough for what is measured.
const TICK: Duration = Duration::from_secs(1);

/// Says one line on standard error. If nobody listens, nothing is said.
pub fn say(message: impl Display) {
    BAR.suspend(|| {
        let _ = writeln!(io::stderr().lock(), "ringstore-compare: {message}");
    });
}

/// Begins something that consists of so many turns.
pub(crate) fn stage(what: impl Display, turns: usize) {
    say(&what);
    if BAR.is_hidden() {
        return;
    }
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {elapsed}");
    BAR.reset();
    BAR.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    BAR.set_length(turns as u64);
    BAR.set_prefix(what.to_string());
    BAR.enable_steady_tick(TICK);
}

/// Goes on to the next turn, which is this engine's.
pub(crate) fn turn(engine: &str) {
    if !BAR.is_hidden() {
        BAR.set_message(engine.to_string());
        BAR.inc(1);
    }
}

/// Takes the bar away.
pub(crate) fn end() {
    BAR.disable_steady_tick();
    BAR.finish_and_clear();
}

/// Prints results.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Failure::Output)
}
