//! A bar an engine, the shortest first, from a common left end.

use super::axis::Axis;
use super::canvas::{self, Canvas, EDGE, FAINT, GRID, INK, Text, WIDTH};
use super::{ACCENT, BASE, NEUTRAL, drawable, sort_by_figure};
use crate::results::Measured;

/// From the middle of a bar to that of the next.
const ROW: i32 = 34;

const BAR_HALF: i32 = 10;

/// What labels take, to the right of the longest bar.
const LABEL: i32 = 150;

/// From the last bar to the end of the plot: marks, and what they mean.
const BELOW: i32 = 64;

/// Engines and their figures, if they have one.
pub(super) struct Bars<'a> {
    bars: Vec<(&'a str, Option<f64>)>,
    /// Where the first bar begins.
    top: i32,
}

impl<'a> Bars<'a> {
    /// Bars of rows, one an engine.
    pub(super) fn new(
        rows: &[&'a Measured],
        figure: impl Fn(&Measured) -> Option<f64>,
        top: i32,
    ) -> Self {
        let bars = rows.iter().map(|row| (row.engine.as_ref(), drawable(figure(row))));
        let mut bars: Vec<_> = bars.collect();
        sort_by_figure(&mut bars, |bar| bar.1);
        Self { bars, top }
    }

    /// All that there are.
    pub(super) fn figures(&self) -> Vec<f64> {
        self.bars.iter().filter_map(|bar| bar.1).collect()
    }

    /// That of [`BASE`].
    pub(super) fn base(&self) -> Option<f64> {
        self.bars.iter().find(|bar| bar.0 == BASE)?.1
    }

    fn bottom(&self) -> i32 {
        self.top + self.bars.iter().map(|_| ROW).sum::<i32>()
    }

    /// That of a plot of nothing else.
    pub(super) fn height(&self) -> i32 {
        self.bottom() + BELOW
    }

    /// The pixels of the ends of the axis.
    pub(super) fn span(&self) -> (i32, i32) {
        let names = canvas::width_of_names(self.bars.iter().map(|bar| bar.0));
        (EDGE + names + 10, WIDTH - EDGE - LABEL)
    }

    /// Draws them along an axis, whose marks are so written, with a line at a figure.
    pub(super) fn draw(
        &self,
        canvas: &Canvas,
        axis: &Axis,
        (unit, mark): (&str, fn(f64) -> String),
        label: impl Fn(&str, f64) -> String,
        line: Option<f64>,
    ) {
        let (left, right) = self.span();
        let bottom = self.bottom();
        for figure in axis.marks(7) {
            let x = axis.pixel(figure, (left, right));
            canvas.line(&[(x, self.top), (x, bottom)], GRID, 1);
            canvas.text((x, bottom + 14), &mark(figure), Text::MARK.centred());
        }
        canvas.text((i32::midpoint(left, right), bottom + 40), unit, Text::NOTE.centred());
        for (place, (engine, figure)) in (0..).zip(&self.bars) {
            let y = self.top + ROW * place + ROW / 2;
            let (colour, style) = match *engine {
                BASE => (ACCENT, Text::BOLD),
                _ => (NEUTRAL, Text::LABEL),
            };
            canvas.text((left - 10, y), &canvas::short(engine), style.to_the_left());
            let Some(figure) = *figure else {
                canvas.text_above((left + 6, y), "n/a", style.coloured(FAINT));
                continue;
            };
            let x = axis.pixel(figure, (left, right));
            canvas.bar((left, y - BAR_HALF), (x, y + BAR_HALF), colour);
            canvas.text_above((x + 6, y), &label(engine, figure), style);
        }
        if let Some(figure) = line {
            let x = axis.pixel(figure, (left, right));
            canvas.line(&[(x, self.top - 6), (x, bottom)], INK, 1);
        }
    }
}
