//! The single functions, each by itself, for finding out what a change did to them.
//!
//! `cargo bench --bench functions`, with criterion's options. How the store compares
//! with others is measured by `versus`.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::random::Random;
use ringstore::{LoadOptions, Options, PeerId, Record, Signed, Snapshot, Store, TokenId, chunks};
use tempfile::TempDir;

const TOKENS: usize = 1_000_000;

struct Fixture {
    _directory: TempDir,
    snapshot: Snapshot,
    tokens: Vec<TokenId>,
}

fn fixture(family: KeyFamily) -> Fixture {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tokens = family.generate(TOKENS, 1);
    let store = Store::create(directory.path().join("store"), &Options::new()).expect("a store");
    let records = with_values(tokens.iter().copied(), 1).map(|record| Ok(Record::from(record)));
    store.bulk_load(records, &LoadOptions::new()).expect("a load");
    Fixture { _directory: directory, snapshot: store.snapshot(), tokens }
}

impl Fixture {
    /// Times `run` with tokens in random order.
    fn bench<R>(
        &self,
        criterion: &mut Criterion,
        name: &str,
        run: impl Fn(&Snapshot, &TokenId) -> R,
    ) {
        let mut random = Random::new(name, 1);
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || *random.pick(&self.tokens),
                |token| run(&self.snapshot, &token),
                BatchSize::SmallInput,
            );
        });
    }
}

fn reads(criterion: &mut Criterion) {
    let peer = PeerId([1; 32]);
    let uniform = fixture(KeyFamily::Uniform);
    uniform.bench(criterion, "get", |snapshot, token| snapshot.get(token).expect("an answer"));
    uniform.bench(criterion, "rank", |snapshot, token| snapshot.rank(token).expect("an answer"));
    uniform.bench(criterion, "walk of ten", |snapshot, token| {
        let chunks = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        snapshot.search_signature(token, &chunks).expect("an answer")
    });
    uniform.bench(criterion, "sign", |snapshot, token| {
        snapshot.sign(token, &peer).expect("an answer")
    });
    uniform.bench(criterion, "scan of 1,000", |snapshot, token| {
        snapshot.range(token..).take(1_000).map_while(Result::ok).map(|item| item.1.time).max()
    });
    uniform.bench(criterion, "scan of 1,000 down", |snapshot, token| {
        snapshot
            .range(..token)
            .rev()
            .take(1_000)
            .map_while(Result::ok)
            .map(|item| item.1.time)
            .max()
    });
    for family in [KeyFamily::OutlierOverDense64, KeyFamily::PoisonedCdf, KeyFamily::NestedClusters]
    {
        fixture(family).bench(criterion, &format!("get, {family:?}"), |snapshot, token| {
            snapshot.get(token).expect("an answer")
        });
    }
}

fn challenges(criterion: &mut Criterion) {
    let peer = PeerId([1; 32]);
    let uniform = fixture(KeyFamily::Uniform);
    uniform.bench(criterion, "chunks", |_, token| chunks(&peer, token, &token.0.into()));
    let sign = |token: &TokenId| -> Signed {
        uniform.snapshot.sign(token, &peer).expect("an answer").expect("a signature")
    };
    let signed: Vec<_> = uniform.tokens.iter().take(1_000).map(sign).collect();
    let mut next = signed.iter().cycle();
    criterion.bench_function("check a signature alone", |bencher| {
        bencher.iter(|| next.next().expect("a cycle").signature.check(&peer));
    });
}

criterion_group!(benches, reads, challenges);
criterion_main!(benches);
