//! Every engine answers as the oracle does, however it was filled and whatever was
//! committed to it.

use std::path::PathBuf;
use std::thread;

use ringstore::testing::conformance::{Suite, check_reads};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::oracle::Oracle;
use ringstore::testing::random::Random;
use ringstore::{
    BlockTime, Chunks, Error, PeerId, RangeIter, Record, Result, Signed, TokenId,
    TokenStorageBackend, Walk,
};
use ringstore_compare::engines::{self, Database, Durable, Engine, Order};
use tempfile::TempDir;

/// Databases of an engine, each in a directory of its own.
struct Databases {
    engine: &'static dyn Engine,
    directory: TempDir,
    count: usize,
}

impl Databases {
    fn of(name: &str) -> Self {
        let engine = engines::named(name).expect("the engine");
        Self { engine, directory: tempfile::tempdir().unwrap(), count: 0 }
    }

    fn load(&mut self, records: &[Record], order: Order) -> Result<Box<dyn Database>> {
        self.count += 1;
        self.engine.load(&self.last(), records, order)
    }

    /// Opens the database that was loaded last, and closed, made of so many records.
    fn open(&self, records: usize) -> Result<Option<Box<dyn Durable>>> {
        self.engine.open(&self.last(), records)
    }

    fn last(&self) -> PathBuf {
        self.directory.path().join(self.count.to_string())
    }
}

/// Passes every call on, so that the suite meets what the comparison does, and counts the
/// steps for an engine that does not.
struct Passing<D> {
    database: D,
    counts_steps: bool,
}

impl<D: TokenStorageBackend> TokenStorageBackend for Passing<D> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.database.lookup(token)
    }

    fn set(&mut self, token: &TokenId, value: BlockTime) -> Result<bool> {
        self.database.set(token, value)
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.database.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.database.range_before(end)
    }

    fn len(&self) -> Result<u64> {
        self.database.len()
    }

    fn is_empty(&self) -> Result<bool> {
        self.database.is_empty()
    }

    fn search_signature(
        &self,
        token: &TokenId,
        chunks: &Chunks,
    ) -> Result<Walk<(TokenId, BlockTime)>> {
        let walk = self.database.search_signature(token, chunks)?;
        if self.counts_steps {
            return Ok(walk);
        }
        assert_eq!(walk.steps, walk.matches.len() as u64);
        let steps = Walking(&self.database).search_signature(token, chunks)?.steps;
        Ok(Walk { steps, ..walk })
    }

    fn sign(&self, token: &TokenId, peer: &PeerId) -> Result<Option<Signed>> {
        let signed = self.database.sign(token, peer)?;
        if self.counts_steps {
            return Ok(signed);
        }
        let walked = Walking(&self.database).sign(token, peer)?;
        Ok(signed.zip(walked).map(|(signed, walked)| {
            assert_eq!(signed.steps, signed.signature.matches.len() as u64);
            Signed { steps: walked.steps, ..signed }
        }))
    }
}

/// What is asked for in one call, and by other threads, is what is asked for one by one.
fn check_batches_and_readers(name: &str, database: &dyn Database, records: &[Record]) {
    let peer = PeerId([7; 32]);
    let mut random = Random::new("batches", 1);
    let tokens: Vec<_> = (0..300)
        .map(|at| if at % 3 == 0 { random.token() } else { random.pick(records).token })
        .collect();
    let one_by_one = |database: &dyn Database| {
        let found: Vec<_> = tokens.iter().map(|token| database.lookup(token).unwrap()).collect();
        let signed = tokens[..20].iter().map(|token| database.sign(token, &peer).unwrap());
        (found, signed.collect::<Vec<_>>())
    };
    let right = one_by_one(database);
    assert!(right.0.iter().filter(|found| found.is_some()).count() >= 200);
    let check = |database: &dyn Database| {
        assert!(one_by_one(database) == right, "{name}");
        let (mut found, mut signed) = (vec![None; 3], vec![None; 3]);
        database.get_many(&tokens, &mut found).unwrap();
        database.sign_many(&tokens[..20], &peer, &mut signed).unwrap();
        assert!((found, signed) == right, "{name}");
    };
    check(database);
    let readers: Option<Vec<_>> = (0..3).map(|_| database.reader().unwrap()).collect();
    assert_eq!(readers.is_none(), name == "leveldb", "{name}");
    thread::scope(|scope| {
        for reader in readers.into_iter().flatten() {
            scope.spawn(move || check(reader.as_ref()));
        }
    });
}

/// Walks through the ranges of another backend, as all do that have no faster way.
struct Walking<'a>(&'a dyn TokenStorageBackend);

impl TokenStorageBackend for Walking<'_> {
    fn lookup(&self, token: &TokenId) -> Result<Option<BlockTime>> {
        self.0.lookup(token)
    }

    fn set(&mut self, _token: &TokenId, _value: BlockTime) -> Result<bool> {
        Err(Error::backend("walking", "it only reads"))
    }

    fn range_after(&self, start: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_after(start)
    }

    fn range_before(&self, end: &TokenId) -> Result<RangeIter<'_>> {
        self.0.range_before(end)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }
}

/// The same way each time, and not the order of the tokens.
fn shuffled(records: &[Record]) -> Vec<Record> {
    let mut shuffled = records.to_vec();
    let mut random = Random::new("shuffle", 0);
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, random.below(last as u64 + 1) as usize);
    }
    shuffled
}

/// Few, for each write is synced.
const CASES: u32 = 16;

fn check(name: &str, suite: &Suite) {
    let mut databases = Databases::of(name);
    let counts_steps = databases.engine.counts_steps();
    suite.check(|records| {
        let records: Vec<_> = records.iter().map(|record| Record::from(*record)).collect();
        let database = databases.load(&records, Order::Sorted)?;
        Ok(Passing { database, counts_steps })
    });

    for family in [KeyFamily::Uniform, KeyFamily::NestedClusters, KeyFamily::Dense64] {
        let records: Vec<_> =
            with_values(family.generate(20_000, 7), 7).map(Record::from).collect();
        for (order, given) in [(Order::Sorted, &records), (Order::Random, &shuffled(&records))] {
            let tokens = databases.load(given, order).unwrap();
            check_batches_and_readers(name, tokens.as_ref(), &records);
            let up = tokens.range_after(&TokenId::MIN).unwrap();
            let up: Vec<Record> = up.map(|record| record.unwrap().into()).collect();
            assert_eq!(up.len(), records.len(), "{name}, {family:?}, {order:?}");
            assert!(up == records, "{name}, {family:?}, {order:?}");
            let down = tokens.range_before(&TokenId::MAX).unwrap();
            assert!(
                down.map(|record| Record::from(record.unwrap())).eq(records.iter().rev().copied()),
                "{name}, {family:?}, {order:?}"
            );
        }
    }
}

/// Every record of a commit is set, as by itself, and is there when the database is opened
/// anew.
fn check_commits(name: &str) {
    const TOKENS: usize = 500;
    let mut databases = Databases::of(name);
    let loaded: Vec<_> = with_values(KeyFamily::Uniform.generate(TOKENS, 1), 1).collect();
    let mut oracle: Oracle = loaded.iter().copied().collect();
    let records: Vec<_> = loaded.iter().map(|record| Record::from(*record)).collect();
    drop(databases.load(&records, Order::Sorted).unwrap());

    let mut random = Random::new("commits", 2);
    let mut written = 0;
    let open = || databases.open(TOKENS).unwrap().expect("durable");
    let counts_steps = databases.engine.counts_steps();
    let mut database = open();
    for round in 0..40 {
        // Tokens that are there and such as are not, some of them twice; times that are
        // older, the same and newer.
        let mut commit: Vec<Record> = Vec::new();
        for at in 0..round % 8 {
            let token = match random.below(4) {
                0 => random.token(),
                1 if at > 0 => random.pick(&commit).token,
                _ => random.pick(&records).token,
            };
            let time = match oracle.get(&token) {
                Some(found) => found.time.saturating_sub(1) + random.below(3),
                None => random.number() / 2,
            };
            commit.push(Record::new(token, BlockTime::new(random.number().into(), time)));
        }
        database.commit(&commit).unwrap();
        let writes = commit.iter().filter(|record| oracle.set(&record.token, record.value()));
        written += writes.count();
        if round % 10 == 9 {
            check_reads(&Passing { database, counts_steps }, &oracle);
            let opened = Passing { database: open(), counts_steps };
            check_reads(&opened, &oracle);
            database = opened.database;
        }
    }
    // Of 140.
    assert!((35..105).contains(&written), "{written}");
}

#[test]
fn ringstore_conforms() {
    check("ringstore", &Suite::new().cases(CASES));
    check_commits("ringstore");
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb_conforms() {
    check("lmdb", &Suite::new().cases(CASES));
    check_commits("lmdb");
}

#[cfg(feature = "lmdb")]
#[test]
fn lmdb_indexed_conforms() {
    check("lmdb-indexed", &Suite::new().cases(CASES));
    check_commits("lmdb-indexed");
}

#[cfg(feature = "redb")]
#[test]
fn redb_conforms() {
    check("redb", &Suite::new().cases(CASES));
    check_commits("redb");
}

#[cfg(feature = "sled")]
#[test]
fn sled_conforms() {
    check("sled", &Suite::new().cases(CASES));
    check_commits("sled");
}

#[cfg(feature = "fjall")]
#[test]
fn fjall_conforms() {
    check("fjall", &Suite::new().cases(CASES));
    check_commits("fjall");
}

#[cfg(feature = "leveldb")]
#[test]
fn leveldb_conforms() {
    check("leveldb", &Suite::new().cases(CASES));
    check_commits("leveldb");
}

#[cfg(feature = "rocksdb")]
#[test]
fn rocksdb_conforms() {
    check("rocksdb", &Suite::new().cases(CASES));
    check_commits("rocksdb");
}

#[test]
fn mem_conforms() {
    check("mem", &Suite::new());
    let mut databases = Databases::of("mem");
    drop(databases.load(&[], Order::Sorted).unwrap());
    assert!(databases.open(0).unwrap().is_none());
}
