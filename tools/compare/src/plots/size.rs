//! What a token takes on disk, by engine, beside the record that is to be kept.

use ringstore::Record;

use super::axis::Axis;
use super::bars::Bars;
use super::canvas::{self, TOP, Text};
use super::human;
use crate::results::Measured;

const RECORD: f64 = size_of::<Record>() as f64;

/// The plot of these rows, one an engine; nothing if none is on disk.
pub(super) fn plot(tokens: u64, rows: &[&Measured]) -> Option<String> {
    // Below what the line is called.
    let bars = Bars::new(rows, |row| row.bytes_per_token, TOP + 24);
    let largest = bars.figures().into_iter().max_by(f64::total_cmp)?;
    let axis = Axis::from_zero(largest.max(RECORD));
    let title = format!("Bytes a token on disk: {} tokens, uniform keys", human::tokens(tokens));
    let note = "All files of a closed database that was loaded in order, for each token.";
    Some(canvas::draw(bars.height(), &title, note, |canvas| {
        let unit = ("bytes a token", human::plain as fn(f64) -> String);
        bars.draw(canvas, &axis, unit, |_, bytes| human::bytes(bytes), Some(RECORD));
        let (left, right) = bars.span();
        let x = axis.pixel(RECORD, (left, right));
        let is_right = x > i32::midpoint(left, right);
        let style = if is_right { Text::NOTE.to_the_left() } else { Text::NOTE };
        canvas.text((x, TOP + 6), &format!("{RECORD} B: the record itself"), style);
    }))
}
