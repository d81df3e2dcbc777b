//! What every source file of the library keeps to, floors aside.

use crate::library;
use crate::tokens::Source;

/// The files that may hold `unsafe`.
const UNSAFE: [&str; 2] = ["src/io/map.rs", "src/search/simd.rs"];

/// How a file begins that says what it is for: here, or in a document of its own.
const DOCS: [&str; 2] = ["//! ", "#![doc = include_str!("];

const LINES_MAX: usize = 600;

/// Words that promise work for later.
const PROMISES: [&str; 2] = ["TODO", "FIXME"];

/// Macros that have no place in finished code.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// What tells the time. Clocks jump: nothing that the store does depends on one.
const CLOCKS: [&str; 2] = ["SystemTime", "Instant"];

fn complaints(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !DOCS.iter().any(|doc| text.starts_with(doc)) {
        complaints.push(format!("{path}:1: begin the file with `//!` and what it is for"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!(
            "{path}: {lines} lines are more than {LINES_MAX}: split the file by what it does"
        ));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| PROMISES.contains(word)) {
            complaints.push(format!(
                "{path}:{number}: {word}: do it, or write down what is and leave it out"
            ));
        }
    }
    let source = Source::new(path, text);
    for (at, token) in source.tokens.iter().map(String::as_str).enumerate() {
        let line = source.lines[at];
        if token == "unsafe" && !UNSAFE.contains(&path) {
            complaints.push(format!(
                "{path}:{line}: `unsafe` belongs into one of {}",
                UNSAFE.join(" and ")
            ));
        }
        if CLOCKS.contains(&token) {
            complaints.push(format!("{path}:{line}: `{token}`: let nothing depend on a clock"));
        }
        let calls = |at: usize| {
            source.tokens.get(at..at + 2).is_some_and(|next| next[0] == "!" && next[1] != "=")
        };
        if UNFINISHED.contains(&token) && calls(at + 1) {
            complaints.push(format!("{path}:{line}: `{token}!` is not for finished code"));
        }
    }
    complaints
}

/// A call of a clock in the library was tried, and made this fail.
#[test]
fn the_sources_are_tidy() {
    let complaints: Vec<_> =
        library().iter().flat_map(|(path, text)| complaints(path, text)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The one complaint about a file of this path, with this after its first line.
#[track_caller]
fn complaint(path: &str, rest: &str) -> String {
    let mut complaints = complaints(path, &format!("//! What it is.\n{rest}"));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.remove(0)
}

#[test]
fn tidy_code_passes() {
    let text = r##"//! What it is, without unsafe code.
// An unsafe { block } in a comment. /* dbg!() */
#![allow(unsafe_code)]
/* todo!() /* nested */ unsafe */
const A: &str = "unsafe \" todo!()";
const B: &str = r#"unsafe " dbg!()"#;
const C: (char, &[u8]) = ('"', b"unsafe");
fn todo<'unsafety>(dbg: bool) -> bool { dbg != true }
// TODOS and FIXMES are other words.
"##;
    assert_eq!(complaints("src/a.rs", text), [""; 0]);
}

#[test]
fn unsafe_is_for_two_files() {
    for code in [
        "fn f() { unsafe { g() } }",
        "unsafe impl Send for A {}",
        "m!('\"', unsafe { g() }, '\"');",
    ] {
        assert!(
            complaint("src/io/mod.rs", code).starts_with("src/io/mod.rs:2: `unsafe`"),
            "{code}"
        );
        for path in UNSAFE {
            assert_eq!(complaints(path, &format!("//! A.\n{code}")), [""; 0], "{code}");
        }
    }
}

#[test]
fn unfinished_code_is_found() {
    assert!(complaint("src/a.rs", "\nfn f() { todo!() }").starts_with("src/a.rs:3: `todo!`"));
    assert!(complaint("src/a.rs", "fn f() { unimplemented!() }").contains("`unimplemented!`"));
    assert!(complaint("src/a.rs", "fn f() { g(dbg!(1)) }").contains("`dbg!`"));
    assert!(complaint("src/a.rs", "// TODO: more").starts_with("src/a.rs:2: TODO"));
    assert!(complaint("src/a.rs", "/// (FIXME)\nfn f() {}").starts_with("src/a.rs:2: FIXME"));
}

#[test]
fn clocks_are_found() {
    assert!(complaint("src/a.rs", "use std::time::SystemTime;").contains("clock"));
    assert!(complaint("src/a.rs", "fn f() { Instant::now(); }").contains("clock"));
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    for text in ["", "fn f() {}", "// No doc.\n//! Late.\n", "/// Of the next item.\nfn f() {}"] {
        let complaints = complaints("src/a.rs", text);
        assert_eq!(complaints.len(), 1, "{text}");
        assert!(complaints[0].starts_with("src/a.rs:1: begin"), "{text}");
    }
}

#[test]
fn a_document_may_say_it() {
    let text = "#![doc = include_str!(\"FORMAT.md\")]\n";
    assert_eq!(complaints("src/a.rs", text), [""; 0]);
}

#[test]
fn a_file_has_an_end() {
    let longest = "// A line.\n".repeat(LINES_MAX - 1);
    assert_eq!(complaints("src/a.rs", &format!("//! A.\n{longest}")), [""; 0]);
    assert!(complaint("src/a.rs", &format!("{longest}\n")).starts_with("src/a.rs: 601 lines"));
}
