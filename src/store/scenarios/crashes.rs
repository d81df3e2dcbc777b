//! A crash at every moment of every scenario, and at every moment of what recovers from it.
//!
//! Of each moment there are the images of the simulated disk, in eleven models of what a disk
//! may lose. Each is opened, verified as a whole, and compared with the states that are
//! allowed.

use super::scripts::ALL;
use super::*;
use crate::compact::policy::LAYERS_MAX;
use crate::testing::random::Random;

/// How much is tried.
#[derive(Clone, Copy)]
struct Thoroughness {
    /// Of so many images one's recovery is tried at every moment.
    recovered_one_of: u64,
    /// Images of each of these moments.
    recovery_images: usize,
}

const QUICK: Thoroughness = Thoroughness { recovered_one_of: 24, recovery_images: 3 };
/// Of a store that is there at its last moments alone.
const LATE: Thoroughness = Thoroughness { recovered_one_of: 1, recovery_images: 100 };
const LONG: Thoroughness = Thoroughness { recovered_one_of: 3, recovery_images: 4 };

/// Images that are tried of each scenario at the least, and of all of them together.
const OF_EACH_LEAST: usize = 1_000;
const IMAGES_LEAST: usize = 100_000;
const LONG_IMAGES_LEAST: usize = 1_000_000;

/// What was tried.
#[derive(Clone, Copy, Default, Debug)]
struct Tried {
    moments: usize,
    images: usize,
    /// Images of recoveries.
    recoveries: usize,
}

impl Tried {
    fn all(self) -> usize {
        self.images + self.recoveries
    }
}

impl Scenario {
    fn crash_at_every_moment(&self, played: &Played, how: Thoroughness) -> Tried {
        let Played { disk, states, allowed, .. } = played;
        let mut tried = Tried { moments: allowed.len(), ..Tried::default() };
        let mut found_states = vec![0; states.len()];
        let mut random = Random::new("recoveries", 1);
        for (moment, allowed) in allowed.iter().enumerate() {
            for image in disk.images(moment) {
                tried.images += 1;
                let before = image.operations();
                let looked = image.open_read_only(&self.options()).ok();
                let looked = looked.map(|store| self.contents(&store));
                assert_eq!(image.operations(), before, "who only reads leaves no trace");
                let Some(found) = self.recover(&image) else {
                    assert!(allowed.is_absent && looked.is_none(), "moment {moment}");
                    continue;
                };
                assert!(looked.as_ref() == Some(&found), "readers see the same, moment {moment}");
                let number = allowed.states.clone().find(|number| states[*number] == found);
                let Some(number) = number else {
                    let other = states.iter().position(|state| *state == found);
                    panic!("moment {moment}: state {other:?}, not one of {:?}", allowed.states);
                };
                found_states[number] += 1;
                if random.below(how.recovered_one_of) > 0 {
                    continue;
                }
                for at in 0..=image.operations() {
                    for crashed in image.some_images(at, how.recovery_images, random.number()) {
                        tried.recoveries += 1;
                        let again = self.recover(&crashed);
                        assert!(again.as_ref() == Some(&found), "moments {moment}, {at}");
                    }
                }
            }
        }
        // Of states that are the same the first one is counted.
        let is_found =
            |(number, state)| found_states[number] > 0 || states[..number].contains(state);
        assert!(states.iter().enumerate().all(is_found), "{found_states:?}");
        tried
    }
}

/// Tries all scenarios, and tells how much there was to each: the most segments and logs at a
/// time, by the name of the scenario.
fn try_all(how: Thoroughness, least: usize) -> BTreeMap<&'static str, [usize; 2]> {
    let all = on_all_cores(&ALL, |(name, scenario)| {
        let scenario = scenario();
        let played = scenario.play();
        let tried = scenario.crash_at_every_moment(&played, how);
        let Tried { moments, images, recoveries } = tried;
        println!("{name}: {images} images of {moments} moments, {recoveries} of their recoveries");
        assert!(tried.all() >= OF_EACH_LEAST, "{name}: {tried:?}");
        (*name, [is_segment, is_log].map(|is_it| played.most(is_it)), tried.all())
    });
    let images: usize = all.iter().map(|(.., images)| images).sum();
    println!("{images} images of {} scenarios", all.len());
    assert!(images >= least, "{images}");
    all.into_iter().map(|(name, most, _)| (name, most)).collect()
}

/// Leaving out any one of the syncs of a log, of the directory or of a manifest was tried, and
/// made this fail.
#[test]
fn a_crash_leaves_what_was_acknowledged_and_nothing_half() {
    let most = try_all(QUICK, IMAGES_LEAST);
    assert!(most["flushes that merge layers"][0] >= LAYERS_MAX, "no layers were merged");
    assert!(most["flushes and compactions"][0] > 2, "nothing was compacted");
    assert!(most["flushes in the background"][1] > 1, "nothing was committed while it was sealed");
}

#[test]
#[ignore = "more than a million images: cargo test --lib -- --ignored --nocapture a_million_images"]
fn a_million_images() {
    try_all(LONG, LONG_IMAGES_LEAST);
}

/// A checkpoint is there as a whole, or nobody takes it for a store; whether files are linked
/// or copied, and whether there is anything to be written besides.
///
/// Leaving out the sync of a copy, of names, or of the manifest was tried, and made this fail.
#[test]
fn a_crash_while_a_checkpoint_is_made() {
    let mut script = scripts::checkpointed();
    let Played { disk: source, mut states, .. } = script.play();
    let store = Store::open_on(source.clone(), &script.options()).unwrap();
    let last = states.pop().unwrap();
    script.steps.clear();
    for is_flushed in [false, true] {
        if is_flushed {
            store.flush().unwrap();
        }
        for disk in [source.beside(), SimDisk::new()] {
            let made = disk.checkpoint(&store, UNWATCHED).unwrap();
            assert!((made.linked_bytes == 0) != (made.copied_bytes == 0));
            let operations = disk.operations();
            let mut allowed = vec![Allowed { states: 0..=0, is_absent: true }; operations + 1];
            allowed.last_mut().unwrap().is_absent = false;
            let (states, reached) = (vec![last.clone()], BTreeMap::new());
            let played = Played { disk, states, allowed, reached };
            let tried = script.crash_at_every_moment(&played, LATE);
            println!("{tried:?}");
            assert!(tried.images > 40 && tried.recoveries > 40, "{tried:?}");
        }
    }
}
