//! Writes the seeds of the fuzz targets anew, for when the format has changed:
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example make_seeds
//! ```

use std::fs;
use std::io::Result;
use std::path::Path;

use ringstore::testing::random::Random;
use ringstore_fuzz::input::Input;
use ringstore_fuzz::layered::LAYERED;
use ringstore_fuzz::mutations::{Mutation, what};
use ringstore_fuzz::stores::{Files, written_stores};
use ringstore_fuzz::{logs, mutations, texts, valid_segments};

/// Options of an input: make checksums right, check on first touch.
const RESEALED: u8 = 2 | 2 << 2;

/// Options of an input: check nothing.
const UNCHECKED: u8 = 0;

fn main() -> Result<()> {
    write("segment_bytes", of_segments())?;
    write("log_bytes", of_logs())?;
    write("manifest_bytes", of_manifests())?;
    write("model", of_models())?;
    write("open_mutated", of_stores())?;
    write("import_text", of_texts())
}

/// Seeds with their names.
type Seeds = Vec<(String, Vec<u8>)>;

/// In place of those that were there.
fn write(target: &str, seeds: Seeds) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    seeds.into_iter().try_for_each(|(name, seed)| fs::write(directory.join(name), seed))
}

fn of_segments() -> Seeds {
    let [one, _, uniform, crowded, kinds] = valid_segments();
    let seeds = [
        ("file-one-record", Input::of_file(RESEALED, &one)),
        ("file-uniform-150", Input::of_file(UNCHECKED, &uniform)),
        ("file-crowded-300", Input::of_file(RESEALED, &crowded)),
        ("file-kinds-300", Input::of_file(RESEALED, &kinds)),
        ("edits-none", Input::of_edits(RESEALED, 3, &[])),
        ("edits-unsealed", Input::of_edits(2 << 2, 2, &[(5_000, 1)])),
        ("edits-a-record", Input::of_edits(RESEALED, 2, &[(4_096 + 72 * 9, 0xff)])),
        ("edits-kinds", Input::of_edits(RESEALED | 16, 4, &[(36_864, 9), (36_880, 0xff)])),
        ("edits-full-counts", Input::of_edits(RESEALED, 4, &full_counts())),
        ("edits-unordered-list", Input::of_edits(RESEALED, 2, &unordered_list())),
        ("edits-skipped-bits", Input::of_edits(RESEALED, 1, &skipped_bits())),
    ];
    seeds.into_iter().map(|(name, seed)| (name.into(), seed)).collect()
}

/// Of `log_bytes`: a file, edits, blocks; and checksums made right.
const FILE: u8 = 0;
const EDITS: u8 = 1;
const BLOCKS: u8 = 2;
const RESEAL: u8 = 4;

fn of_logs() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (number, store) in (0u8..).zip(&written_stores()) {
        for (log, index) in store.logs.iter().zip(0u8..) {
            let bytes = &store.files[&log.name];
            for options in [FILE, FILE | RESEAL] {
                let name = format!("file-{number}-{index}-{options}");
                seeds.push((name, logs::input(options, number, index, bytes)));
            }
            let cut = [[2, 2, 9, 0]];
            let lost = [[0, 2, 0, 0]];
            let moved = [[1, 1, 3, 0], [1, 3, 1, 0]];
            let flipped = [[3, 3, 40, 1]];
            for (name, moves) in
                [("cut", &cut[..]), ("lost", &lost), ("moved", &moved), ("flipped", &flipped)]
            {
                let name = format!("blocks-{number}-{index}-{name}");
                seeds.push((name, logs::input(BLOCKS, number, index, moves.as_flattened())));
            }
            // Of the first frame: how many entries, its number, what was durable, and a kind.
            for (name, at, byte) in [
                ("entries", 516u16, 9),
                ("sequence", 520, 9),
                ("durable", 528, 9),
                ("kind", 616, 1),
            ] {
                let [low, high] = at.to_le_bytes();
                let edits = [low, high, byte];
                let name = format!("edits-{number}-{index}-{name}");
                seeds.push((name, logs::input(EDITS | RESEAL, number, index, &edits)));
            }
        }
    }
    seeds
}

fn of_manifests() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (number, store) in (0u8..).zip(&written_stores()) {
        let bytes = &store.files["MANIFEST"];
        seeds.push((format!("file-{number}"), [&[2, number], bytes.as_slice()].concat()));
        for (name, edits) in [
            ("none", &[][..]),
            ("version", &[8, 0, 1]),
            ("generation", &[32, 0, 0xff, 33, 0, 0xff]),
            ("next-file", &[40, 0, 0]),
            ("segments", &[48, 0, 2]),
            ("first-sequence", &[64, 0, 2, 192, 0, 2]),
        ] {
            seeds.push((format!("edits-{number}-{name}"), [&[3, number], edits].concat()));
        }
    }
    seeds
}

/// Choices at random, so that all kinds of them are there.
fn of_models() -> Seeds {
    let seeds = (0..12u8).map(|number| {
        let mut random = Random::new("seeds", number.into());
        let len = 150 * (1 + usize::from(number));
        let choices = std::iter::repeat_with(|| random.bytes::<1>()[0]).take(len);
        (format!("random-{number}"), [number].into_iter().chain(choices).collect())
    });
    seeds.collect()
}

/// Edits of the segment with kinds: as many updates before the first record as a number
/// can say, and one more after.
fn full_counts() -> Vec<(u16, u8)> {
    const KINDS: u16 = 4_096 * 9;
    (0..8).map(|byte| (KINDS + byte, 0xff)).collect()
}

/// Edits of the segment of 150 records: the list of the last suffix begins with the first
/// entry of all, so that its positions do not ascend.
fn unordered_list() -> Vec<(u16, u8)> {
    const POSTINGS: u16 = 4_096 * 4;
    vec![(POSTINGS + 2 * 1_023, 0), (POSTINGS + 2 * 1_023 + 1, 0)]
}

/// Edits of the segment of three records: a directory that skips a bit that the tokens
/// do not share, and has all three records where it says. A token between the second
/// and the third falls before the second.
fn skipped_bits() -> Vec<(u16, u8)> {
    const DIRECTORY: u16 = 4_096 * 3;
    let bits_to_skip = (136, 1);
    let buckets = (0..60).map(|bucket| (DIRECTORY + 4 + bucket, if bucket < 59 { 1 } else { 3 }));
    [bits_to_skip].into_iter().chain(buckets).collect()
}

/// Of `open_mutated`: check nothing; checked at first touch; the manifest agrees; salvage.
const FIRST_TOUCH: u8 = 2;
const AGREES: u8 = 4;
const SALVAGES: u8 = 24;
const ALL_FILES: u8 = 0xff;

/// Where things lie in files, as the format has it.
mod at {
    pub(super) const SECTIONS: u32 = 168;
    pub(super) const RECORDS: u32 = 4_096;
    pub(super) const FIRST_FRAME: u32 = 512;
    pub(super) const COUNT: u32 = 48;
    pub(super) const GENERATION: u32 = 32;
    pub(super) const NEXT_FILE: u32 = 40;
    pub(super) const DIRECTORY: u32 = 136;
}

fn mutation(what: u8, file: u8, at: u32, byte: u8, len: u16) -> Mutation {
    Mutation { what, file, at, byte, len }
}

/// The number of the first file whose name ends like this, and of the last.
fn numbers(files: &Files, end: &str) -> (u8, u8) {
    let numbers: Vec<u8> = (0u8..)
        .zip(files.keys())
        .filter(|(_, name)| name.ends_with(end))
        .map(|(number, _)| number)
        .collect();
    (numbers[0], numbers[numbers.len() - 1])
}

/// One of each mutation, with and without checksums made right, and those of the fields that
/// lead somewhere.
fn of_stores() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    let mut add = |store: u8, name: &str, options: u8, resealed: u8, mutations: &[Mutation]| {
        let bytes = mutations::Input::bytes(options, store, resealed, mutations);
        seeds.push((format!("{name}-{store}"), bytes));
    };
    for (number, store) in (0u8..).zip(LAYERED.iter()) {
        let files = &store.written.files;
        let ((bottom, top), (log, _)) = (numbers(files, ".seg"), numbers(files, ".log"));
        let (manifest, _) = numbers(files, "MANIFEST");
        add(number, "nothing", FIRST_TOUCH | SALVAGES, 0, &[]);
        for (name, file, at) in [
            ("record", bottom, at::RECORDS + 72 * 9),
            ("record-above", top, at::RECORDS + 72 * 2 + 31),
            ("frame", log, at::FIRST_FRAME + 60),
            ("version", manifest, 8),
        ] {
            let flip = [mutation(what::XOR, file, at, 1, 0)];
            add(number, &format!("flip-{name}"), FIRST_TOUCH | SALVAGES, 0, &flip);
            add(number, &format!("sealed-{name}"), FIRST_TOUCH | AGREES, ALL_FILES, &flip);
        }
        for (name, set, file, at, boundary) in [
            ("count", what::SET_64, top, at::COUNT, 3),
            ("updates", what::SET_64, top, at::COUNT + 8, 14),
            ("tombstones", what::SET_64, top, at::COUNT + 16, 5),
            ("largest-token", what::SET_64, top, 104, 3),
            ("bits-to-skip", what::SET_32, bottom, at::DIRECTORY, 13),
            ("scale", what::SET_64, bottom, at::DIRECTORY + 16, 3),
            ("section", what::SET_64, bottom, at::SECTIONS + 24, 3),
            ("entries", what::SET_32, log, at::FIRST_FRAME + 4, 13),
            ("sequence", what::SET_64, log, at::FIRST_FRAME + 8, 3),
            ("generation", what::SET_64, manifest, at::GENERATION, 3),
            ("next-file", what::SET_64, manifest, at::NEXT_FILE, 4),
            ("segments", what::SET_64, manifest, at::COUNT, 14),
        ] {
            let set = [mutation(set, file, at, boundary, 0)];
            add(number, &format!("number-{name}"), AGREES, ALL_FILES, &set);
        }
        for (name, file) in [("bottom", bottom), ("top", top)] {
            let moved = [mutation(what::XOR, file, at::RECORDS + 72 * 9, 0x7f, 0)];
            add(number, &format!("out-of-order-{name}"), AGREES, ALL_FILES, &moved);
        }
        let kinds = files.values().nth(top.into()).map_or(0, |segment| section(segment, 3));
        add(number, "kinds", AGREES, ALL_FILES, &[mutation(what::XOR, top, kinds + 40, 7, 0)]);
        for (name, change) in [
            ("cut", mutation(what::CUT, top, at::RECORDS, 0, 0)),
            ("extend", mutation(what::EXTEND, bottom, 0, 0, 4_096)),
            ("swap", mutation(what::SWAP, bottom, 0, top, 0)),
            ("copy", mutation(what::COPY + 6 * what::COUNT + 126, bottom, at::RECORDS, top, 2)),
            ("remove", mutation(what::REMOVE, log, 0, 0, 0)),
            ("foreign", mutation(what::FOREIGN, top, 0, number ^ 2, 0)),
            ("another-manifest", mutation(what::FOREIGN, manifest, 0, number ^ 2, 0)),
            ("replace", mutation(what::REPLACE, top, 3, number ^ 1, 0)),
            ("leftover", mutation(what::PUT, bottom, 0xff_ffff, number, 0xffff)),
        ] {
            add(number, name, FIRST_TOUCH | SALVAGES, 0, &[change]);
        }
    }
    seeds
}

/// Where a section of a segment begins.
fn section(segment: &[u8], number: usize) -> u32 {
    let at = at::SECTIONS as usize + 24 * number;
    u32::from_le_bytes(segment[at..at + 4].try_into().expect("four bytes"))
}

fn of_texts() -> Seeds {
    let hex = "0123456789abcdef".repeat(4);
    let [long, endless] = [4_097, 9_000].map(|len| "x".repeat(len));
    let csv = format!("token,block,time\n1,2,3\n{hex},0x{hex},18446744073709551615\n");
    let json = format!("{{\"token\":1,\"block\":\"{hex}\",\"time\":3}}\n");
    let operations = [
        "{\"op\":\"put\",\"token\":1,\"block\":2,\"time\":3}",
        "{\"op\":\"set\",\"time\":4,\"block\":2,\"token\":\"1\"}",
        "{\"op\":\"remove\",\"token\":7}",
        "{\"op\":\"commit\"}",
        "",
    ]
    .join("\n");
    let [in_csv, in_json, in_raw, in_operations] = [0, 1, 2, 3];
    let mut seeds: Seeds = [
        ("csv", in_csv, csv.clone()),
        ("csv-quoted", in_csv, "\u{feff}\n \"1\" , \"2\",\t3 \r\n4,5,6".into()),
        ("csv-fields", in_csv, "1,2,3\n1,2\n".into()),
        ("csv-long", in_csv, format!("1,2,3\n{long}")),
        ("csv-endless", in_csv, format!("1,2,3\n{endless}\n")),
        ("csv-plus", in_csv, "1,2,3\n4,5,+6\n".into()),
        ("csv-minus", in_csv, "-1,2,3\n".into()),
        ("csv-too-large", in_csv, "1,2,18446744073709551616\n".into()),
        ("csv-short-id", in_csv, "123456789012345678901,2,3\n".into()),
        ("csv-quote", in_csv, "1,2,\"3\n".into()),
        ("csv-no-text", in_csv, "1,2,3\n1,2,\0\n".into()),
        ("json", in_json, json.clone()),
        ("json-escaped", in_json, json.replace("token", "\\u0074oken")),
        ("json-twice", in_json, json.replace("block", "token")),
        ("json-fraction", in_json, json.replace('3', "3.0")),
        ("json-zeros", in_json, json.replace(":3", ":03")),
        ("json-minus", in_json, json.replace(":3", ":-0")),
        ("json-more", in_json, json.replace('}', ",\"more\":4}")),
        ("json-behind", in_json, json.replace('}', "} 5")),
        ("json-array", in_json, "[1,2,3]\n".into()),
        ("operations", in_operations, operations.clone()),
        ("operations-of-another-kind", in_operations, operations.replace("put", "PUT")),
        ("operations-with-more", in_operations, operations.replace("t\"}", "t\",\"time\":1}")),
        ("operations-null", in_operations, operations.replace('7', "null")),
        ("raw-cut", in_raw, "r".repeat(2 * 72 + 5)),
    ]
    .map(|(name, kind, text)| (name.into(), texts::Input::of_text(kind, [6, 40], text.as_bytes())))
    .into();
    for kind in 0..4u8 {
        for (number, is_changed) in [(0, 0), (1, 0), (2, 8), (3, 8)] {
            let mut random = Random::new("lines", (4 * kind + number).into());
            let bytes: Vec<u8> =
                std::iter::repeat_with(|| random.bytes::<1>()[0]).take(600).collect();
            let input = texts::Input::of_lines(kind | is_changed, number, [number, 90], &bytes);
            seeds.push((format!("lines-{kind}-{number}"), input));
        }
    }
    seeds
}
