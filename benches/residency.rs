//! What it is worth how files are kept in memory, in turns, in one run.
//!
//! The same store three times: as it was loaded, whose files the system has in huge pages;
//! read from disk through the map, as after a restart of the machine; and with files that
//! something else brought into the cache, page by page. What opening takes, what the first
//! reads take, then what reads take once all was read.
//!
//! `cargo bench --bench residency -- --tokens 10000000 --dir DIRECTORY`. The directory has to
//! be on a disk, and have room for the store three times.

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ringstore::testing::random::Random;
use ringstore::{Options, PeerId, Residency, Result, Snapshot, Store, TokenId};
use rustix::fs::{Advice, fadvise};

use stores::loaded;
use turns::{Arguments, Workload, run_in_turns};

#[expect(dead_code, reason = "other benches need the rest of it")]
mod stores;
mod turns;

const QUERIES: usize = 1_000_000;

/// Lookups after opening that are timed by themselves.
const FIRST: usize = 20_000;

const PAGE_LEN: usize = 4_096;

fn main() -> Result<()> {
    let Arguments { tokens: count, rounds, directory } = Arguments::of_command();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.unwrap_or_else(|| temporary.path().to_path_buf());
    println!("{count} random tokens, {rounds} rounds in turns, medians\n");
    let mut random = Random::new("residency", 1);
    let tokens: Vec<_> = (0..count).map(|_| random.token()).collect();
    let [as_loaded, from_disk, by_pages] =
        ["loaded", "disk", "pages"].map(|name| directory.join(name));
    loaded(&as_loaded, &tokens, &Options::new())?.close()?;
    copy(&as_loaded, &from_disk);
    copy(&as_loaded, &by_pages);
    each_file(&by_pages, read_by_pages);
    let hits: Vec<_> = (0..QUERIES).map(|_| *random.pick(&tokens)).collect();
    let misses: Vec<_> = (0..QUERIES).map(|_| random.token()).collect();

    let of_pages =
        |name, residency| opened(name, &by_pages, residency, &hits).map(|store| store.snapshot());
    let small = of_pages("mapped, small pages", Residency::Mapped)?;
    let prefault = of_pages("prefault, small pages", Residency::Prefault)?;
    let copied = of_pages("huge pages, a copy", Residency::HugePages)?;
    let disk = opened("mapped, read from disk", &from_disk, Residency::Mapped, &hits)?.snapshot();
    let huge = opened("mapped, as loaded", &as_loaded, Residency::Mapped, &hits)?.snapshot();
    let locked = opened("locked, as loaded", &as_loaded, Residency::Locked, &hits)?.snapshot();
    println!();

    let peer = PeerId([1; 32]);
    let contestants = [
        ("mapped, small pages", small),
        ("prefault, small pages", prefault),
        ("huge pages, a copy", copied),
        ("mapped, read from disk", disk),
        ("mapped, as loaded", huge),
        ("locked, as loaded", locked),
    ];
    let hit = |snapshot: &Snapshot, at| drop(black_box(snapshot.get(&hits[at % QUERIES])));
    let miss = |snapshot: &Snapshot, at| drop(black_box(snapshot.get(&misses[at % QUERIES])));
    let sign = |snapshot: &Snapshot, at| drop(black_box(snapshot.sign(&hits[at % QUERIES], &peer)));
    run_in_turns(
        &mut [
            of_all("lookup, hit", "one token", &contestants, 100_000, hit),
            of_all("lookup, miss", "one token", &contestants, 100_000, miss),
            of_all("signature", "ten matches", &contestants, 20_000, sign),
        ],
        rounds,
    );
    Ok(())
}

fn of_all<'a>(
    name: &'static str,
    unit: &'static str,
    contestants: &'a [(&'static str, Snapshot)],
    operations: usize,
    run: impl Fn(&Snapshot, usize) + Copy + 'a,
) -> Workload<'a> {
    contestants.iter().fold(Workload::new(name, unit, "none"), |workload, (name, snapshot)| {
        workload.with(name, operations, move |at| run(snapshot, at))
    })
}

/// Opens a store and reads it, and says what that took and what is in memory.
fn opened(name: &str, path: &Path, residency: Residency, hits: &[TokenId]) -> Result<Store> {
    let start = Instant::now();
    let store = Store::open_read_only(path, &Options::new().residency(residency))?;
    let opening = start.elapsed();
    let snapshot = store.snapshot();
    let start = Instant::now();
    for token in &hits[..FIRST] {
        black_box(snapshot.get(token)?);
    }
    let first = start.elapsed() / FIRST as u32;
    store.verify(&|_| ControlFlow::Continue(()))?;
    let report = store.residency();
    let mib = |bytes: Option<u64>| bytes.map_or(0, |bytes| bytes >> 20);
    println!(
        "{name:<24} opened in {:>7.1} ms, the first lookups {:>6.2} us; {} MiB in memory, {} huge, {} locked, {} copied",
        opening.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e6,
        mib(report.resident_bytes),
        mib(report.huge_bytes),
        mib(report.locked_bytes),
        report.copied_bytes >> 20,
    );
    Ok(store)
}

/// Another store of the same files, of which nothing is cached.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    each_file(from, |path| {
        let copy = to.join(path.file_name().expect("a name"));
        fs::copy(path, &copy).expect("a copy");
        let file = File::open(copy).expect("the copy");
        file.sync_all().expect("it is synced");
        fadvise(&file, 0, None, Advice::DontNeed).expect("it is dropped");
    });
}

/// Brings a file into the cache, which gets no piece larger than a page.
fn read_by_pages(path: &Path) {
    let file = File::open(path).expect("a file");
    fadvise(&file, 0, None, Advice::Random).expect("no reading ahead");
    let len = file.metadata().expect("its length").len() as usize;
    let mut page = [0; PAGE_LEN];
    for at in (0..len).step_by(PAGE_LEN) {
        let page = &mut page[..PAGE_LEN.min(len - at)];
        file.read_exact_at(page, at as u64).expect("a page");
    }
}

fn each_file(directory: &Path, each: impl Fn(&Path)) {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a name").path()).collect();
    paths.sort();
    for path in paths {
        each(&path);
    }
}
