//! The library's modules stand on floors, and a module imports only from floors
//! below its own.
//!
//! So every file can be read, and tested, with nothing but the files below it in
//! mind. The rules, which the tests here keep:
//!
//! - A top-level module imports only from floors below. Those of the ground floor
//!   are the words all others speak; they may import each other.
//! - Inside a top-level module, a parent lists its children, and a file imports its
//!   siblings or its parent, nothing of the parent's siblings.
//! - No file imports itself by way of others.
//! - `lib.rs` alone re-exports, but for `sync`, whose use that is. All others import a thing
//!   from where it is defined.
//!
//! Test modules are exempt.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Facts, Names, module_of, shown};
use crate::tokens::Source;

/// The top-level modules, lowest floor first. `lib.rs` is the roof.
const FLOORS: [&[&str]; 12] = [
    &["token", "challenge", "batch", "error", "in_order", "options", "progress", "report", "sync"],
    &["format", "io"],
    &["search"],
    &["segment", "log", "manifest"],
    &["delta"],
    &["snapshot"],
    &["sign", "load", "compact", "recover"],
    &["store"],
    &["backend", "salvage"],
    &["testing"],
    &["model"],
    // Pages, which import nothing.
    &["guide"],
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// What is wrong with one import, if anything is.
fn misstep(module: &[String], import: &[String], modules: &BTreeSet<Names>) -> Option<String> {
    let top = &module[0];
    match import.first() {
        Some(target) if target == top => {
            let parent = &module[..module.len() - 1];
            (!import.starts_with(parent))
                .then(|| format!("lies outside of `{}`: move one of the two", shown(parent)))
        }
        Some(target) if modules.contains(&import[..1]) => {
            let (own, other) = (floor(top)?, floor(target)?);
            (other >= own && (own, other) != (0, 0)).then(|| {
                format!("is on floor {other}, and `{top}` on {own}: move what it needs below floor {own}")
            })
        }
        _ => Some("is of `lib.rs`: name the module that defines it".into()),
    }
}

/// The files of one cycle of imports, if there is one.
fn cycle(imports: &BTreeMap<Names, BTreeSet<Names>>) -> Option<Vec<Names>> {
    let mut left: BTreeSet<&Names> = imports.keys().collect();
    // Files that import none of those left are on no cycle.
    while let Some(&free) =
        left.iter().find(|file| imports[**file].iter().all(|other| !left.contains(other)))
    {
        left.remove(free);
    }
    // Each that is left imports another one, so going on comes back at last.
    let mut way = vec![*left.first()?];
    loop {
        let next = imports[way[way.len() - 1]].iter().find(|other| left.contains(other))?;
        if let Some(start) = way.iter().position(|file| *file == next) {
            return Some(way[start..].iter().copied().cloned().collect());
        }
        way.push(next);
    }
}

/// All that is wrong with the imports of these files.
fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    let modules: BTreeSet<Names> = sources.iter().map(|source| module_of(&source.path)).collect();
    for module in modules.iter().filter(|module| module.len() == 1 && floor(&module[0]).is_none()) {
        complaints.push(format!(
            "module `{}` stands on no floor: add it to FLOORS in tests/sources/floors.rs, above all that it imports and \
             below all that import it",
            module[0]
        ));
    }
    let facts: Vec<_> = sources.iter().map(|source| Facts::of(source, &modules)).collect();
    let test_modules: Vec<&Names> = facts.iter().flat_map(|facts| &facts.test_modules).collect();
    let mut imports: BTreeMap<Names, BTreeSet<Names>> =
        modules.iter().map(|module| (module.clone(), BTreeSet::new())).collect();
    for (source, facts) in sources.iter().zip(&facts) {
        let (path, module) = (&source.path, module_of(&source.path));
        if module.is_empty() || test_modules.iter().any(|tests| module.starts_with(tests)) {
            continue;
        }
        for line in facts.reexports.iter().filter(|_| module != ["sync"]) {
            complaints.push(format!(
                "{path}:{line}: `lib.rs` alone re-exports: import it where it is needed"
            ));
        }
        for (line, import) in &facts.imports {
            if let Some(why) = misstep(&module, import, &modules) {
                complaints.push(format!("{path}:{line}: `{}` {why}", shown(import)));
            }
            let file = (1..=import.len())
                .rev()
                .map(|len| &import[..len])
                .find(|names| modules.contains(*names));
            if let Some(file) = file.filter(|file| **file != module) {
                imports.get_mut(&module).expect("every module is a key").insert(file.to_vec());
            }
        }
    }
    while let Some(cycle) = cycle(&imports) {
        let names: Vec<_> = cycle.iter().chain(&cycle[..1]).map(|module| shown(module)).collect();
        complaints.push(format!(
            "a cycle of imports: {}: move what two of them share below both",
            names.join(" -> ")
        ));
        imports.retain(|module, _| !cycle.contains(module));
    }
    complaints
}

#[test]
fn the_library_stands_on_its_floors() {
    let sources: Vec<_> =
        crate::library().iter().map(|(path, text)| Source::new(path, text)).collect();
    let complaints = complaints(&sources);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// A library of these files; a top-level module that is missing has an empty one.
fn library(files: &[(&str, &str)]) -> Vec<Source> {
    let mut files: BTreeMap<String, &str> =
        files.iter().map(|(path, text)| (format!("src/{path}.rs"), *text)).collect();
    for name in FLOORS.concat() {
        if !files.contains_key(&format!("src/{name}/mod.rs")) {
            files.entry(format!("src/{name}.rs")).or_default();
        }
    }
    files.iter().map(|(path, text)| Source::new(path, text)).collect()
}

#[track_caller]
fn passes(files: &[(&str, &str)]) {
    assert_eq!(complaints(&library(files)), [""; 0]);
}

/// Asserts that there is one complaint, and that it begins so.
#[track_caller]
fn fails(files: &[(&str, &str)], beginning: &str) {
    let complaints = complaints(&library(files));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].starts_with(beginning), "{complaints:?}");
}

#[test]
fn imports_go_down() {
    for (code, line) in [
        ("use crate::store::Store;", 1),
        ("pub(in crate::search) struct A;\nuse crate::store::{Store};", 2),
        ("use crate::{token::{self, TokenId}, io::Disk as _,\n store::Store as S};", 2),
        ("use {std::fmt,\n crate::store::Store};", 2),
        ("use super::store::Store;", 1),
        ("use self::super::store::Store;", 1),
        ("fn f() {\n if true { return crate::store::Store::<u8>::open(); } }", 2),
        ("fn f() { assert!(\n super::store::Store == 1); }", 2),
        ("macro_rules! m { () => { $crate::store::Store }; }", 1),
        ("type T = <\ncrate::store::Store as Into<u8>>::Error;", 2),
        ("mod inner {\n use super::super::store::Store; }", 2),
        ("#[cfg(test)] use crate::store::Store;", 1),
        ("#[cfg(not(test))] mod inner { use crate::store::Store; }", 1),
        ("#[cfg(test)] mod tests {} use crate::store::Store;", 1),
    ] {
        let why = "`crate::store::Store` is on floor 7, and `search` on 2";
        fails(&[("search", code)], &format!("src/search.rs:{line}: {why}"));
        passes(&[("backend", code)]);
    }
    fails(
        &[("search", "use crate::store;")],
        "src/search.rs:1: `crate::store` is on floor 7, and `search` on 2",
    );
    fails(&[("search", "use crate::store::*;")], "src/search.rs:1: `crate::store` is on floor 7");
    fails(
        &[("log", "use crate::segment::Reader;")],
        "src/log.rs:1: `crate::segment::Reader` is on floor 3, and",
    );
    fails(
        &[("search/mod", ""), ("search/simd", "use super::super::store::Store;")],
        "src/search/simd.rs:1: `crate::store",
    );
    fails(
        &[("backend", "use crate::testing::Oracle;")],
        "src/backend.rs:1: `crate::testing::Oracle` is on floor 9",
    );
    passes(&[("testing", "use crate::backend::MemTokens;")]);
}

#[test]
fn the_ground_floor_may_import_itself() {
    passes(&[
        ("challenge", "use crate::token::TokenId; use crate::error::Error;"),
        ("error", "use crate::token::TokenId;"),
    ]);
}

#[test]
fn what_is_no_import_is_no_matter() {
    passes(&[(
        "search",
        r###"
//! Of [`crate::store::Store`].
// use crate::store::Store; /* " */
/* use crate::store::Store; /* nested */ use crate::store::Store; */
/// [`A`](crate::store::Store)
const A: (&str, &str, char) = ("use crate::store::Store;", r##"" crate::store::Store"##, '"');
pub(in crate::store) fn f<'a>(x: &'a B) -> u8 { x.store::<u8>() + std::store::x() + store::y() }
#[cfg(test)]
mod tests { use super::*; use crate::store::Store; mod deep { use crate::*; } }
#[cfg(test)]
#[allow(dead_code)]
pub(crate) mod more_tests { use crate::store::Store; }
#[cfg(all(test, feature = "redb"))]
mod redb_tests { use crate::store::Store; }
"###,
    )]);
    passes(&[
        ("search/mod", "#[cfg(test)]\nmod tests;"),
        ("search/tests/mod", "use crate::store::Store; mod deep;"),
        ("search/tests/deep", "use crate::store::Store;"),
    ]);
    fails(
        &[("search/mod", "mod tests;"), ("search/tests", "use crate::store::Store;")],
        "src/search/tests.rs:1: ",
    );
}

#[test]
fn the_roof_alone_re_exports() {
    passes(&[(
        "lib",
        "mod store; pub use store::Store; pub use crate::token::{TokenId, BlockId};",
    )]);
    for code in
        ["pub use", "pub(crate) use", "pub(in crate::search) use", "#[doc(inline)]\npub use"]
    {
        let line = code.lines().count();
        let code = format!("{code} crate::token::TokenId;");
        fails(&[("search", &code)], &format!("src/search.rs:{line}: `lib.rs` alone"));
    }
    fails(
        &[("search/mod", "mod simd; pub(crate) use simd::scan;"), ("search/simd", "")],
        "src/search/mod.rs:1: `lib.rs` alone",
    );
}

#[test]
fn nothing_is_imported_from_the_roof() {
    for code in
        ["use crate::TokenId;", "use crate::*;", "use super::TokenId;", "fn f() { crate::f() }"]
    {
        fails(&[("search", code)], "src/search.rs:1: `crate");
        assert!(complaints(&library(&[("search", code)]))[0].contains("is of `lib.rs`"), "{code}");
    }
}

#[test]
fn a_module_needs_a_floor() {
    fails(
        &[("cache", "use crate::store::Store;")],
        "module `cache` stands on no floor: add it to FLOORS in tests/sources/floors.rs",
    );
    fails(&[("cache/mod", ""), ("cache/clock", "")], "module `cache` stands on no floor");
}

#[test]
fn a_file_reaches_no_farther_than_its_parent() {
    let simd = ("search/simd/mod", "mod avx2; use super::gallop::gallop;");
    let rest = [("search/mod", "mod gallop; mod simd;"), ("search/gallop", ""), simd];
    let with = |code| [&rest[..], &[("search/simd/avx2", code)]].concat();
    passes(&with("use crate::token::TokenId;"));
    for code in ["use crate::search::gallop::gallop;", "use super::super::gallop::gallop;"] {
        fails(
            &with(code),
            "src/search/simd/avx2.rs:1: `crate::search::gallop::gallop` lies outside of `crate::search::simd`",
        );
    }
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    fails(
        &[("token", "use crate::error::InvalidId;"), ("error", "use crate::token::TokenId;")],
        "a cycle of imports: crate::error -> crate::token -> crate::error:",
    );
    let child = ("search/simd", "use super::Hit;");
    passes(&[("search/mod", "mod simd; pub(crate) struct Hit;"), child]);
    for code in [
        "use simd::scan;",
        "use self::simd::scan;",
        "fn f() { simd::scan() }",
        "use crate::search::simd::scan;",
    ] {
        fails(
            &[("search/mod", code), child],
            "a cycle of imports: crate::search -> crate::search::simd -> crate::search:",
        );
    }
    fails(
        &[
            ("search/mod", "mod a; mod b; mod c; mod d;"),
            ("search/a", "use super::b;"),
            ("search/b", "use super::c::{C};"),
            ("search/c", "fn f() { super::d::g() }"),
            ("search/d", "use crate::search::b::B;"),
        ],
        "a cycle of imports: crate::search::b -> crate::search::c -> crate::search::d -> crate::search::b:",
    );
}

#[test]
fn every_cycle_is_found() {
    let sources = library(&[
        ("token", "use crate::error::Error;"),
        ("error", "use crate::token::TokenId;"),
        ("io/mod", "mod disk; fn f() { disk::open() }"),
        ("io/disk", "use super::Disk;"),
        ("search", "use crate::io::Disk;"),
    ]);
    let complaints = complaints(&sources);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].contains("crate::error -> crate::token -> crate::error:"));
    assert!(complaints[1].contains("crate::io -> crate::io::disk -> crate::io:"));
}
