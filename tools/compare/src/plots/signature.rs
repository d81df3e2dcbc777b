//! What a signature takes, by engine: the question that the store is made for.

use super::axis::Axis;
use super::bars::Bars;
use super::canvas::{self, TOP};
use super::{BASE, drawable, human};
use crate::results::Measured;

/// The plot of these rows, one an engine; nothing if none has a time.
pub(super) fn plot(tokens: u64, rows: &[&Measured]) -> Option<String> {
    let bars = Bars::new(rows, |row| row.ns_per_op, TOP);
    let axis = Axis::bars(&bars.figures())?;
    let base = bars.base();
    let title = format!("Time of one signature: {} tokens, uniform keys", human::tokens(tokens));
    let note = match base {
        Some(_) if bars.figures().len() > 1 => {
            "Median over rounds, one thread. In parentheses: relative to ringstore."
        }
        _ => "Median over rounds, one thread.",
    };
    let label = |engine: &str, time: f64| {
        let base = base.filter(|_| engine != BASE);
        let ratio = drawable(base.map(|base| time / base));
        let ratio = ratio.map(|ratio| format!(" ({})", human::ratio(ratio)));
        human::time(time) + &ratio.unwrap_or_default()
    };
    Some(canvas::draw(bars.height(), &title, note, |canvas| {
        let unit = ("time of one signature, logarithmic", human::time_at_mark as fn(f64) -> String);
        bars.draw(canvas, &axis, unit, label, None);
    }))
}
