//! What was measured, as plots: SVG files that can be shown on a page.
//!
//! All plots are of uniform keys and of one thread, the case in which engines are compared
//! first. The same rows give the same bytes, so that plots can be kept under version
//! control. A time that an engine does not have is told as `n/a`, never drawn as zero.

mod axis;
mod bars;
mod canvas;
mod growth;
mod human;
mod latency;
mod signature;
mod size;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plotters::style::RGBColor;
use ringstore::testing::keys::KeyFamily;

use self::canvas::Shape;
use crate::exit::Failure;
use crate::keys;
use crate::results::Measured;
use crate::talk::say;
use crate::workload::Workload;

/// The engine that the others are set in relation to: it stands out.
const BASE: &str = "ringstore";

/// Of what is about [`BASE`].
const ACCENT: RGBColor = RGBColor(0xD5, 0x5E, 0x00);

/// Of bars that need no colour to be told from each other.
const NEUTRAL: RGBColor = RGBColor(0xA9, 0xB4, 0xC2);

/// Every engine with the colour of its line, in the order of [`ALL`](crate::engines::ALL).
/// Those that are not compiled in have their place, so that colours do not depend on that.
/// They are told apart by people who are colour-blind, as those of Okabe and Ito, and dark enough for text.
const ENGINES: [(&str, RGBColor); 9] = [
    (BASE, ACCENT),
    ("lmdb", RGBColor(0x00, 0x72, 0xB2)),
    ("lmdb-indexed", RGBColor(0x3D, 0xA0, 0xDC)),
    ("redb", RGBColor(0x00, 0x9E, 0x73)),
    ("sled", RGBColor(0xC0, 0x62, 0x97)),
    ("fjall", RGBColor(0xA5, 0x88, 0x00)),
    ("leveldb", RGBColor(0x6A, 0x4C, 0x93)),
    ("rocksdb", RGBColor(0x40, 0x40, 0x40)),
    ("mem", RGBColor(0x80, 0x80, 0x80)),
];

/// A plot and the name of its file.
pub(crate) struct Plot {
    pub(crate) name: String,
    pub(crate) svg: String,
}

/// Draws all that can be drawn of these rows into a directory, which is there.
///
/// # Errors
///
/// What could not be written.
pub(crate) fn write(rows: &[Measured], directory: &Path) -> Result<(), Failure> {
    let plots = of(rows);
    for Plot { name, svg } in &plots {
        let path = directory.join(name);
        fs::write(&path, svg).map_err(Failure::io("write", &path))?;
    }
    match plots.len() {
        0 => say("there is nothing to plot: plots are of uniform keys and one thread"),
        count => say(format_args!("{count} plots are in {}", directory.display())),
    }
    Ok(())
}

/// Every plot of these rows, of which later ones count where several are of the same thing.
pub(crate) fn of(rows: &[Measured]) -> Vec<Plot> {
    let [signs, hits, sizes] = [Workload::Sign, Workload::GetHit, Workload::Size]
        .map(|workload| by_tokens(rows, workload));
    let nothing = Vec::new();
    let mut latencies: BTreeMap<_, _> =
        signs.iter().map(|(tokens, signs)| (*tokens, (signs, &nothing))).collect();
    for (tokens, hits) in &hits {
        latencies.entry(*tokens).or_insert((&nothing, &nothing)).1 = hits;
    }
    [
        each("signature", &signs, |tokens, rows| signature::plot(tokens, rows)),
        each("latency", &latencies, |tokens, (signs, hits)| latency::plot(tokens, signs, hits)),
        each("size", &sizes, |tokens, rows| size::plot(tokens, rows)),
        named("growth", growth::plot("signature", &signs)),
        named("growth-get-hit", growth::plot("lookup", &hits)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn named(name: &str, svg: Option<String>) -> Vec<Plot> {
    svg.into_iter().map(|svg| Plot { name: format!("{name}.svg"), svg }).collect()
}

/// A plot for each number of tokens, which is in its name if there are several.
fn each<T>(
    name: &str,
    of_tokens: &BTreeMap<u64, T>,
    plot: impl Fn(u64, &T) -> Option<String>,
) -> Vec<Plot> {
    let plots: Vec<_> = of_tokens
        .iter()
        .filter_map(|(tokens, rows)| Some((tokens, plot(*tokens, rows)?)))
        .collect();
    let is_one = plots.len() == 1;
    let plots = plots.into_iter().map(|(tokens, svg)| {
        let name = if is_one { format!("{name}.svg") } else { format!("{name}-{tokens}.svg") };
        Plot { name, svg }
    });
    plots.collect()
}

/// The rows of a workload that plots are of: those of each number of tokens, one an
/// engine, in the order of the engines.
type ByTokens<'a> = BTreeMap<u64, Vec<&'a Measured>>;

fn by_tokens(rows: &[Measured], workload: Workload) -> ByTokens<'_> {
    let keys = keys::name(KeyFamily::Uniform);
    let is_wanted = |row: &&Measured| {
        row.workload == workload && row.keys == keys && row.threads == 1 && row.tokens > 0
    };
    let mut by_tokens = ByTokens::new();
    for row in rows.iter().filter(is_wanted) {
        let of_tokens = by_tokens.entry(row.tokens).or_default();
        of_tokens.retain(|other| other.engine != row.engine);
        of_tokens.push(row);
    }
    for rows in by_tokens.values_mut() {
        rows.sort_by_key(|row| place(&row.engine));
    }
    by_tokens
}

/// Where an engine stands: those that are not known come last, by their names.
fn place(engine: &str) -> (usize, &str) {
    let place = ENGINES.iter().position(|(name, _)| *name == engine);
    (place.unwrap_or(ENGINES.len()), engine)
}

/// The colour of an engine's line.
fn colour(engine: &str) -> RGBColor {
    ENGINES[known(engine)].1
}

/// What marks the points of an engine's line.
fn shape(engine: &str) -> Shape {
    Shape::ALL[known(engine) % Shape::ALL.len()]
}

/// The engine of [`ENGINES`] that one looks like: itself, or if it is not known, one that
/// depends on its name.
fn known(engine: &str) -> usize {
    let (place, name) = place(engine);
    let by_name = || 1 + name.bytes().map(usize::from).sum::<usize>() % (ENGINES.len() - 1);
    if place < ENGINES.len() { place } else { by_name() }
}

/// What can be drawn of a figure: a logarithm has no place for anything else.
fn drawable(figure: Option<f64>) -> Option<f64> {
    figure.filter(|figure| figure.is_finite() && *figure > 0.0)
}

/// The ascending figures first, then what has none.
fn sort_by_figure<T>(items: &mut [T], figure: impl Fn(&T) -> Option<f64>) {
    items.sort_by(|one, other| {
        let [one, other] = [one, other].map(|item| figure(item).unwrap_or(f64::INFINITY));
        one.total_cmp(&other)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines;

    #[expect(clippy::cast_sign_loss, reason = "what is below zero becomes zero")]
    fn row(engine: &str, tokens: u64, workload: Workload, figure: Option<f64>) -> Measured {
        let percentile = |times: f64| figure.map(|figure| (figure * times) as u64);
        Measured {
            keys: "uniform".to_string(),
            tokens,
            engine: engine.to_string().into(),
            workload,
            threads: 1,
            ops: Some(1),
            ns_per_op: figure,
            p50_ns: percentile(1.0),
            p99_ns: percentile(2.0),
            p999_ns: percentile(7.0),
            bytes_per_token: figure,
        }
    }

    const PLOTTED: [Workload; 3] = [Workload::Sign, Workload::GetHit, Workload::Size];

    /// All that is plotted, of engines with this figure.
    fn rows(engines: &[&str], tokens: u64, figure: impl Fn(usize) -> Option<f64>) -> Vec<Measured> {
        let engines = engines.iter().enumerate();
        let of = |(place, engine): (usize, &&str)| {
            PLOTTED.map(|workload| row(engine, tokens, workload, figure(place)))
        };
        engines.flat_map(of).collect()
    }

    fn known() -> [&'static str; 9] {
        ENGINES.map(|(name, _)| name)
    }

    fn names(plots: &[Plot]) -> Vec<&str> {
        plots.iter().map(|plot| plot.name.as_str()).collect()
    }

    #[track_caller]
    fn svg<'a>(plots: &'a [Plot], name: &str) -> &'a str {
        &plots.iter().find(|plot| plot.name == name).expect(name).svg
    }

    /// The texts, in the order in which they are drawn, with their places.
    fn texts(svg: &str) -> Vec<(&str, i32, i32)> {
        let texts = svg.split("<text ").skip(1);
        let parse = |text: &str, name: &str| attribute(text, name).unwrap().parse().unwrap();
        let text = |text| (inner(text), parse(text, "x"), parse(text, "y"));
        texts.map(text).collect()
    }

    fn inner(element: &str) -> &str {
        element.split_once('>').unwrap().1.split_once('<').unwrap().0.trim()
    }

    fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
        let element = element.split_once('>').map_or(element, |(element, _)| element);
        let attributes = element
            .split_once(&format!(" {name}=\""))
            .or_else(|| element.strip_prefix(&format!("{name}=\"")).map(|rest| ("", rest)));
        Some(attributes?.1.split_once('"')?.0)
    }

    /// Whether a text is in a plot.
    fn has(svg: &str, text: &str) -> bool {
        texts(svg).iter().any(|(found, ..)| *found == text)
    }

    /// All is within the picture, and numbers are numbers.
    #[track_caller]
    fn check(plot: &Plot) {
        let Plot { name, svg } = plot;
        let size = |name| attribute(svg, name).unwrap().parse::<i32>().unwrap();
        let (width, height) = (size("width"), size("height"));
        assert_eq!(width, canvas::WIDTH, "{name}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{name}");
        let lower = svg.to_lowercase();
        assert!(!lower.contains("nan") && !lower.contains("inf"), "{name}: {svg}");
        for element in svg.split('<').skip(2) {
            let within = |text: &str, end| {
                let number: i32 = text.parse().expect(element);
                assert!((0..=end).contains(&number), "{name}: {element}");
            };
            for (axis, end) in [("x", width), ("y", height)] {
                for name in [axis.to_string(), format!("{axis}1"), format!("c{axis}")] {
                    if let Some(text) = attribute(element, &name) {
                        within(text, end);
                    }
                }
            }
            let points = attribute(element, "points").unwrap_or_default();
            for (x, y) in points.split_whitespace().map(|point| point.split_once(',').unwrap()) {
                within(x, width);
                within(y, height);
            }
        }
    }

    #[test]
    fn every_engine_has_its_colour_in_the_order_of_the_columns() {
        let places: Vec<_> = engines::ALL.iter().map(|engine| place(engine.name()).0).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(places.iter().all(|place| *place < ENGINES.len()), "{places:?}");
        let looks = known().map(|engine| (colour(engine), shape(engine) as usize));
        for (place, one) in looks.iter().enumerate() {
            assert!(!looks[..place].contains(one), "{}", known()[place]);
        }
        // The same one each time, and never that of the store.
        assert_eq!(colour("oracle"), colour("oracle"));
        for unknown in ["", "a", "b", "oracle", "ringstore2"] {
            assert_ne!(colour(unknown), ACCENT, "{unknown}");
        }
    }

    #[test]
    fn every_plot_names_every_engine_and_its_figures() {
        let figure = |place: usize| (place != 3).then(|| 1_200.0 * 10_f64.powf(place as f64));
        let engines: Vec<_> = known().into_iter().chain(["oracle"]).collect();
        let all = [rows(&engines, 100_000, figure), rows(&engines, 10_000_000, figure)].concat();
        let plots = of(&all);
        assert_eq!(
            names(&plots),
            [
                "signature-100000.svg",
                "signature-10000000.svg",
                "latency-100000.svg",
                "latency-10000000.svg",
                "size-100000.svg",
                "size-10000000.svg",
                "growth.svg",
                "growth-get-hit.svg",
            ]
        );
        for plot in &plots {
            check(plot);
            for engine in &engines {
                let is_growth = plot.name.starts_with("growth");
                let label = if is_growth && *engine == "redb" { "redb n/a" } else { engine };
                assert!(has(&plot.svg, label), "{} of {}", engine, plot.name);
            }
        }
        let signature = svg(&plots, "signature-10000000.svg");
        for text in [
            "Time of one signature: 10 million tokens, uniform keys",
            "1.2 µs",
            "12 µs (10×)",
            "120 µs (100×)",
            "n/a",
        ] {
            assert!(has(signature, text), "{text}");
        }
        assert!(has(svg(&plots, "latency-100000.svg"), "2.4 µs"));
        assert!(has(svg(&plots, "size-100000.svg"), "72 B: the record itself"));
        assert!(has(svg(&plots, "size-100000.svg"), "1200.0 B"));
        for mark in ["100,000", "10 million", "1 µs", "1 s", "time of one lookup"] {
            assert!(has(svg(&plots, "growth-get-hit.svg"), mark), "{mark}");
        }
    }

    #[test]
    fn bars_ascend_and_what_has_no_figure_comes_last() {
        let figures = [None, Some(30.0), Some(10.0), Some(20.0)];
        let plots = of(&rows(&["ringstore", "lmdb", "redb", "mem"], 7, |place| figures[place]));
        assert_eq!(names(&plots), ["signature.svg", "latency.svg", "size.svg"]);
        for plot in &plots {
            check(plot);
            let mut engines = texts(&plot.svg);
            engines.retain(|(text, ..)| known().contains(text));
            let engines: Vec<_> = engines.into_iter().map(|(text, ..)| text).collect();
            let expected = ["redb", "mem", "lmdb", "ringstore"];
            assert!(engines.chunks(4).all(|engines| engines == expected), "{}", plot.name);
            assert!(has(&plot.svg, "n/a"), "{}", plot.name);
        }
        // Of nothing there are no multiples.
        assert!(has(svg(&plots, "signature.svg"), "10 ns"));
    }

    #[test]
    fn other_keys_threads_and_workloads_are_not_drawn() {
        let mut all = rows(&["ringstore", "lmdb"], 7, |_| Some(100.0));
        let drawn = of(&all);
        let others = rows(&["ringstore", "mem"], 7, |_| Some(1.0)).into_iter();
        let (dense, threads): (Vec<_>, Vec<_>) = others.partition(|row| row.engine == "mem");
        all.extend(dense.into_iter().map(|row| Measured { keys: "dense64".into(), ..row }));
        all.extend(threads.into_iter().map(|row| Measured { threads: 2, ..row }));
        all.push(row("mem", 7, Workload::Commit, Some(1.0)));
        for (one, other) in of(&all).iter().zip(&drawn) {
            assert_eq!((&one.name, &one.svg), (&other.name, &other.svg));
        }
        assert_eq!(of(&all).len(), drawn.len());
    }

    #[test]
    fn the_last_of_the_same_figures_is_drawn() {
        let [one, other] = [100.0, 200.0].map(|ns| rows(&["ringstore"], 7, |_| Some(ns)));
        let (both, last) = (of(&[one, other.clone()].concat()), of(&other));
        assert!(both.iter().zip(&last).all(|(both, last)| both.svg == last.svg));
    }

    #[test]
    fn names_of_lines_that_end_together_keep_apart() {
        let all = [7, 70].map(|tokens| rows(&known(), tokens, |_| Some(300.0))).concat();
        let plots = of(&all);
        let mut heights: Vec<_> = texts(svg(&plots, "growth.svg"))
            .into_iter()
            .filter_map(|(text, _, y)| known().contains(&text).then_some(y))
            .collect();
        heights.sort_unstable();
        assert_eq!(heights.len(), known().len());
        assert!(heights.is_sorted_by(|one, next| one + 18 <= *next), "{heights:?}");
    }

    #[test]
    fn there_is_no_growth_of_one_number_of_tokens() {
        let one = rows(&known(), 100, |_| Some(1.0));
        let without_times = rows(&known(), 1_000, |_| None);
        let plots = of(&[one, without_times].concat());
        assert_eq!(names(&plots), ["signature.svg", "latency.svg", "size.svg"]);
    }

    #[test]
    fn strange_figures_are_drawn_or_left_out() {
        let long = "an-engine-whose-name-has-no-end".repeat(9);
        let extremes = [
            0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            5e-324,
            f64::MIN_POSITIVE,
            1e-9,
            1.0,
            72.0,
            1e18,
            f64::MAX,
        ];
        for engines in [&["ringstore"][..], &["lmdb", &long], &known()] {
            for one in extremes {
                for other in extremes {
                    let figure = |place| Some(if place % 2 == 0 { one } else { other });
                    let all = [1, 2, u64::MAX].map(|tokens| rows(engines, tokens, figure));
                    of(&all.concat()).iter().for_each(check);
                    of(&all[2]).iter().for_each(check);
                }
            }
        }
        assert!(of(&rows(&known(), 7, |_| Some(0.0))).is_empty());
        assert!(of(&rows(&known(), 0, |_| Some(1.0))).is_empty());
        assert!(of(&[]).is_empty());
        let plots = of(&rows(&[&long], 7, |_| Some(1.0)));
        assert!(has(svg(&plots, "signature.svg"), "an-engine-whose-nam…"));
    }

    #[test]
    fn the_same_rows_give_the_same_plots_in_whatever_order_they_come() {
        let mut all =
            [7, 70].map(|tokens| rows(&known(), tokens, |place| Some((place % 2) as f64 + 1.0)));
        let plots = of(&all.concat());
        all.reverse();
        let mut reversed = all.concat();
        reversed.reverse();
        let others = of(&reversed);
        assert_eq!(names(&plots), names(&others));
        assert!(plots.iter().zip(&others).all(|(plot, other)| plot.svg == other.svg));
    }
}
