//! Figures as they stand in plots: two or three digits, for there they are only read along.

/// A time.
pub(super) fn time(ns: f64) -> String {
    in_unit(ns, short)
}

/// A time at a mark, which is a round one.
pub(super) fn time_at_mark(ns: f64) -> String {
    in_unit(ns, plain)
}

fn in_unit(ns: f64, human: fn(f64) -> String) -> String {
    let units = [("ns", 1e0), ("µs", 1e3), ("ms", 1e6)].into_iter();
    // What would be rounded to a thousand of a unit is one of the next.
    let unit = units.map(|(unit, size)| (unit, ns / size)).find(|(_, figure)| *figure < 999.5);
    let (unit, figure) = unit.unwrap_or(("s", ns / 1e9));
    format!("{} {unit}", human(figure))
}

/// How many times another figure this one is. Engines may be close to each other.
pub(super) fn ratio(ratio: f64) -> String {
    if (0.995..9.995).contains(&ratio) {
        format!("{ratio:.2}×")
    } else {
        format!("{}×", short(ratio))
    }
}

/// Bytes, of which parts count.
pub(super) fn bytes(bytes: f64) -> String {
    if bytes < 1e6 { format!("{bytes:.1} B") } else { format!("{bytes:.0e} B") }
}

/// A number of tokens.
pub(super) fn tokens(tokens: u64) -> String {
    if tokens >= 1_000_000 && tokens.is_multiple_of(10_000) {
        format!("{} million", tokens as f64 / 1e6)
    } else {
        thousands(&tokens.to_string())
    }
}

/// A number at a mark, without needless digits.
pub(super) fn plain(figure: f64) -> String {
    if (1e-3..1e6).contains(&figure) || figure == 0.0 {
        format!("{figure}")
    } else {
        format!("{figure:.0e}")
    }
}

fn short(figure: f64) -> String {
    match figure {
        0.0 => "0".to_string(),
        ..0.001 => format!("{figure:.0e}"),
        ..0.095 => format!("{figure:.3}"),
        ..0.995 => format!("{figure:.2}"),
        ..9.95 => format!("{figure:.1}"),
        ..1e6 => thousands(&format!("{figure:.0}")),
        _ => format!("{figure:.0e}"),
    }
}

/// Digits in groups of three.
fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        for (ns, text) in [
            (0.4, "0.40 ns"),
            (1.2, "1.2 ns"),
            (999.4, "999 ns"),
            (999.6, "1.0 µs"),
            (1_200.0, "1.2 µs"),
            (9_960.0, "10 µs"),
            (207_000.0, "207 µs"),
            (999_700.0, "1.0 ms"),
            (4.0e6, "4.0 ms"),
            (1.5e12, "1,500 s"),
            (1e300, "1e291 s"),
        ] {
            assert_eq!(time(ns), text);
        }
    }

    #[test]
    fn marks_have_no_needless_digits() {
        let marks = [1.0, 100.0, 1e3, 1e7, 1e9, 1e-5, 1e300].map(time_at_mark);
        assert_eq!(marks, ["1 ns", "100 ns", "1 µs", "10 ms", "1 s", "1e-5 ns", "1e291 s"]);
    }

    #[test]
    fn other_figures_are_short_as_well() {
        assert_eq!(ratio(172.6), "173×");
        assert_eq!(ratio(3_916.7), "3,917×");
        assert_eq!([1.014, 9.99].map(ratio), ["1.01×", "9.99×"]);
        assert_eq!([0.52, 0.05, 0.00001].map(ratio), ["0.52×", "0.050×", "1e-5×"]);
        assert_eq!([75.25, 2e9].map(bytes), ["75.2 B", "2e9 B"]);
        assert_eq!([7, 2_000, 1_000_000].map(tokens), ["7", "2,000", "1 million"]);
        assert_eq!([2_500_000, 1_234_567].map(tokens), ["2.5 million", "1,234,567"]);
    }
}
