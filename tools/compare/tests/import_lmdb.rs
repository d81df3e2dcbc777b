//! The program that imports from LMDB imports, and is what the guide shows.
//!
//! The time read the wrong way round, entries that are no tokens passed over, and a word changed in
//! the guide were tried, and each made a test fail.
#![cfg(feature = "lmdb")]

use std::path::Path;
use std::process::{Command, Output};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, EnvOpenOptions};
use ringstore::{BlockId, BlockTime, Options, Store, TokenId};

/// An LMDB environment with these entries.
fn environment(path: &Path, entries: &[(Vec<u8>, Vec<u8>)]) {
    std::fs::create_dir(path).unwrap();
    #[expect(unsafe_code, reason = "a map is unsound if others alter the file")]
    // SAFETY: nobody else knows of it.
    let environment = unsafe { EnvOpenOptions::new().map_size(1 << 30).open(path) }.unwrap();
    let transaction = environment.write_txn().unwrap();
    let written = environment.create_databases_and_commit(transaction, |opener, transaction| {
        let tokens: Database<'_, Bytes, Bytes> = opener.create_database(transaction, None)?;
        for (key, value) in entries {
            tokens.put(transaction, key, value)?;
        }
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tokens))
    });
    written.unwrap();
}

fn entry(id: u64) -> (Vec<u8>, Vec<u8>) {
    let value = [&BlockId::from(id / 6).0[..], &(id + 7).to_be_bytes()].concat();
    (TokenId::from(id).0.to_vec(), value)
}

/// Runs the example, which `cargo test` builds beside this test.
fn import(environment: &Path, store: &Path) -> Output {
    let tests = std::env::current_exe().unwrap();
    let example = tests.ancestors().nth(2).unwrap().join("examples/import_lmdb");
    let run = Command::new(example).arg(environment).arg(store).output();
    run.expect("with `--test`, first: cargo build --example import_lmdb")
}

#[test]
fn what_was_in_lmdb_is_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let entries: Vec<_> = (0..10_000).map(|id| entry(3 * id)).collect();
    environment(&old, &entries);
    let run = import(&old, &new);
    assert!(run.status.success(), "{run:?}");
    assert_eq!(run.stdout, b"10000 tokens stored, 10000 records read\n", "{run:?}");
    let snapshot = Store::open_read_only(&new, &Options::new()).unwrap().snapshot();
    let expected = (0..10_000).map(|id| 3 * id);
    let expected = expected.map(|id| (TokenId::from(id), BlockTime::new((id / 6).into(), id + 7)));
    assert!(snapshot.range(..).map(Result::unwrap).eq(expected));
}

#[test]
fn what_is_no_token_is_refused_and_nothing_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    for (name, (key, value)) in [
        ("key", (vec![1; 31], vec![2; 40])),
        ("short", (vec![1; 32], vec![2; 39])),
        ("long", (vec![1; 32], vec![2; 41])),
    ] {
        let (old, new) = (directory.path().join(name), directory.path().join(name).join("new"));
        environment(&old, &[entry(1), (key, value)]);
        let run = import(&old, &new);
        assert!(!run.status.success(), "{run:?}");
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(said.contains("an entry that is no token"), "{said}");
        assert!(Store::open_read_only(&new, &Options::new()).unwrap().snapshot().is_empty());
    }
}

#[test]
fn the_guide_shows_the_program() {
    let program = include_str!("../examples/import_lmdb.rs");
    let shown = program.split("// ---\n").nth(1).unwrap();
    let guide = include_str!("../../../src/guide/importing.md");
    assert!(guide.contains(&format!("```ignore\n{shown}```\n")), "{shown}");
}
