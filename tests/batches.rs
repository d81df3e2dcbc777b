//! Batches that are shared among threads, of a store of several layers and a delta, say what
//! single calls do; and one place that is damaged is an error of the whole batch.

use std::path::Path;

use ringstore::testing::damage::{flip_bit, newest_segment};
use ringstore::testing::keys::{KeyFamily, with_values};
use ringstore::testing::random::Random;
use ringstore::{
    Batch, BlockTime, Error, Leg, LoadOptions, Options, PeerId, Record, Store, TokenId,
};

/// More than enough for several threads to share a batch.
const QUERIES: usize = 9_001;
const TOKENS: usize = 60_000;

fn load(path: &Path) -> Store {
    let store = Store::create(path, &Options::new()).unwrap();
    let records = with_values(KeyFamily::Uniform.generate(TOKENS, 1), 1);
    store.bulk_load(records.map(|record| Ok(Record::from(record))), &LoadOptions::new()).unwrap();
    store
}

/// Puts and removes tokens: of those that are there and of others.
fn change(store: &Store, tokens: &[TokenId], time: u64, random: &mut Random) {
    let mut batch = Batch::new();
    for _ in 0..500 {
        let value = BlockTime::new(random.below(1 << 40).into(), time);
        batch.put(*random.pick(tokens), value).put(random.token(), value);
        batch.remove(*random.pick(tokens));
    }
    store.commit(&batch).unwrap();
}

/// Tokens that are there, that are not, and some of them several times.
fn queries(tokens: &[TokenId], random: &mut Random) -> Vec<TokenId> {
    let one_of = |random: &mut Random| match random.below(4) {
        0 => random.token(),
        1 => tokens[7],
        _ => *random.pick(tokens),
    };
    let ends = [TokenId::MIN, TokenId::MAX];
    ends.into_iter().chain((2..QUERIES).map(|_| one_of(random))).collect()
}

#[test]
fn shared_batches_say_what_single_calls_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = load(&directory.path().join("store"));
    store.pause_compaction().unwrap();
    let mut random = Random::new("batches", 1);
    let tokens: Vec<_> = store.snapshot().range(..).map(|record| record.unwrap().0).collect();
    let empty = Store::create(directory.path().join("empty"), &Options::new()).unwrap();
    let (mut values, mut signatures, mut walks) = (Vec::new(), Vec::new(), Vec::new());
    for time in 2..6 {
        for store in [&store, &empty] {
            let snapshot = store.snapshot();
            let tokens = queries(&tokens, &mut random);
            snapshot.get_many(&tokens, &mut values).unwrap();
            assert_eq!(values.len(), tokens.len());
            for (token, value) in tokens.iter().zip(&values) {
                assert_eq!(*value, snapshot.get(token).unwrap(), "{token}");
            }

            let peer = PeerId(random.bytes());
            let challenges: Vec<_> = tokens.iter().map(|token| (*token, peer)).collect();
            snapshot.sign_many(&challenges, &mut signatures).unwrap();
            assert_eq!(signatures.len(), tokens.len());
            for (token, signature) in tokens.iter().zip(&signatures) {
                assert_eq!(*signature, snapshot.sign(token, &peer).unwrap(), "{token}");
            }

            let legs = [Leg::up(&[1, 2, 1_023]), Leg::down(&[2, 1])];
            let origins: Vec<_> =
                tokens.iter().enumerate().map(|(at, token)| (*token, &legs[at % 3..])).collect();
            snapshot.walk_many(&origins, &mut walks).unwrap();
            assert_eq!(walks.len(), tokens.len());
            for ((token, legs), walk) in origins.iter().zip(&walks) {
                assert_eq!(*walk, snapshot.walk(token, legs).unwrap(), "{token}");
            }
        }
        change(&store, &tokens, time, &mut random);
        if time % 2 == 0 {
            store.flush().unwrap();
        }
    }
}

#[test]
fn one_place_that_is_damaged_fails_the_batch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = load(&path);
    let tokens: Vec<_> = store.snapshot().range(..).map(|record| record.unwrap().0).collect();
    store.close().unwrap();
    let segment = newest_segment(&path).unwrap().unwrap();
    // In the block of the token in the middle.
    flip_bit(&segment, TOKENS as u64 / 2 * 72 + 4_096 + 40).unwrap();

    let snapshot = Store::open_read_only(&path, &Options::new()).unwrap().snapshot();
    let (mut values, mut signatures, mut walks) = (Vec::new(), Vec::new(), Vec::new());
    let peer = PeerId([1; 32]);
    let legs = [Leg::up(&[5])];
    for len in [1, 33, QUERIES] {
        for damaged_at in [0, len / 2, len - 1] {
            // Tokens far from the damage, but for one.
            let mut batch = tokens[100..100 + len].to_vec();
            assert!(snapshot.get_many(&batch, &mut values).is_ok());
            batch[damaged_at] = tokens[TOKENS / 2];
            let refused = snapshot.get_many(&batch, &mut values);
            assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
            let challenges: Vec<_> = batch.iter().map(|token| (*token, peer)).collect();
            let refused = snapshot.sign_many(&challenges, &mut signatures);
            assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
            let origins: Vec<_> = batch.iter().map(|token| (*token, &legs[..])).collect();
            let refused = snapshot.walk_many(&origins, &mut walks);
            assert!(matches!(refused, Err(Error::Damaged(_))), "{refused:?}");
            // The buffers can be used again.
            snapshot.get_many(&tokens[..10], &mut values).unwrap();
            assert!(values.len() == 10 && values.iter().all(Option::is_some));
        }
    }
}
