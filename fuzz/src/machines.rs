//! What `model` begins with, and how it goes on.

use ringstore::model::machine::Loaded;
use ringstore::model::plan::Plan;
use ringstore::model::source::Bytes;
use ringstore::testing::keys::KeyFamily;

/// Few tokens, so that little has to be said for them to meet; some more; so many that
/// they outgrow an image; a disk that never fails; and one that often does.
pub fn loaded() -> [Loaded; 5] {
    let few = Plan { tokens: 12, base: 6, batch_max: 40, has_faults: true, ..Plan::default() };
    [
        few.clone(),
        Plan { family: KeyFamily::Edges, tokens: 100, base: 50, ..few.clone() },
        Plan {
            family: KeyFamily::Dense64,
            tokens: 1_300,
            base: 3,
            batch_max: 1_300,
            ..few.clone()
        },
        Plan { has_faults: false, ..few.clone() },
        Plan { is_troubled: true, ..few },
    ]
    .map(|plan| Loaded::new(&plan).unwrap_or_else(|differs| panic!("{differs}")))
}

/// Does what the choices say.
///
/// # Panics
///
/// If anything differs from what should be.
pub fn run(loaded: &Loaded, choices: &[u8]) {
    let mut choices = Bytes::new(choices);
    let outcome = loaded.machine().and_then(|mut machine| {
        while !choices.is_over() {
            machine.step(&mut choices)?;
        }
        machine.finish()
    });
    if let Err(differs) = outcome {
        panic!("{differs}");
    }
}
