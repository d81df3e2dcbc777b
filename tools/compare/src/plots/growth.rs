//! What an operation takes as the store grows: a line an engine, named at its right end.
//!
//! Names keep apart from each other, and thin lines lead to them: dotted ones from where an
//! engine was measured last, if larger stores were measured of others.

use super::axis::Axis;
use super::canvas::{self, Canvas, EDGE, FAINT, GRID, TOP, Text, WIDTH};
use super::{BASE, ByTokens, colour, drawable, human, place, shape};

/// From one name to the next, at least.
const NAME: f64 = 19.0;

const LEFT: i32 = 92;

/// From the last points to the names.
const LEADER: i32 = 26;

/// Below the lines: marks, and what they mean.
const BELOW: i32 = 64;

/// An engine's times by numbers of tokens.
struct Line<'a> {
    engine: &'a str,
    times: Vec<(u64, f64)>,
}

impl Line<'_> {
    fn label(&self) -> String {
        canvas::short(self.engine) + if self.times.is_empty() { " n/a" } else { "" }
    }
}

/// The plot of these rows; nothing if there are times of fewer than two numbers of tokens.
pub(super) fn plot(operation: &str, rows: &ByTokens) -> Option<String> {
    let all = || rows.iter().flat_map(|(tokens, rows)| rows.iter().map(move |row| (*tokens, row)));
    let times = |engine: &str| {
        let of_engine = all().filter(|(_, row)| row.engine == engine);
        let times = of_engine.filter_map(|(tokens, row)| Some((tokens, drawable(row.ns_per_op)?)));
        times.collect::<Vec<_>>()
    };
    let mut engines: Vec<_> = all().map(|(_, row)| row.engine.as_ref()).collect();
    engines.sort_by_key(|engine| place(engine));
    engines.dedup();
    let lines: Vec<_> =
        engines.into_iter().map(|engine| Line { engine, times: times(engine) }).collect();
    let points = || lines.iter().flat_map(|line| &line.times);
    let x = Axis::between(&points().map(|point| point.0 as f64).collect::<Vec<_>>())?;
    let y = Axis::decades(&points().map(|point| point.1).collect::<Vec<_>>())?;
    let mut sizes: Vec<_> = points().map(|point| point.0).collect();
    sizes.sort_unstable();
    sizes.dedup();

    let labels = lines.iter().map(|line| Text::BOLD.width(&line.label())).max().unwrap_or(0);
    let of_names = (NAME * lines.len() as f64) as i32;
    let bottom = Area::TOP + of_names.max(380);
    let area = Area { x, y, right: WIDTH - EDGE - labels - LEADER, bottom };
    let title = format!("Time of one {operation} by number of tokens, uniform keys");
    let note = "Median over rounds, one thread. Both axes are logarithmic.";
    Some(canvas::draw(bottom + BELOW, &title, note, |canvas| {
        area.draw_axes(canvas, operation, &sizes);
        area.draw_lines(canvas, &lines);
    }))
}

/// Where lines are drawn.
struct Area {
    x: Axis,
    y: Axis,
    right: i32,
    bottom: i32,
}

impl Area {
    const TOP: i32 = TOP + 20;

    fn pixel(&self, (tokens, ns): (u64, f64)) -> (i32, i32) {
        let x = self.x.pixel(tokens as f64, (LEFT, self.right));
        (x, self.y.pixel(ns, (self.bottom, Self::TOP)))
    }

    /// Times are marked at decades, and tokens where they were measured.
    fn draw_axes(&self, canvas: &Canvas, operation: &str, sizes: &[u64]) {
        canvas.text((EDGE, TOP), &format!("time of one {operation}"), Text::NOTE);
        for ns in self.y.marks(8) {
            let y = self.y.pixel(ns, (self.bottom, Self::TOP));
            canvas.line(&[(LEFT, y), (self.right, y)], GRID, 1);
            canvas.text((LEFT - 12, y), &human::time_at_mark(ns), Text::MARK.to_the_left());
        }
        let mut free = 0;
        for tokens in sizes {
            let x = self.x.pixel(*tokens as f64, (LEFT, self.right));
            canvas.line(&[(x, self.bottom), (x, self.bottom + 5)], FAINT, 1);
            let text = human::tokens(*tokens);
            let half = Text::MARK.width(&text) / 2;
            if x - half >= free {
                canvas.text((x, self.bottom + 18), &text, Text::MARK.centred());
                free = x + half + 8;
            }
        }
        let middle = i32::midpoint(LEFT, self.right);
        canvas.text((middle, self.bottom + 42), "tokens", Text::NOTE.centred());
    }

    fn draw_lines(&self, canvas: &Canvas, lines: &[Line]) {
        // The slowest first, and last of all an engine without times.
        let mut by_height: Vec<_> = lines.iter().collect();
        let last = |line: &Line| line.times.last().map_or(0.0, |point| point.1);
        by_height.sort_by(|one, other| last(other).total_cmp(&last(one)));
        let end = |line: &Line| line.times.last().map(|point| self.pixel(*point));
        let height = |line: &Line| end(line).map_or(self.bottom, |(_, y)| y);
        let wanted: Vec<_> = by_height.iter().map(|line| f64::from(height(line))).collect();
        let heights = apart(&wanted, NAME, (Self::TOP.into(), self.bottom.into()));
        // What stands out is drawn last, above the others.
        let mut by_height: Vec<_> = by_height.into_iter().zip(heights).collect();
        by_height.sort_by_key(|(line, _)| line.engine == BASE);
        for (line, height) in by_height {
            let colour = colour(line.engine);
            let (width, style) =
                if line.engine == BASE { (4, Text::BOLD) } else { (2, Text::LABEL) };
            let at = (self.right + LEADER, height.round() as i32);
            let Some(end) = end(line) else {
                canvas.text(at, &line.label(), style.coloured(FAINT));
                continue;
            };
            canvas.dots((end.0 + 10, self.right), end.1, colour);
            canvas.line(&[(self.right + 6, end.1), (at.0 - 4, at.1)], colour, 1);
            canvas.text(at, &line.label(), style.coloured(colour));
            let points: Vec<_> = line.times.iter().map(|point| self.pixel(*point)).collect();
            canvas.line(&points, colour, width);
            for point in points {
                canvas.shape(point, shape(line.engine), 4, colour);
            }
        }
    }
}

/// Places close to the wanted ones, which ascend, with a gap between any two, and between
/// two ends if there is room.
///
/// Those that would be too close form blocks, each of which lies in the middle of where its
/// members want to be.
fn apart(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let before = |place: usize| gap * place as f64;
    // Where a block's members want its first one, on average, as if it were the first of all.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (place, wanted) in wanted.iter().enumerate() {
        let mut block = (wanted - before(place), 1);
        while let Some(last) = blocks.pop_if(|last| last.0 > block.0) {
            let count = last.1 + block.1;
            let sum = last.0 * last.1 as f64 + block.0 * block.1 as f64;
            block = (sum / count as f64, count);
        }
        blocks.push(block);
    }
    let last = before(wanted.len().saturating_sub(1));
    let firsts = blocks.into_iter().flat_map(|(first, count)| std::iter::repeat_n(first, count));
    let places = firsts.enumerate();
    places.map(|(place, first)| first.min(high - last).max(low) + before(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart_and_within_the_plot() {
        let ends = (0.0, 100.0);
        assert_eq!(apart(&[10.0, 50.0], 20.0, ends), [10.0, 50.0]);
        assert_eq!(apart(&[50.0, 50.0], 20.0, ends), [40.0, 60.0]);
        assert_eq!(apart(&[0.0, 0.0, 70.0], 20.0, ends), [0.0, 20.0, 70.0]);
        assert_eq!(apart(&[100.0, 100.0], 20.0, ends), [80.0, 100.0]);
        assert_eq!(apart(&[30.0, 40.0, 50.0, 90.0], 20.0, ends), [20.0, 40.0, 60.0, 90.0]);
        assert_eq!(apart(&[50.0; 3], 60.0, ends), [0.0, 60.0, 120.0]);
        assert!(apart(&[], 20.0, ends).is_empty());
    }
}
