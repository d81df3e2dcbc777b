//! Imports the tokens of an LMDB environment into a store.
//!
//! ```console
//! $ cargo run --release --example import_lmdb -- ENVIRONMENT STORE
//! ```
//!
//! `ringstore::guide::importing` shows the part between the lines of dashes.

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};
use ringstore::{
    BlockId, BlockTime, Error, LoadOptions, LoadReport, Options, Record, Result, Store, TokenId,
};

// ---
/// Token to block ‖ time as a big-endian number. Types are those of what is imported.
type Tokens = Database<'static, Bytes, Bytes>;

fn import(environment: &Env, tokens: &Tokens, store: &Store) -> Result<LoadReport> {
    let transaction = environment.read_txn().map_err(failed)?;
    let records = tokens.iter(&transaction).map_err(failed)?.map(|entry| {
        let (token, value) = entry.map_err(failed)?;
        record(token, value).ok_or_else(|| failed("an entry that is no token with its block"))
    });
    store.bulk_load(records, &LoadOptions::new())
}

fn record(token: &[u8], value: &[u8]) -> Option<Record> {
    let (block, time) = value.split_first_chunk()?;
    let value = BlockTime::new(BlockId(*block), u64::from_be_bytes(time.try_into().ok()?));
    Some(Record::new(TokenId(token.try_into().ok()?), value))
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::backend("LMDB", error)
}
// ---

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [environment, store] = arguments.as_slice() else {
        return Err("name an LMDB environment and the directory of a store".into());
    };
    let mut options = EnvOpenOptions::new();
    #[expect(unsafe_code, reason = "some flags are unsound")]
    // SAFETY: this one takes nothing from what others rely on.
    unsafe {
        options.flags(EnvFlags::READ_ONLY);
    }
    #[expect(unsafe_code, reason = "a map is unsound if others alter the file")]
    // SAFETY: LMDB's own locks keep others that use it from altering what is read.
    let environment = unsafe { options.open(environment) }?;
    let transaction = environment.read_txn()?;
    let opened = environment.open_databases_and_commit(transaction, |opener, transaction| {
        let tokens: Option<Database<'_, _, _>> = opener.open_database(transaction, None)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tokens))
    })?;
    let tokens = opened.unwrap_commit().ok_or("the environment has no unnamed database")?;
    let store = Store::open_or_create(store, &Options::new())?;
    let report = import(&environment, &tokens, &store)?;
    store.close()?;
    println!("{} tokens stored, {} records read", report.stored, report.read);
    Ok(())
}
