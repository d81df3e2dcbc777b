//! An axis: where a figure lies on it, and its marks.

/// From low to high; of figures, or of their decimal logarithms.
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Axis {
    /// From zero to a figure above zero.
    pub(super) fn from_zero(high: f64) -> Self {
        Self { low: 0.0, high, is_log: false }
    }

    /// Whole decades in which all figures lie, which are above zero.
    pub(super) fn decades(figures: &[f64]) -> Option<Self> {
        let (low, high) = ends(figures)?;
        let low = low.floor();
        Some(Self { low, high: high.ceil().max(low + 1.0), is_log: true })
    }

    /// As [`Axis::decades`], but up to the largest figure, and with some length below the
    /// least one, for bars to begin.
    pub(super) fn bars(figures: &[f64]) -> Option<Self> {
        let (low, high) = ends(figures)?;
        Some(Self { low: (low - 0.3).floor(), high, is_log: true })
    }

    /// From the least figure, above zero, to a larger one.
    pub(super) fn between(figures: &[f64]) -> Option<Self> {
        let (low, high) = ends(figures)?;
        (low < high).then_some(Self { low, high, is_log: true })
    }

    /// The pixel of a figure between those of the two ends.
    pub(super) fn pixel(&self, figure: f64, (from, to): (i32, i32)) -> i32 {
        let figure = if self.is_log { figure.log10() } else { figure };
        let part = (figure - self.low) / (self.high - self.low);
        from + (f64::from(to - from) * part).round() as i32
    }

    /// Marks, no more than so many and one: powers of ten, or multiples of a round number.
    pub(super) fn marks(&self, wanted: u32) -> Vec<f64> {
        let least = (self.high - self.low) / f64::from(wanted);
        let step = if self.is_log { least.ceil() } else { round_up(least) };
        // The last one is there, whatever its sum was rounded to.
        let end = self.high + step * 1e-9;
        let marks = (0..=wanted).map(|place| self.low + f64::from(place) * step);
        let marks = marks.take_while(|mark| *mark <= end);
        let marks = marks.map(|mark| if self.is_log { 10_f64.powf(mark) } else { mark });
        // There are figures in decades whose ends are none.
        marks.filter(|mark| mark.is_finite() && (*mark > 0.0 || !self.is_log)).collect()
    }
}

fn ends(figures: &[f64]) -> Option<(f64, f64)> {
    let logarithms = || figures.iter().map(|figure| figure.log10());
    Some((logarithms().min_by(f64::total_cmp)?, logarithms().max_by(f64::total_cmp)?))
}

/// The next of 1, 2, 5, 10, 20, …
fn round_up(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|digit| digit * power);
    steps.into_iter().find(|round| *round >= step).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_what_is_shown() {
        let axis = Axis::decades(&[1_200.0, 4.7e6]).unwrap();
        assert_eq!(axis.marks(8), [1e3, 1e4, 1e5, 1e6, 1e7]);
        assert_eq!(axis.pixel(1e3, (100, 500)), 100);
        assert_eq!(axis.pixel(1e5, (100, 500)), 300);
        assert_eq!(axis.pixel(1e7, (500, 100)), 100);
        assert!(Axis::decades(&[]).is_none());
    }

    #[test]
    fn equal_figures_have_a_length_and_a_decade() {
        assert_eq!(Axis::decades(&[1e3, 1e3]).unwrap().marks(8), [1e3, 1e4]);
        assert_eq!(Axis::bars(&[1e3, 1e3]).unwrap().pixel(1e3, (0, 90)), 90);
        assert!(Axis::between(&[1e3, 1e3]).is_none());
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(Axis::from_zero(168.0).marks(6), [0.0, 50.0, 100.0, 150.0]);
        assert_eq!(Axis::from_zero(84.5).marks(6), [0.0, 20.0, 40.0, 60.0, 80.0]);
        for figures in [[f64::MIN_POSITIVE, f64::MAX], [5e-324, 1.0], [1.0, f64::MAX]] {
            for axis in [Axis::decades(&figures).unwrap(), Axis::bars(&figures).unwrap()] {
                let marks = axis.marks(8);
                assert!((2..=9).contains(&marks.len()), "{marks:?}");
            }
        }
    }
}
