//! What earlier runs measured, told once more: their tables, and plots of them together.

use std::fs;
use std::path::Path;

use crate::args::Report;
use crate::exit::Failure;
use crate::results::{self, Measured, Written};
use crate::talk::{print, say};
use crate::{plots, table};

/// Prints the tables of all files, and draws the plots that are asked for.
///
/// # Errors
///
/// What could not be read or written, or a file that holds something else.
pub(crate) fn run(wanted: &Report) -> Result<(), Failure> {
    let files: Vec<_> =
        wanted.files.iter().map(|path| Ok((path, read(path)?))).collect::<Result<_, Failure>>()?;
    if let Some(directory) = &wanted.plots {
        fs::create_dir_all(directory).map_err(Failure::io("create", directory))?;
    }
    for (path, written) in &files {
        for rows in table::groups(&written.measured) {
            print(&section(path, written.density, &rows, wanted.markdown))?;
        }
    }
    if let Some(directory) = &wanted.plots {
        let mut densities: Vec<_> = files.iter().filter_map(|(_, file)| file.density).collect();
        densities.dedup();
        if densities.len() > 1 {
            say("these files are of different densities, which plots do not show");
        }
        let rows: Vec<_> = files.into_iter().flat_map(|(_, file)| file.measured).collect();
        plots::write(&rows, directory)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Written, Failure> {
    results::read(path, |written: &Written| &written.measured)
}

/// A table, below a line that says whose it is.
fn section(path: &Path, density: Option<f64>, rows: &[Measured], is_markdown: bool) -> String {
    // All, if nothing is said.
    let density = density.filter(|density| *density < 1.0);
    let density = density.map(|density| format!(", density {density}")).unwrap_or_default();
    let title = format!("{}{density}:", path.display());
    if is_markdown {
        format!("{title}\n\n{}\n", table::markdown(rows))
    } else {
        format!("{title}\n{}\n", table::of(rows))
    }
}
