//! Doing one thing after the other, and knowing what must come of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::counts::Counts;
use super::history::History;
use super::operation::{Drawer, FaultEffect, Operation, Question};
use super::place::Place;
use super::plan::{Home, Plan};
use super::reads::{ask, ask_all, tokens_of};
use super::source::Source;
use super::state::{Applied, Change, Model, When};
use crate::backend::TokenStorageBackend;
use crate::backend::redb::ReDbTokens;
use crate::batch::{Batch, Condition};
use crate::compact::policy::LAYERS_MAX;
use crate::error::{Error, Result};
use crate::format::kinds::Kind;
use crate::load::options::LoadOptions;
use crate::options::{Durability, Options};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::testing::answers::{Outcome, answer, same};
use crate::testing::keys::with_values;
use crate::testing::sim::{Effect, Fault, SimDisk};
use crate::token::{BlockId, BlockTime, PeerId, Record, TokenId};

/// Snapshots that are kept at the most.
const KEPT_MAX: usize = 10;

/// A store, and what it should be.
pub struct Machine {
    pub(super) place: Place,
    pub(super) options: Options,
    pub(super) drawer: Drawer,
    /// `None` only while it is opened anew.
    pub(super) store: Option<Store>,
    pub(super) model: Arc<Model>,
    pub(super) history: History,
    pub(super) kept: Vec<Kept>,
    /// Stores that are open for reading, and what each of them should hold.
    pub(super) readers: Vec<(Store, Arc<Model>)>,
    /// Number of batches so far.
    pub(super) commits: u64,
    /// A fault may strike.
    pub(super) is_armed: bool,
    /// One may have struck since the store was opened, and kept a file from being removed.
    pub(super) may_have_leftovers: bool,
    /// The store said that it does not know what the disk has.
    pub(super) poisoned: Option<Poisoned>,
    pub(super) peer: Option<ReDbTokens>,
    /// Tokens that the peer has not been told of.
    pub(super) untold: BTreeSet<TokenId>,
    pub(super) counts: Counts,
}

/// A snapshot, and what it should hold.
pub(super) struct Kept {
    snapshot: Snapshot,
    model: Arc<Model>,
    /// Number of batches before it.
    commits: u64,
}

#[derive(Default)]
pub(super) struct Poisoned {
    /// What may be there as well.
    pub(super) maybe: Option<Model>,
    /// Batches that were refused since.
    refused: usize,
}

/// A store that is loaded with the base of a plan, for any number of machines.
pub struct Loaded {
    plan: Plan,
    pool: Vec<TokenId>,
    base: Vec<(TokenId, BlockTime)>,
    place: Place,
}

impl Loaded {
    /// Loads a store.
    ///
    /// # Errors
    ///
    /// What differs, if loading fails.
    pub fn new(plan: &Plan) -> Outcome<Self> {
        let pool = plan.pool();
        let every = pool.len().checked_div(plan.base.min(pool.len())).unwrap_or(usize::MAX);
        let base = pool.iter().copied().step_by(every).take(plan.base);
        let base: Vec<_> = with_values(base, plan.seed)
            .map(|(token, value)| (token, BlockTime { time: value.time % 5, ..value }))
            .collect();
        let options = Options::new();
        let (place, store) = match plan.home {
            Home::Simulated => {
                let disk = SimDisk::new();
                let store = disk.create_store(&options);
                (Place::Simulated(disk), store)
            }
            Home::Directory => {
                let directory = answer(
                    format_args!("a directory"),
                    tempfile::tempdir().map_err(Error::io("create", "a directory".as_ref())),
                )?;
                let store = Store::create(directory.path(), &options);
                (Place::Directory(directory), store)
            }
        };
        let store = answer(format_args!("creating a store"), store)?;
        if !base.is_empty() {
            let records = base.iter().map(|pair| Ok(Record::from(*pair)));
            let loaded = store.bulk_load(records, &LoadOptions::new());
            answer(format_args!("loading the base"), loaded)?;
        }
        answer(format_args!("closing the store"), store.close())?;
        Ok(Self { plan: plan.clone(), pool, base, place })
    }

    /// A machine that goes on from there.
    ///
    /// # Errors
    ///
    /// What differs, if the store cannot be opened.
    pub fn machine(&self) -> Outcome<Machine> {
        let place = match &self.place {
            Place::Simulated(disk) => Place::Simulated(SimDisk::with_files(disk.files())),
            Place::Directory(directory) => {
                let copy = copy_of(directory).map_err(Error::io("copy", directory.path()));
                Place::Directory(answer(format_args!("copying the store"), copy)?)
            }
        };
        let plan = &self.plan;
        let mut options =
            Options::new().log_bytes(plan.log_bytes).delta_entries(plan.delta_entries);
        if let Home::Simulated = plan.home {
            // So that the same choices lead to the same operations on the disk.
            options = options.inline();
        }
        let store = answer(format_args!("opening the store"), place.open(&options))?;
        let history = History::new(place.operations());
        Ok(Machine {
            place,
            options,
            drawer: Drawer::new(self.pool.clone(), plan),
            store: Some(store),
            model: Arc::new(Model::new(self.base.iter().copied())),
            history,
            kept: Vec::new(),
            readers: Vec::new(),
            commits: 0,
            is_armed: false,
            may_have_leftovers: false,
            poisoned: None,
            peer: None,
            untold: self.base.iter().map(|(token, _)| *token).collect(),
            counts: Counts::default(),
        })
    }
}

fn copy_of(directory: &tempfile::TempDir) -> std::io::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for entry in std::fs::read_dir(directory.path())? {
        let entry = entry?;
        std::fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
    }
    Ok(copy)
}

impl Machine {
    /// Does what the source says, once.
    ///
    /// # Errors
    ///
    /// What differs from what should be, and what was done just then.
    pub fn step(&mut self, source: &mut dyn Source) -> Outcome {
        let operation = self.drawer.draw(source);
        self.counts.add("operations");
        self.run(&operation)
            .map_err(|differs| format!("{differs}\nwhen this was done: {operation:?}"))
    }

    /// Asks for everything, and closes the store.
    ///
    /// # Errors
    ///
    /// What differs.
    pub fn finish(mut self) -> Outcome<Counts> {
        self.run(&Operation::AskAll)?;
        self.run(&Operation::Compare(TokenId::MIN, PeerId::default()))?;
        for index in 0..self.kept.len() {
            self.run(&Operation::AskAllOfKept(index))?;
        }
        self.reopen()?;
        self.run(&Operation::AskAll)?;
        Ok(self.counts)
    }

    /// How often what happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    pub(super) fn run(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Commit { changes, durability } => self.commit(changes, *durability),
            Operation::Single(change) => self.single(change),
            Operation::Sync => self.sync(),
            Operation::Flush => self.flush(),
            Operation::Compact => self.compact(),
            Operation::Load(changes) => self.load(changes),
            Operation::Expire(before) => self.expire(*before),
            Operation::Checkpoint => self.checkpoint(),
            Operation::Ask(question) => self.ask(question),
            Operation::AskAll => self.ask_all(),
            Operation::Keep => {
                if self.kept.len() == KEPT_MAX {
                    self.kept.remove(KEPT_MAX / 2);
                }
                let (snapshot, commits) = (self.store().snapshot(), self.commits);
                self.kept.push(Kept { snapshot, model: Arc::clone(&self.model), commits });
                Ok(())
            }
            Operation::AskKept(index, question) => self.ask_kept(*index, Some(question)),
            Operation::AskAllOfKept(index) => self.ask_kept(*index, None),
            Operation::Drop(index) => {
                if !self.kept.is_empty() {
                    self.kept.remove(index % self.kept.len());
                }
                Ok(())
            }
            Operation::Reopen => self.reopen(),
            Operation::Look(question) => self.look(question),
            Operation::Refresh(index, question) => self.refresh(*index, question),
            Operation::AskReader(index, question) => self.ask_reader(*index, question),
            Operation::Kill { ago } => self.kill(*ago),
            Operation::PowerFailure { ago, seed, again } => self.power_failure(*ago, *seed, *again),
            Operation::Fault { .. } => {
                self.arm(operation);
                Ok(())
            }
            Operation::Compare(token, peer) => self.compare(token, peer),
        }
    }

    // Writing.

    fn commit(&mut self, changes: &[Change], durability: Option<Durability>) -> Outcome {
        let mut batch = Batch::with_capacity(changes.len());
        for change in changes {
            let condition = self.condition(change);
            match (change.value, change.when) {
                (Some(value), When::Always) => batch.put(change.token, value),
                (Some(value), _) => batch.put_if(change.token, value, condition),
                (None, When::Always) => batch.remove(change.token),
                (None, _) => batch.remove_if(change.token, condition),
            };
        }
        let synced = durability.unwrap_or_default() == Durability::Synced;
        self.write(changes, synced, usize::MAX, |store| {
            let committed = match durability {
                Some(durability) => store.commit_with(&batch, durability),
                None => store.commit(&batch),
            };
            committed.map(|committed| committed.applied)
        })
    }

    /// What a change depends on, in the store's words.
    fn condition(&self, change: &Change) -> Condition {
        match change.when {
            When::Always => Condition::Always,
            When::Absent => Condition::Absent,
            When::Present => Condition::Present,
            When::Older(time) => Condition::Older(time),
            When::AbsentOrOlder(time) => Condition::AbsentOrOlder(time),
            // What no token has, if it has none.
            When::Unchanged => Condition::Equals(self.model.get(&change.token).unwrap_or_default()),
        }
    }

    fn single(&mut self, change: &Change) -> Outcome {
        let token = &change.token;
        self.write(&[*change], true, usize::MAX, |store| match (change.value, change.when) {
            (Some(value), When::Always) => store.put(token, value).map(|()| vec![true]),
            (Some(value), _) => store.set(token, value).map(|applied| vec![applied]),
            (None, _) => store.remove(token).map(|applied| vec![applied]),
        })
    }

    /// Makes changes, so many of them in each commit.
    pub(super) fn write(
        &mut self,
        changes: &[Change],
        synced: bool,
        commit_changes: usize,
        commit: impl Fn(&Store) -> Result<Vec<bool>>,
    ) -> Outcome {
        self.counts.add_if("writes", !changes.is_empty());
        let begins = self.place.operations();
        let before = self.store().stat();
        let parts_before = self.store().snapshot().view().delta_parts();
        let mut committed = commit(self.store());
        if let (Err(Error::NoSpace { .. }), true) = (&committed, self.is_armed) {
            self.counts.add("commits without space");
            self.heal();
            same(format_args!("len"), Ok(self.store().snapshot().len()), &before.tokens)?;
            committed = commit(self.store());
        }
        let question = format_args!("commit");
        let found = match committed {
            Err(Error::Unwritable { .. }) if self.poisoned.is_some() => return self.refused(),
            // A flush on the way there did not know what the disk has.
            Err(Error::Unwritable { .. }) if self.is_armed => {
                self.counts.add("commits that met a flush of unknown outcome");
                self.poison(None);
                return Ok(());
            }
            Err(Error::OutcomeUnknown { .. }) if self.is_armed && self.poisoned.is_none() => {
                let mut maybe = Model::clone(&self.model);
                let is_other = !maybe.apply(changes).undo.is_empty();
                if is_other {
                    self.history.unknown(begins, self.place.operations());
                }
                self.poison(is_other.then_some(maybe));
                return Ok(());
            }
            Err(Error::Io { .. }) if self.is_armed => {
                self.counts.add("commits that failed");
                return Ok(());
            }
            committed => answer(question, committed)?,
        };
        if self.poisoned.is_some() && !changes.is_empty() {
            return Err("a commit after one whose outcome is not known".into());
        }
        let Applied { took_place, undo, merged } = Arc::make_mut(&mut self.model).apply(changes);
        same(question, Ok(found), &took_place)?;
        let entries = undo.len();
        for (older, newer) in merged {
            self.counts.add(match (older, newer) {
                (Kind::Fresh, Kind::Update) => "merges of fresh and update",
                (Kind::Fresh, Kind::Tombstone) => "merges of fresh and tombstone",
                (Kind::Update, Kind::Update) => "merges of update and update",
                (Kind::Update, Kind::Tombstone) => "merges of update and tombstone",
                (Kind::Tombstone, Kind::Fresh) => "merges of tombstone and fresh",
                _ => return Err(format!("the model has {older:?} and then {newer:?}")),
            });
        }
        self.untold.extend(undo.iter().map(|undo| undo.token));
        if !changes.is_empty() {
            self.commits += u64::from(entries > 0);
            let ends = self.place.operations();
            if entries == 0 {
                self.history.committed(begins, ends, Vec::new(), synced);
            }
            let mut rest = undo;
            while !rest.is_empty() {
                let others = rest.split_off(commit_changes.min(rest.len()));
                let undo = std::mem::replace(&mut rest, others);
                self.history.committed(begins, ends, undo, synced);
            }
        }
        let after = self.store().stat();
        same(format_args!("tokens of stat"), Ok(after.tokens), &(self.model.len() as u64))?;
        self.counts.add_if("rotations", after.log_bytes != before.log_bytes);
        self.counts.add_if("rotations that dropped logs", after.log_bytes < before.log_bytes);
        let flushed = after.flushes > before.flushes;
        self.counts.add_if("commits that flushed", flushed);
        self.counts.add_if("commits over several layers", after.layers > 1);
        self.counts.add_if("merges of layers", flushed && after.layers < before.layers);
        let parts = self.store().snapshot().view().delta_parts();
        self.counts.add_if("commits over several memory segments", parts > 2);
        self.counts.add_if("merges of memory segments", parts < parts_before && !flushed);
        Ok(())
    }

    fn sync(&mut self) -> Outcome {
        let begins = self.place.operations();
        match self.store().sync() {
            Err(Error::Unwritable { .. }) if self.poisoned.is_some() => self.refused(),
            Err(Error::OutcomeUnknown { .. }) if self.is_armed && self.poisoned.is_none() => {
                self.poison(None);
                Ok(())
            }
            synced => {
                answer(format_args!("sync"), synced)?;
                self.history.synced(begins, self.place.operations());
                Ok(())
            }
        }
    }

    pub(super) fn poison(&mut self, maybe: Option<Model>) {
        self.counts.add("outcomes unknown");
        self.poisoned = Some(Poisoned { maybe, refused: 0 });
    }

    /// Opens the store anew when it refused some.
    pub(super) fn refused(&mut self) -> Outcome {
        self.counts.add("commits refused");
        let poisoned = self.poisoned.get_or_insert_default();
        poisoned.refused += 1;
        if poisoned.refused > 2 { self.reopen() } else { Ok(()) }
    }

    // Faults.

    fn arm(&mut self, operation: &Operation) {
        let Operation::Fault { of_read, after, lasts, no_space, effect } = *operation else {
            return;
        };
        if self.is_armed {
            return self.heal();
        }
        let Some(disk) = self.place.simulated() else { return };
        let mut fault = if of_read {
            Fault::at_read(disk.reads() + after)
        } else {
            Fault::at_operation(disk.operations() + after)
        };
        if lasts {
            fault = fault.lasting();
        }
        if no_space {
            fault = fault.errno(libc::ENOSPC);
        }
        fault = fault.effect(match effect {
            FaultEffect::Nothing => Effect::Nothing,
            FaultEffect::Part(parts) => Effect::Part(parts),
            FaultEffect::Everything => Effect::Everything,
        });
        disk.fail(fault);
        self.is_armed = true;
        self.may_have_leftovers = true;
        self.counts.add("faults");
    }

    pub(super) fn heal(&mut self) {
        if let Some(disk) = self.place.simulated() {
            disk.heal();
        }
        self.is_armed = false;
    }

    // Reading.

    fn ask(&mut self, question: &Question) -> Outcome {
        let snapshot = self.store().snapshot();
        ask(&snapshot, &self.model, question, &mut self.counts)?;
        if let Question::Stat = question {
            let stat = self.store().stat();
            same(format_args!("tokens of stat"), Ok(stat.tokens), &(self.model.len() as u64))?;
            if stat.delta == 0 {
                same(format_args!("tokens of all layers"), Ok(tokens_of(&stat)), &stat.tokens)?;
            }
            let layers_max = LAYERS_MAX as u64;
            same(format_args!("few layers"), Ok(stat.layers.max(layers_max)), &layers_max)?;
        }
        Ok(())
    }

    fn ask_all(&mut self) -> Outcome {
        self.counts.add("comparisons of everything");
        ask_all(&self.store().snapshot(), &self.model, &self.drawer.pool)?;
        if !self.may_have_leftovers {
            self.check_files()?;
        }
        Ok(())
    }

    fn ask_kept(&mut self, index: usize, question: Option<&Question>) -> Outcome {
        if self.kept.is_empty() {
            return Ok(());
        }
        let kept = &self.kept[index % self.kept.len()];
        match question {
            Some(question) => ask(&kept.snapshot, &kept.model, question, &mut Counts::default()),
            None => ask_all(&kept.snapshot, &kept.model, &self.drawer.pool),
        }
        .map_err(|differs| {
            let age = self.commits - kept.commits;
            format!("{differs}\nby a snapshot after {age} more commits")
        })?;
        let age = self.commits - kept.commits;
        self.counts.add("snapshots asked");
        self.counts.add_if("snapshots asked after 10 commits", age >= 10);
        self.counts.add_if("snapshots asked after 100 commits", age >= 100);
        self.counts.add_if("snapshots asked after 1,000 commits", age >= 1_000);
        Ok(())
    }

    /// Compares with redb.
    fn compare(&mut self, token: &TokenId, peer_id: &PeerId) -> Outcome {
        let mut peer = match self.peer.take() {
            Some(peer) => peer,
            None => answer(format_args!("creating a peer"), ReDbTokens::in_memory())?,
        };
        let untold = std::mem::take(&mut self.untold);
        let changes = untold.into_iter().map(|token| (token, self.model.get(&token)));
        answer(format_args!("telling the peer"), peer.write_many(changes))?;
        let snapshot = self.store().snapshot();
        let question = format_args!("everything, compared with redb");
        same(question, peer.len(), &snapshot.len())?;
        let mut right = answer(question, peer.range(..))?;
        for found in snapshot.range(..) {
            let right = answer(question, right.next().transpose())?;
            same(question, found.map(Some), &right)?;
        }
        same(question, right.next().transpose(), &None)?;
        drop(right);
        let question = format_args!("{token}, compared with redb");
        let signed = answer(question, peer.sign(token, peer_id))?;
        same(question, snapshot.sign(token, peer_id), &signed)?;
        let chunks = crate::challenge::chunks(peer_id, token, &BlockId::default());
        let walk = answer(question, peer.search_signature(token, &chunks))?;
        same(question, snapshot.search_signature(token, &chunks), &walk)?;
        let found = answer(question, peer.lookup(token))?;
        same(question, snapshot.get(token), &found)?;
        let mut right = answer(question, peer.range_before(token))?;
        for found in snapshot.range(..*token).rev().take(20) {
            let right = answer(question, right.next().transpose())?;
            same(question, found.map(Some), &right)?;
        }
        drop(right);
        self.peer = Some(peer);
        self.counts.add("comparisons with redb");
        Ok(())
    }
}
