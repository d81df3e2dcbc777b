//! Whether those come who are waited for: where they do not, that is tried less and less.

/// So many leaders in a row wait for nobody, at the most, where those did not come.
const SKIPS_MAX: u32 = 63;

/// Whether it is worth it to wait.
#[derive(Default)]
pub(super) struct Gathers {
    to_skip: u32,
    skipped: u32,
}

impl Gathers {
    /// Whether to wait this time.
    pub(super) fn begin(&mut self) -> bool {
        self.skipped += 1;
        self.skipped > self.to_skip
    }

    /// A wait is over; did those come who were waited for?
    pub(super) fn end(&mut self, came: bool) {
        let to_skip = if came { 0 } else { (2 * self.to_skip + 1).min(SKIPS_MAX) };
        *self = Self { to_skip, skipped: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_less_and_less_and_again_and_again() {
        let mut gathers = Gathers::default();
        let mut tried = Vec::new();
        for time in 0..400 {
            if gathers.begin() {
                tried.push(time);
                gathers.end(false);
            }
        }
        assert_eq!(tried, [0, 2, 6, 14, 30, 62, 126, 190, 254, 318, 382]);
        while !gathers.begin() {}
        gathers.end(true);
        assert!(gathers.begin());
    }
}
