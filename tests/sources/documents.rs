//! What documents say of the sources: that the tests which they name exist, and that
//! `SECURITY.md` lists every `unsafe` block of the library.
//!
//! A test is named as `cargo test` prints it, after the name of its program where that is
//! not the library: `segment::tests::any_tokens_are_found`, `damage::a_missing_file_is_named`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::imports::module_of;
use crate::tokens::Source;
use crate::{library, list};

const DOCUMENTS: [&str; 2] = ["SECURITY.md", "tests/README.md"];

/// Directories whose programs have tests.
const PROGRAMS: [&str; 2] = ["tests", "tools/cli/tests"];

/// What the published package is without, and the program whose tests are there.
const LEFT_OUT: [&str; 3] = ["tools/", "fuzz/", "cli::"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The modules that a file of a test program holds, its program first.
fn module_of_test(path: &str) -> Vec<String> {
    let mut names: Vec<_> = path.trim_end_matches(".rs").split('/').map(String::from).collect();
    names.pop_if(|last| last == "main" || last == "mod");
    names
}

/// What is found in a file, with the names of the modules and of the function around it.
#[derive(Default)]
struct Found {
    tests: BTreeSet<String>,
    /// How many unsafe blocks each function has, by its name alone.
    unsafe_blocks: BTreeMap<String, usize>,
}

impl Found {
    /// Goes through a file that holds a module.
    fn of(source: &Source, module: &[String]) -> Self {
        let mut found = Self::default();
        let tokens: Vec<_> = source.tokens.iter().map(String::as_str).collect();
        // Names of modules and functions, and at which depth each ends.
        let mut around: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut named, mut is_test) = (0, None, false);
        // Of round and square brackets, in which a semicolon ends nothing.
        let mut brackets = 0;
        for (at, token) in tokens.iter().enumerate() {
            match (*token, tokens.get(at + 1)) {
                ("#", _) if tokens[at..].starts_with(&["#", "[", "test", "]"]) => is_test = true,
                ("mod" | "fn", Some(name)) => {
                    if *token == "fn" && std::mem::take(&mut is_test) {
                        let names = module.iter().chain(around.iter().map(|it| &it.0));
                        let names: Vec<_> = names.map(String::as_str).chain([*name]).collect();
                        found.tests.insert(names.join("::"));
                    }
                    named = Some((*name).to_string());
                }
                ("(" | "[", _) => brackets += 1,
                (")" | "]", _) => brackets -= 1,
                (";", _) if brackets == 0 => named = None,
                ("unsafe", Some(&"{")) => {
                    let function = around.last().map_or("", |it| &it.0);
                    *found.unsafe_blocks.entry(function.into()).or_default() += 1;
                }
                ("{", _) => {
                    around.extend(named.take().map(|name| (name, depth)));
                    depth += 1;
                }
                ("}", _) => {
                    depth -= 1;
                    around.pop_if(|it| it.1 == depth);
                }
                _ => {}
            }
        }
        found
    }
}

/// Every test of the library and of the programs.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for (path, text) in library() {
        tests.extend(Found::of(&Source::new(&path, &text), &module_of(&path)).tests);
    }
    for program in PROGRAMS.into_iter().filter(|program| root.join(program).exists()) {
        let mut paths = Vec::new();
        list(&root.join(program), &mut paths);
        for path in paths {
            let name = path.strip_prefix(root.join(program)).unwrap().to_str().unwrap();
            let source = Source::new(name, &fs::read_to_string(&path).unwrap());
            tests.extend(Found::of(&source, &module_of_test(name)).tests);
        }
    }
    tests
}

/// What stands in back quotes, outside of blocks of code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```").step_by(2);
    blocks.flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// Whether something in back quotes is a test's name: modules and a function.
fn is_test_name(quoted: &str) -> bool {
    let is_name = |name: &str| {
        let is_inside =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_inside)
    };
    quoted.contains("::") && quoted.split("::").all(is_name)
}

fn is_path(quoted: &str) -> bool {
    let endings = [".rs", ".md", "/"];
    quoted.len() > 1
        && quoted.contains('/')
        && endings.iter().any(|it| quoted.ends_with(it))
        && !quoted.contains(' ')
}

/// Giving a test that is named there another name was tried, and made this fail.
#[test]
fn documents_name_tests_and_files_that_exist() {
    let tests = tests();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_package = !root.join("tools").exists();
    let is_here = |name: &str| !(is_package && LEFT_OUT.iter().any(|it| name.starts_with(it)));
    let mut complaints = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let mut named = 0;
        for quoted in quoted(&text).filter(|name| is_here(name)) {
            if is_test_name(quoted) {
                named += 1;
                if !tests.contains(quoted) {
                    complaints.push(format!("{document}: there is no test {quoted}"));
                }
            } else if is_path(quoted) && !root.join(quoted).exists() {
                complaints.push(format!("{document}: there is no file {quoted}"));
            }
        }
        assert!(named >= 20, "{document} names {named} tests");
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// How many blocks `SECURITY.md` lists of each function of each file: rows of a table that
/// begins with these three columns.
fn listed(text: &str) -> BTreeMap<(String, String), usize> {
    let row = |line: &str| {
        let mut columns = line.strip_prefix('|')?.split('|').map(|it| it.trim().replace('`', ""));
        let (file, function) = (columns.next()?, columns.next()?);
        let count = columns.next()?.parse().ok()?;
        file.starts_with("src/").then_some(((file, function), count))
    };
    text.lines().filter_map(row).collect()
}

/// One block more was tried, and made this fail.
#[test]
fn every_unsafe_block_is_listed() {
    let mut found = BTreeMap::new();
    for (path, text) in library() {
        for (function, count) in Found::of(&Source::new(&path, &text), &[]).unsafe_blocks {
            found.insert((path.clone(), function), count);
        }
    }
    assert!(found.len() >= 5, "{found:?}");
    assert_eq!(listed(&read("SECURITY.md")), found);
}

#[test]
fn tests_and_blocks_are_found() {
    let text = "
        mod inner {
            impl A { fn f(&self) { let g = || unsafe { a() }; unsafe { b() } } }
            #[test] #[ignore = \"fn x() {\"] fn t() { fn helper() { unsafe { c() } } }
            macro! { #[test] fn in_a_macro(x in 0..3) { if x {} } }
        }
        mod elsewhere;
        unsafe fn g();
        unsafe impl Send for A {}
        fn h(x: &[u8; 3]) -> u8 { unsafe { d() } }
    ";
    let found = Found::of(&Source::new("src/a.rs", text), &["a".into()]);
    let names: Vec<_> = found.tests.iter().map(String::as_str).collect();
    assert_eq!(names, ["a::inner::in_a_macro", "a::inner::t"]);
    let blocks: Vec<_> = found.unsafe_blocks.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(blocks, [("f", 2), ("h", 1), ("helper", 1)]);
}

#[test]
fn names_are_told_from_other_words() {
    for name in ["a::b", "store::tests::a_load_1"] {
        assert!(is_test_name(name), "{name}");
    }
    for other in ["a", "Store::open", "a::", "::a", "a::b()", "cargo test a::b", "std::Fs"] {
        assert!(!is_test_name(other), "{other}");
    }
    let text = "a `b` c\n```sh\n`d`\n```\n`e::f`";
    assert_eq!(quoted(text).collect::<Vec<_>>(), ["b", "e::f"]);
    assert!(is_path("src/io/map.rs") && is_path("tests/data/"));
    assert!(!is_path("map.rs") && !is_path("/") && !is_path("cp a/ b/"));
    let row = "| file | function | n |\n|---|---|---|\n| `src/a.rs` | `f` | 2 | why |";
    assert_eq!(listed(row), BTreeMap::from([(("src/a.rs".into(), "f".into()), 2)]));
}

#[test]
fn modules_of_programs() {
    assert_eq!(module_of_test("damage.rs"), ["damage"]);
    assert_eq!(module_of_test("readers/main.rs"), ["readers"]);
    assert_eq!(module_of_test("readers/opens.rs"), ["readers", "opens"]);
}
