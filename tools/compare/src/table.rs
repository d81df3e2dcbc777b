//! What was measured, as tables for people.

use std::fmt::Write;
use std::iter;

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::load::RAW;
use crate::results::Measured;
use crate::workload::Workload;

/// The engine that the others are set in relation to.
pub(crate) const BASE: &str = "ringstore";

/// What an engine does not do.
const NOT_AVAILABLE: &str = "n/a";

/// The engine that is to be beaten.
const RIVAL: &str = "lmdb";

/// The rows of each table, in the order in which they are met: those of the same keys,
/// tokens and threads.
pub(crate) fn groups(rows: &[Measured]) -> Vec<Vec<Measured>> {
    let mut groups: Vec<Vec<Measured>> = Vec::new();
    for row in rows {
        let of = |row: &Measured| (row.keys.clone(), row.tokens, row.threads);
        match groups.iter_mut().find(|group| of(&group[0]) == of(row)) {
            Some(group) => group.push(row.clone()),
            None => groups.push(vec![row.clone()]),
        }
    }
    groups
}

/// The table of a group: its rows are workloads, and its columns engines. The best of each
/// row is bold. On a terminal that is too narrow for all engines, they have several tables.
pub(crate) fn of(rows: &[Measured]) -> String {
    let width = Table::new().width().map_or(usize::MAX, usize::from);
    in_width(rows, width)
}

fn in_width(rows: &[Measured], width: usize) -> String {
    let (header, lines) = cells(rows);
    let column_width = |column: usize| {
        let cells = lines.iter().map(|line| &line[column].0).chain([&header[column]]);
        // With what is around the text.
        cells.map(|text| text.chars().count()).max().unwrap_or(0) + 2
    };
    let mut tables = String::new();
    let mut rest = 1..header.len();
    while !rest.is_empty() {
        let mut used = column_width(0) + 2;
        let fits = |column: &usize| {
            used += column_width(*column);
            used <= width
        };
        // One at least, or there would be no end.
        let count = rest.clone().take_while(fits).count().max(1);
        let columns: Vec<_> = iter::once(0).chain(rest.by_ref().take(count)).collect();
        if !tables.is_empty() {
            tables.push('\n');
        }
        tables += &table(&columns, &header, &lines).to_string();
    }
    tables
}

/// A table of something else.
pub(crate) fn plain(header: &[String], lines: &[Line]) -> String {
    table(&(0..header.len()).collect::<Vec<_>>(), header, lines).to_string()
}

fn table(columns: &[usize], header: &[String], lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| &header[*column]));
    for line in lines {
        table.add_row(columns.iter().map(|column| {
            let (text, is_best) = &line[*column];
            let cell = Cell::new(text);
            if *is_best { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The same, to be pasted into a text that is Markdown.
pub(crate) fn markdown(rows: &[Measured]) -> String {
    let (header, lines) = cells(rows);
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|---|{}\n", "---:|".repeat(header.len() - 1));
    let lines = lines.into_iter().map(|line| {
        let cells = line.into_iter().map(|(text, is_best)| {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if is_best { format!("**{text}**") } else { text }
        });
        row(cells.collect())
    });
    row(header) + &rule + &lines.collect::<String>()
}

/// A cell's text, and whether it is bold: the best of its row.
pub(crate) type Line = Vec<(String, bool)>;

/// The header and the rows below it.
fn cells(rows: &[Measured]) -> (Vec<String>, Vec<Line>) {
    let mut engines: Vec<&str> = Vec::new();
    for row in rows {
        if !engines.contains(&&*row.engine) {
            engines.push(&row.engine);
        }
    }
    let title = rows.first().map(|Measured { keys, tokens, threads, .. }| {
        let asking = if *threads == 1 { String::new() } else { format!(", {threads} threads") };
        format!("{keys}, {tokens} tokens{asking}")
    });
    let header =
        iter::once(title.unwrap_or_default()).chain(engines.iter().map(ToString::to_string));
    let mut lines = Vec::new();
    for workload in Workload::all() {
        let rows: Vec<_> = rows.iter().filter(|row| row.workload == *workload).collect();
        if rows.is_empty() {
            continue;
        }
        let find = |engine: &str| rows.iter().find(|row| row.engine == engine)?.figure();
        let base = find(BASE);
        let is_engine = |engine: &&&str| **engine != RAW;
        let best = engines.iter().filter(is_engine).filter_map(|engine| find(engine));
        let best = best.min_by(f64::total_cmp);
        let cells = engines.iter().map(|engine| {
            let Some(figure) = find(engine) else {
                return (NOT_AVAILABLE.to_string(), false);
            };
            let ratio = base.filter(|_| *engine != BASE).map(|base| ratio(figure / base));
            let ratio = ratio.map(|ratio| format!(" {ratio:>8}")).unwrap_or_default();
            (human(*workload, figure) + &ratio, Some(figure) == best && *engine != RAW)
        });
        lines.push(iter::once((workload.name(), false)).chain(cells).collect());
    }
    (header.collect(), lines)
}

/// Where ringstore was behind LMDB, if both were measured; else nothing.
pub(crate) fn verdict(rows: &[Measured]) -> String {
    let pairs: Vec<_> = rows
        .iter()
        .filter(|row| row.engine == BASE)
        .filter_map(|row| {
            let is_rival = |other: &&Measured| {
                other.engine == RIVAL
                    && (&other.keys, other.workload, other.threads)
                        == (&row.keys, row.workload, row.threads)
            };
            Some((row, row.figure()?, rows.iter().find(is_rival)?.figure()?))
        })
        .collect();
    let mut verdict = String::new();
    for (is_size, behind) in [(false, "slower"), (true, "larger")] {
        let mut pairs =
            pairs.iter().filter(|(row, ..)| (row.workload == Workload::Size) == is_size);
        let mut pairs = pairs.by_ref().peekable();
        if pairs.peek().is_none() {
            continue;
        }
        let behind_in: Vec<_> = pairs.filter(|(_, base, rival)| base > rival).collect();
        if behind_in.is_empty() {
            let _ = writeln!(verdict, "{BASE} was never {behind} than {RIVAL}");
        }
        for (row, base, rival) in behind_in {
            let Measured { keys, workload, threads, .. } = row;
            let threads =
                if *threads == 1 { String::new() } else { format!(", {threads} threads") };
            let (one, other) = (human(*workload, *base), human(*workload, *rival));
            let name = workload.name();
            let _ = writeln!(
                verdict,
                "{BASE} was {behind} than {RIVAL}: {keys}, {name}{threads}: {one}, {other}"
            );
        }
    }
    verdict
}

/// A figure with its unit.
pub(crate) fn human(workload: Workload, figure: f64) -> String {
    if workload == Workload::Size {
        return format!("{figure:.2} B/token");
    }
    let (unit, ns) = match figure {
        ns if ns < 1e3 => ("ns", 1e0),
        ns if ns < 1e6 => ("µs", 1e3),
        ns if ns < 1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{:.*} {unit}", if unit == "ns" { 0 } else { 2 }, figure / ns)
}

/// Three digits, or more of large numbers.
fn ratio(ratio: f64) -> String {
    let decimals = if ratio < 10.0 { 2 } else { usize::from(ratio < 100.0) };
    format!("{ratio:.decimals$} x")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(keys: &str, engine: &'static str, workload: Workload, figure: u64) -> Measured {
        Measured {
            keys: keys.to_string(),
            tokens: 7,
            engine: engine.into(),
            workload,
            threads: 1,
            ops: Some(1),
            ns_per_op: Some(figure as f64),
            p50_ns: None,
            p99_ns: None,
            p999_ns: None,
            bytes_per_token: Some(figure as f64),
        }
    }

    #[test]
    fn rows_are_workloads_and_columns_engines() {
        let mut unknown = row("uniform", "mem", Workload::Size, 0);
        unknown.bytes_per_token = None;
        let mut together = row("uniform", "ringstore", Workload::Sign, 450);
        together.threads = 2;
        let groups = groups(&[
            row("uniform", "ringstore", Workload::Sign, 800),
            row("uniform", "lmdb", Workload::Sign, 207_000),
            row("uniform", "ringstore", Workload::LoadSorted, 2_000_000_000),
            row("uniform", "raw", Workload::LoadSorted, 1_900_000_000),
            row("uniform", "ringstore", Workload::Size, 75),
            unknown,
            together,
            row("dense64", "lmdb", Workload::Sign, 10),
        ]);
        assert_eq!(groups.len(), 3);
        let table = of(&groups[0]);
        let lines: Vec<_> = table.lines().map(|line| line.trim_matches(['│', ' '])).collect();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(1), "uniform, 7 tokens ringstore lmdb raw mem");
        assert_eq!(words(3), "load-sorted 2.00 s n/a 1.90 s 0.95 x n/a");
        assert_eq!(words(4), "sign 800 ns 207.00 µs 259 x n/a n/a");
        assert_eq!(words(5), "size 75.00 B/token n/a n/a n/a");
        let of_two = of(&groups[1]);
        assert!(of_two.contains("uniform, 7 tokens, 2 threads ") && of_two.contains("450 ns"));
        // Without ringstore there is nothing to set others in relation to.
        let alone = of(&groups[2]);
        assert!(alone.contains("10 ns") && !alone.contains(" x"), "{alone}");
    }

    #[test]
    fn engines_that_have_no_room_go_to_another_table() {
        let engines = ["ringstore", "lmdb", "redb", "sled", "mem"];
        let rows = engines.map(|engine| row("uniform", engine, Workload::Sign, 207_000));
        let wide = in_width(&rows, usize::MAX);
        assert_eq!(wide.matches('┌').count(), 1, "{wide}");
        for (width, tables) in [(200, 1), (80, 2), (40, 5), (1, 5)] {
            let text = in_width(&rows, width);
            assert_eq!(text.matches('┌').count(), tables, "{width}: {text}");
            for engine in engines {
                assert_eq!(text.matches(engine).count(), 1, "{width}: {text}");
            }
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(50), "{width}: {text}");
            // Each has the names of the workloads, and the ratios to ringstore.
            assert_eq!(text.matches("sign ").count(), tables, "{width}: {text}");
            assert_eq!(text.matches("1.00 x").count(), 4, "{width}: {text}");
        }
    }

    #[test]
    fn the_best_engine_is_bold() {
        let mut unknown = row("uniform", "mem", Workload::GetHit, 0);
        unknown.ns_per_op = None;
        let text = markdown(&[
            row("uniform", "ringstore", Workload::LoadSorted, 20),
            row("uniform", "lmdb", Workload::LoadSorted, 10),
            row("uniform", "raw", Workload::LoadSorted, 5),
            row("uniform", "ringstore", Workload::GetHit, 20),
            row("uniform", "lmdb", Workload::GetHit, 30),
            unknown,
        ]);
        let expected = "\
            | uniform, 7 tokens | ringstore | lmdb | raw | mem |\n\
            |---|---:|---:|---:|---:|\n\
            | load-sorted | 20 ns | **10 ns 0.50 x** | 5 ns 0.25 x | n/a |\n\
            | get-hit | **20 ns** | 30 ns 1.50 x | n/a | n/a |\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_verdict_names_where_ringstore_is_behind() {
        let rows = |ringstore, bytes| {
            [
                row("uniform", "ringstore", Workload::Sign, 10),
                row("uniform", "lmdb", Workload::Sign, 20),
                row("dense64", "ringstore", Workload::GetHit, ringstore),
                row("dense64", "lmdb", Workload::GetHit, 20),
                row("dense64", "ringstore", Workload::Size, bytes),
                row("dense64", "lmdb", Workload::Size, 84),
            ]
        };
        assert_eq!(
            verdict(&rows(20, 84)),
            "ringstore was never slower than lmdb\nringstore was never larger than lmdb\n"
        );
        assert_eq!(
            verdict(&rows(21, 85)),
            "ringstore was slower than lmdb: dense64, get-hit: 21 ns, 20 ns\n\
             ringstore was larger than lmdb: dense64, size: 85.00 B/token, 84.00 B/token\n"
        );
        assert_eq!(verdict(&rows(20, 84)[..1]), "");
        let without_sizes = verdict(&rows(20, 84)[..4]);
        assert_eq!(without_sizes, "ringstore was never slower than lmdb\n");
    }
}
