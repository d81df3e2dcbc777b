//! How far apart an engine's operations are: the usual one, the slowest of a hundred, and
//! of a thousand. The figures stand beside the lines, below what also says which mark is
//! which.

use super::axis::Axis;
use super::canvas::{self, Canvas, EDGE, FAINT, GRID, Shape, TOP, Text, WIDTH};
use super::{ACCENT, BASE, drawable, human, sort_by_figure};
use crate::results::Measured;

const ROW: i32 = 26;

/// Of one percentile, to the right of the lines.
const COLUMN: i32 = 76;

/// Above the lines of a panel: what it is of, and the percentiles' names.
const HEADER: i32 = 34;

/// Below them: marks, and what they mean.
const FOOTER: i32 = 66;

const PERCENTILES: [(&str, Shape); 3] =
    [("p50", Shape::Circle), ("p99", Shape::Diamond), ("p999", Shape::Square)];

/// One workload: engines and what they have of the percentiles.
struct Panel<'a> {
    operation: &'static str,
    rows: Vec<(&'a str, [Option<f64>; 3])>,
    axis: Axis,
}

/// The plot of these rows of each workload, one an engine; nothing if there are no times.
pub(super) fn plot(tokens: u64, signs: &[&Measured], hits: &[&Measured]) -> Option<String> {
    let panels = [Panel::new("signature", signs), Panel::new("lookup", hits)];
    let panels: Vec<_> = panels.into_iter().flatten().collect();
    if panels.is_empty() {
        return None;
    }
    let height = TOP + panels.iter().map(Panel::height).sum::<i32>();
    let operations: Vec<_> = panels.iter().map(|panel| panel.operation).collect();
    let operations = operations.join(" and of one ");
    let tokens = human::tokens(tokens);
    let title = format!("Percentiles of one {operations}");
    let note =
        format!("{tokens} tokens, uniform keys, one thread. Times include reading the clock once.");
    Some(canvas::draw(height, &title, &note, |canvas| {
        let mut top = TOP;
        for panel in &panels {
            panel.draw(canvas, top);
            top += panel.height();
        }
    }))
}

impl<'a> Panel<'a> {
    fn new(operation: &'static str, rows: &[&'a Measured]) -> Option<Self> {
        let percentiles = |row: &&'a Measured| {
            let all = [row.p50_ns, row.p99_ns, row.p999_ns];
            (row.engine.as_ref(), all.map(|ns| drawable(ns.map(|ns| ns as f64))))
        };
        let mut rows: Vec<_> = rows.iter().map(percentiles).collect();
        sort_by_figure(&mut rows, |(_, percentiles)| percentiles[0]);
        let times: Vec<_> = rows.iter().flat_map(|(_, all)| all).filter_map(|ns| *ns).collect();
        Some(Self { operation, rows, axis: Axis::decades(&times)? })
    }

    fn height(&self) -> i32 {
        HEADER + self.rows.iter().map(|_| ROW).sum::<i32>() + FOOTER
    }

    fn draw(&self, canvas: &Canvas, top: i32) {
        let names = canvas::width_of_names(self.rows.iter().map(|(engine, _)| *engine));
        let (left, right) = (EDGE + names + 14, WIDTH - EDGE - 3 * COLUMN - 8);
        let column = |place: i32| WIDTH - EDGE - COLUMN * (2 - place);
        for (place, (name, shape)) in (0..).zip(PERCENTILES) {
            let style = Text::NOTE.to_the_left();
            canvas.text((column(place), top + 14), name, style);
            canvas.shape((column(place) - style.width(name) - 8, top + 14), shape, 4, FAINT);
        }
        let (from, to) = (top + HEADER, top + self.height() - FOOTER);
        canvas.text((EDGE, top + 14), &format!("one {}", self.operation), Text::BOLD);
        for figure in self.axis.marks(5) {
            let x = self.axis.pixel(figure, (left, right));
            canvas.line(&[(x, from), (x, to)], GRID, 1);
            canvas.text((x, to + 14), &human::time_at_mark(figure), Text::MARK.centred());
        }
        let unit = format!("time of one {}, logarithmic", self.operation);
        canvas.text((i32::midpoint(left, right), to + 38), &unit, Text::NOTE.centred());
        for (place, (engine, percentiles)) in (0..).zip(&self.rows) {
            let y = from + ROW * place + ROW / 2;
            let (colour, style) = match *engine {
                BASE => (ACCENT, Text::BOLD),
                _ => (FAINT, Text::LABEL),
            };
            canvas.text((left - 14, y), &canvas::short(engine), style.to_the_left());
            let pixel = |ns: &f64| (self.axis.pixel(*ns, (left, right)), y);
            let points: Vec<_> = percentiles.iter().flatten().map(pixel).collect();
            canvas.line(&points, colour, 2);
            for ((place, ns), (_, shape)) in (0..).zip(percentiles).zip(PERCENTILES) {
                let text = ns.map_or("n/a".to_string(), human::time);
                let style = if ns.is_some() { style } else { Text::LABEL.coloured(FAINT) };
                canvas.text((column(place), y), &text, style.to_the_left());
                if let Some(ns) = ns {
                    canvas.shape(pixel(ns), shape, 4, colour);
                }
            }
        }
    }
}
