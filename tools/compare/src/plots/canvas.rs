//! What plots are drawn on: white, 800 pixels wide, with text of a few kinds.
//!
//! The font is the reader's, so that widths of text are only estimated, at those of wide
//! fonts: what is estimated to fit does.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) const WIDTH: i32 = 800;

/// What is left free at the edges.
pub(super) const EDGE: i32 = 24;

/// Where a plot begins, below its title.
pub(super) const TOP: i32 = 84;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const FAINT: RGBColor = RGBColor(0x6B, 0x72, 0x80);
pub(super) const GRID: RGBColor = RGBColor(0xE3, 0xE6, 0xEA);

/// Letters of more than a name has are left out.
const NAME_MAX: usize = 20;

/// What a text is like.
#[derive(Clone, Copy)]
pub(super) struct Text {
    size: i32,
    is_bold: bool,
    colour: RGBColor,
    anchor: HPos,
}

impl Text {
    const TITLE: Self = Self { size: 18, is_bold: true, colour: INK, anchor: HPos::Left };
    pub(super) const LABEL: Self = Self { size: 14, is_bold: false, ..Self::TITLE };
    pub(super) const BOLD: Self = Self { is_bold: true, ..Self::LABEL };
    pub(super) const NOTE: Self = Self { size: 13, colour: FAINT, ..Self::LABEL };
    pub(super) const MARK: Self = Self { size: 12, ..Self::NOTE };

    pub(super) fn coloured(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }

    /// It ends where it would begin.
    pub(super) fn to_the_left(self) -> Self {
        Self { anchor: HPos::Right, ..self }
    }

    pub(super) fn centred(self) -> Self {
        Self { anchor: HPos::Center, ..self }
    }

    /// The width of a text, at most.
    pub(super) fn width(self, text: &str) -> i32 {
        let of_letter = if self.is_bold { 0.70 } else { 0.64 };
        (f64::from(self.size) * of_letter * text.chars().count() as f64).ceil() as i32
    }
}

/// Shapes that tell lines and figures from each other without their colours.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Shape {
    pub(super) const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];
}

/// An engine's name, shortened if need be.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_string();
    }
    name.chars().take(NAME_MAX - 1).chain(['…']).collect()
}

/// The width of the widest name.
pub(super) fn width_of_names<'a>(names: impl Iterator<Item = &'a str>) -> i32 {
    names.map(|name| Text::BOLD.width(&short(name))).max().unwrap_or(0)
}

/// # Panics
///
/// None of its functions does: a string takes all that is drawn.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// Draws a plot of this height, with a title and a line below that tells what it is of.
pub(super) fn draw(height: i32, title: &str, note: &str, plot: impl FnOnce(&Canvas)) -> String {
    let mut svg = String::new();
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let canvas = Canvas(SVGBackend::with_string(&mut svg, size).into_drawing_area());
    // Not transparent: most pages in the dark have no dark text.
    canvas.bar((0, 0), (WIDTH, height), WHITE);
    canvas.text((EDGE, 30), title, Text::TITLE);
    canvas.text((EDGE, 54), note, Text::NOTE);
    plot(&canvas);
    canvas.0.present().expect(DRAWN);
    drop(canvas);
    svg
}

const DRAWN: &str = "a string takes all that is drawn";

impl Canvas<'_> {
    /// A text in the middle of this height.
    pub(super) fn text(&self, at: (i32, i32), text: &str, style: Text) {
        let weight = if style.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        // The backend takes sizes of boxes, and divides.
        let font = FontDesc::new(FontFamily::SansSerif, f64::from(style.size) * 1.24, weight);
        let font = font.color(&style.colour).pos(Pos::new(style.anchor, VPos::Center));
        self.0.draw_text(text, &font, at).expect(DRAWN);
    }

    /// A text that what lies behind does not touch.
    pub(super) fn text_above(&self, (x, y): (i32, i32), text: &str, style: Text) {
        let half = style.size / 2 + 2;
        self.bar((x - 2, y - half), (x + style.width(text), y + half), WHITE);
        self.text((x, y), text, style);
    }

    pub(super) fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) {
        let style = colour.stroke_width(width);
        self.0.draw(&PathElement::new(points, style)).expect(DRAWN);
    }

    /// Dots to the right.
    pub(super) fn dots(&self, (from, to): (i32, i32), y: i32, colour: RGBColor) {
        for x in (from..=to).step_by(5) {
            self.shape((x, y), Shape::Circle, 1, colour);
        }
    }

    pub(super) fn bar(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        self.0.draw(&Rectangle::new([from, to], colour.filled())).expect(DRAWN);
    }

    pub(super) fn shape(&self, (x, y): (i32, i32), shape: Shape, size: i32, colour: RGBColor) {
        let corners = match shape {
            Shape::Circle => {
                return self.0.draw(&Circle::new((x, y), size, colour.filled())).expect(DRAWN);
            }
            Shape::Square => {
                return self.bar((x - size, y - size), (x + size, y + size), colour);
            }
            Shape::Triangle => vec![(0, -size - 1), (size + 1, size), (-size - 1, size)],
            Shape::Diamond => {
                let size = size + 1;
                vec![(0, -size), (size, 0), (0, size), (-size, 0)]
            }
        };
        let corners: Vec<_> = corners.into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.0.draw(&Polygon::new(corners, colour.filled())).expect(DRAWN);
    }
}
