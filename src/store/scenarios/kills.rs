//! A process is killed, what it left is opened, perhaps written to, and then the power fails:
//! what was seen once stays.

use super::scripts::ALL;
use super::*;

/// Without a sync of the log and the directory when a store is opened it did not stay.
#[test]
fn what_was_opened_after_a_kill_outlives_the_power() {
    let mut images = 0;
    for (name, scenario) in ALL {
        let scenario = scenario();
        let Played { disk, allowed, states, reached } = scenario.play();
        let new = (scenario.tokens[1], BlockTime::new(1.into(), 1_000_000));
        for (moment, allowed) in allowed.iter().enumerate() {
            for commits in [false, true] {
                let killed = disk.killed(moment);
                let Some(mut found) = scenario.recover(&killed) else { continue };
                let is_allowed = allowed.states.clone().any(|number| states[number] == found);
                assert!(is_allowed, "{name}, moment {moment}");
                // What was acknowledged survives the process, synced or not.
                let reached = reached.get(&moment).map(|number| &states[*number]);
                let is_last = reached.is_none_or(|state| *state == found);
                assert!(is_last || scenario.flushes == Flushes::Background, "{name}, {moment}");
                if commits {
                    open(&killed).unwrap().put(&new.0, new.1).unwrap();
                    found.insert(new.0, new.1);
                }
                for image in killed.some_images(killed.operations(), 6, 1) {
                    images += 1;
                    let later = scenario.recover(&image);
                    assert!(later.as_ref() == Some(&found), "{name}, moment {moment}");
                }
            }
        }
    }
    println!("{images} images");
    assert!(images > 2_000, "{images}");
}
