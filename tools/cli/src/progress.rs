//! Bars on standard error for what takes longer than a moment.

use std::fmt;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::style::TemplateError;
use indicatif::{HumanFloatCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use ringstore::{Phase, Progress};
use ringstore_cli::input::Watch;

use crate::interrupt;

/// What is done sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a bar counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Records,
    /// Nothing: it takes as long as it takes.
    None,
}

/// A bar that appears if standard error is a terminal and the work takes long.
pub(crate) struct Meter {
    visible: bool,
    started: Instant,
    stage: Mutex<Option<Stage>>,
}

/// A part of the work with a bar of its own.
struct Stage {
    name: String,
    bar: ProgressBar,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let visible = io::stderr().is_terminal();
        Self { visible, started: Instant::now(), stage: Mutex::new(None) }
    }

    /// Shows how much of a stage is done. Another name begins another stage.
    pub(crate) fn show(&self, name: &str, unit: Unit, done: u64, total: Option<u64>) {
        if !self.visible {
            return;
        }
        // The bar of a thread that panicked is as good as any.
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.as_ref().is_none_or(|stage| stage.name != name) {
            // The bar before goes before this one comes.
            *stage = None;
        }
        let Stage { bar, .. } = stage.get_or_insert_with(|| Stage::new(name, unit, done, total));
        // It counts from the start, so that its rate is right once it is seen.
        bar.set_position(done);
        if bar.is_hidden() && self.started.elapsed() >= PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.tick();
        }
    }

    /// Shows the progress of a load, by bytes of input while their number is known.
    pub(crate) fn show_load(
        &self,
        progress: Progress,
        watch: &Watch,
        input_bytes: Option<u64>,
    ) -> ControlFlow<()> {
        match (progress.phase, input_bytes) {
            // What is done between two stretches of the input takes its time as well.
            (phase @ (Phase::Reading | Phase::Sorting | Phase::Spilling), Some(total))
                if phase == Phase::Reading || watch.bytes.load(Ordering::Relaxed) < total =>
            {
                let done = watch.bytes.load(Ordering::Relaxed);
                self.show("reading", Unit::Bytes, done, Some(total));
                self.say(phase);
                goes_on()
            }
            _ => self.show_library(progress),
        }
    }

    /// Says what is done just now, beside the bar that there is.
    fn say(&self, phase: Phase) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Stage { bar, .. }) = stage.as_ref() {
            bar.set_message(phase.to_string());
        }
    }

    /// Shows what the library reports.
    pub(crate) fn show_library(
        &self,
        Progress { phase, done, total }: Progress,
    ) -> ControlFlow<()> {
        let unit = match phase {
            Phase::Verifying | Phase::Copying | Phase::Prefaulting => Unit::Bytes,
            Phase::Syncing => Unit::None,
            _ => Unit::Records,
        };
        self.show(&phase.to_string(), unit, done, total);
        goes_on()
    }
}

impl Stage {
    /// A stage of which so much was done already, perhaps before another one.
    fn new(name: &str, unit: Unit, done: u64, total: Option<u64>) -> Self {
        let bar = bar(name, unit, total).with_position(done);
        // Its rate is that of what is done from now on.
        bar.reset_eta();
        Self { name: name.to_string(), bar }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn goes_on() -> ControlFlow<()> {
    if interrupt::check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn template(unit: Unit, with_total: bool) -> &'static str {
    match (unit, with_total) {
        (Unit::None, _) => "{msg} …",
        (Unit::Bytes, true) => {
            "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (Unit::Bytes, false) => "{msg} {spinner} {bytes}, {bytes_per_sec}",
        (Unit::Records, true) => "{msg} {wide_bar} {human_pos}/{human_len}, {rate}, {eta} left",
        (Unit::Records, false) => "{msg} {spinner} {human_pos}, {rate}",
    }
}

fn style(unit: Unit, with_total: bool) -> Result<ProgressStyle, TemplateError> {
    let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
        // A text that cannot be written is not shown.
        let _ = write!(text, "{}/s", HumanFloatCount(state.per_sec().round()));
    };
    Ok(ProgressStyle::with_template(template(unit, with_total))?.with_key("rate", rate))
}

fn bar(name: &str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
    // A template that does not parse leaves the standard one.
    bar.with_style(style(unit, total.is_some()).unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// What a bar answers in each phase, with and without a length of the input.
    fn answers() -> Vec<ControlFlow<()>> {
        let (meter, watch) = (Meter::new(), Watch::new(&NEVER));
        let phases =
            [Phase::Reading, Phase::Sorting, Phase::Writing, Phase::Syncing, Phase::Verifying];
        let each = phases.map(|phase| Progress { phase, done: 1, total: Some(2) }).into_iter();
        each.flat_map(|progress| {
            [
                meter.show_load(progress, &watch, Some(7)),
                meter.show_load(progress, &watch, None),
                meter.show_library(progress),
            ]
        })
        .collect()
    }

    #[test]
    fn every_phase_goes_on() {
        assert_eq!(answers(), [ControlFlow::Continue(()); 15]);
    }

    #[test]
    fn every_phase_stops_after_ctrl_c() {
        interrupt::tests::after_ctrl_c("progress::tests::every_phase_stops_after_ctrl_c", || {
            assert_eq!(answers(), [ControlFlow::Break(()); 15]);
        });
    }

    #[test]
    fn every_template_parses() {
        for unit in [Unit::Bytes, Unit::Records, Unit::None] {
            for total in [None, Some(10)] {
                assert!(style(unit, total.is_some()).is_ok());
            }
        }
    }
}
