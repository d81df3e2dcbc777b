//! Links, pipes, sockets and directories where a store's files should be, other names beside
//! them, and what its files may be read and written by.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringstore::{BlockTime, Error, LoadOptions, Options, Record, Result, Store, TokenId};

use crate::sample::{options, sample};

/// What takes the place of a file.
#[derive(Clone, Copy, Debug)]
enum Thing {
    /// To the file itself, elsewhere.
    Link,
    /// To nothing, where something could be made.
    DanglingLink,
    Pipe,
    LinkToPipe,
    Directory,
    Socket,
    Device,
}

const THINGS: [Thing; 7] = [
    Thing::Link,
    Thing::DanglingLink,
    Thing::Pipe,
    Thing::LinkToPipe,
    Thing::Directory,
    Thing::Socket,
    Thing::Device,
];

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

impl Thing {
    /// Puts it where a file was, which is elsewhere now.
    fn put(self, path: &Path, elsewhere: &Path) {
        let beside = elsewhere.with_extension("other");
        match self {
            Self::Link => symlink(elsewhere, path).unwrap(),
            Self::DanglingLink => symlink(&beside, path).unwrap(),
            Self::Pipe => make_pipe(path),
            Self::LinkToPipe => {
                make_pipe(&beside);
                symlink(&beside, path).unwrap();
            }
            Self::Directory => fs::create_dir(path).unwrap(),
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            // It gives zeros without end. Making one is for root, linking to one is not.
            Self::Device => symlink("/dev/zero", path).unwrap(),
        }
    }

    fn remove(self, path: &Path, elsewhere: &Path) {
        match self {
            Self::Directory => fs::remove_dir(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
        let beside = elsewhere.with_extension("other");
        match self {
            Self::LinkToPipe => fs::remove_file(beside).unwrap(),
            _ => assert!(!beside.exists(), "something was made where a link led"),
        }
    }
}

/// Each is an error that names the file, comes at once, and changes nothing where a link leads.
///
/// Following links, and not looking whether it is a plain file, were tried, and each made this
/// fail; with waiting for the other end of a pipe it never ended.
#[test]
fn what_is_no_file_is_neither_followed_nor_waited_for() {
    let sample = sample(100);
    let elsewhere = sample.directory.path().join("elsewhere");
    let mut refused = 0;
    for ending in ["MANIFEST", ".seg", ".log", "LOCK"] {
        let path = sample.file(ending);
        fs::rename(&path, &elsewhere).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        for thing in THINGS {
            thing.put(&path, &elsewhere);
            let read = || Store::open_read_only(sample.path(), &Options::new());
            let write = || Store::open(sample.path(), &Options::new());
            let (read, write) = (read(), write());
            // Who only reads takes no lock.
            let read = if ending == "LOCK" { None } else { Some(read) };
            for opened in read.into_iter().chain([write]) {
                let case = format!("{thing:?} in the place of {ending}: {opened:?}");
                let Err(Error::Io { path: named, .. }) = opened else { panic!("{case}") };
                assert_eq!(named, path, "{case}");
                refused += 1;
            }
            assert_eq!(fs::read(&elsewhere).unwrap(), before, "{thing:?}, {ending}");
            thing.remove(&path, &elsewhere);
        }
        fs::rename(&elsewhere, &path).unwrap();
    }
    assert_eq!(refused, 7 * THINGS.len());
    sample.assert_whole();
}

/// Everything that makes and removes files.
fn write_much(store: &Store) -> Result<()> {
    for id in 0..200 {
        store.put(&TokenId::from(id), BlockTime::new(9.into(), 9))?;
    }
    store.flush()?;
    let record = Record::new(TokenId::from(7_777), BlockTime::new(9.into(), 9));
    store.bulk_load([Ok(record)], &LoadOptions::new())?;
    store.compact(&|_| ControlFlow::Continue(()))
}

/// Names that the store will give to files next, all of them taken by links.
fn plant(path: &Path, victim: &Path) -> usize {
    let numbers = (0..64u64).flat_map(|id| ["seg", "seg.tmp", "log"].map(|end| (id, end)));
    let names = numbers.map(|(id, end)| format!("{id:016x}.{end}"));
    let names = names.chain(["MANIFEST.tmp".into(), "MANIFEST.unsynced".into()]);
    // Where a file of the store is, a link is not.
    names.filter(|name| symlink(victim, path.join(name)).is_ok()).count()
}

/// Neither what is left over when a store is opened, nor what comes in its way later.
///
/// Neither removing what has the name of a file that is to be made, nor asking that the file be
/// new, was tried, and made this fail.
#[test]
fn nothing_is_written_where_a_link_leads() {
    let sample = sample(100);
    let victim = sample.directory.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    assert!(plant(&sample.path(), &victim) > 180);
    let store = Store::open(sample.path(), &options()).unwrap();
    let left = fs::read_dir(sample.path()).unwrap();
    assert!(left.into_iter().all(|entry| !entry.unwrap().path().is_symlink()));
    write_much(&store).unwrap();
    // While it is open. It may fail, but it does not write elsewhere.
    let (mut done, mut planted) = (0, 0);
    for _ in 0..20 {
        planted += plant(&sample.path(), &victim);
        done += usize::from(write_much(&store).is_ok());
        assert!(fs::read(&victim).unwrap() == b"mine", "it was written");
    }
    println!("{planted} links in the way, {done} of 20 rounds went through");
    assert!(planted > 180);
    let _ = store.close();
    assert!(fs::read(&victim).unwrap() == b"mine", "it was written");
    let store = Store::open(sample.path(), &options()).unwrap();
    assert_eq!(store.verify(&|_| ControlFlow::Continue(())).unwrap().damages, []);
    write_much(&store).unwrap();
}

/// A checkpoint links to the files that the store reads. Where one is a link by then, it is
/// neither linked nor followed: what the store reads is copied.
///
/// Taking for the store's what was linked, without looking at it, was tried, and made this fail.
#[test]
fn a_checkpoint_takes_nothing_from_where_a_link_leads() {
    let sample = sample(100);
    let store = Store::open_read_only(sample.path(), &options()).unwrap();
    let (path, secret) = (sample.file(".seg"), sample.directory.path().join("secret"));
    fs::write(&secret, "mine").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&secret, &path).unwrap();
    let copy = sample.directory.path().join("copy");
    let made = store.checkpoint(&copy, &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(made.linked_bytes, 0, "{made:?}");
    let files = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().path());
    assert!(files.into_iter().all(|path| path.symlink_metadata().unwrap().is_file()));
    let copied = Store::open(&copy, &options()).unwrap();
    let found: Result<Vec<_>> = copied.snapshot().range(..).collect();
    assert!(found.unwrap().into_iter().eq(sample.oracle.range(..)));
    assert_eq!(fs::read(&secret).unwrap(), b"mine");
}

/// Names that are not the store's are left alone, whatever bytes they consist of.
///
/// Taking any text for the number of a file was tried, and made this fail.
#[test]
fn other_names_are_left_alone() {
    let sample = sample(100);
    let long = "x".repeat(255);
    let names: [&[u8]; 9] = [
        b"\xff\xfe.seg",
        b"new\nline.log",
        b"0000000000000001.SEG",
        b"00000000000000001.seg",
        b"000000000000000g.log",
        b"MANIFEST.tmp.tmp",
        b"..seg",
        b" ",
        long.as_bytes(),
    ];
    let path_of = |name: &&[u8]| sample.path().join(std::ffi::OsStr::from_bytes(name));
    let others: Vec<PathBuf> = names.iter().map(path_of).collect();
    for path in &others {
        fs::write(path, "mine").unwrap();
    }
    for number in 0..2_000 {
        fs::write(sample.path().join(format!("{number}")), "").unwrap();
    }
    sample.assert_whole();
    write_much(&Store::open(sample.path(), &options()).unwrap()).unwrap();
    for path in &others {
        assert_eq!(fs::read(path).unwrap(), b"mine", "{}", path.display());
    }
    assert!((0..2_000).all(|number| sample.path().join(format!("{number}")).exists()));
}

/// The path that somebody gives is followed, links and all; only what is in the directory is
/// not.
#[test]
fn the_directory_itself_may_be_a_link() {
    let sample = sample(100);
    let link = sample.directory.path().join("link");
    symlink(sample.path(), &link).unwrap();
    let store = Store::open(&link, &options()).unwrap();
    assert_eq!(store.snapshot().len(), sample.oracle.len());
    store.put(&TokenId::from(3), BlockTime::new(1.into(), 1)).unwrap();
    store.close().unwrap();
    assert_eq!(
        Store::open(sample.path(), &options()).unwrap().snapshot().len(),
        sample.oracle.len()
    );
}

/// Others may read what they may read of any new file of this process; nobody may write a
/// segment. A store is as secret as its directory.
///
/// Leaving segments as they were made was tried, and made this fail.
#[test]
fn files_have_the_mode_that_any_new_file_has() {
    let sample = sample(100);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let new = sample.directory.path().join("new");
    drop(File::create(&new).unwrap());
    let usual = mode(&new);
    assert_ne!(usual & 0o200, 0);
    for (ending, expected) in
        [("MANIFEST", usual), ("LOCK", usual), (".log", usual), (".seg", usual & !0o222)]
    {
        assert_eq!(mode(&sample.file(ending)), expected, "{ending}");
    }
}
