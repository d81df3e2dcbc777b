//! Random operations, and of every place on the disk what may be there.
//!
//! The judge knows nothing of changes and their order: only, of each sector of each file
//! and of each name, what was put there since the last sync that went well. Every image
//! must have one of these at each place, and each of these must be in an image.

use super::*;

const FILES: usize = 3;
const SECTORS: usize = 3;
const SECTOR_LEN: usize = 512;

/// What was put into one place, in order: the first is durable, the others may be.
struct Place {
    values: Vec<u8>,
    /// So many of them no later sync makes durable, as one failed.
    stranded: usize,
}

impl Place {
    fn new() -> Self {
        Self { values: vec![0], stranded: 1 }
    }

    fn put(&mut self, value: u8) {
        self.values.push(value);
    }

    fn sync(&mut self, fails: bool) {
        if fails {
            self.stranded = self.values.len();
        } else if self.values.len() > self.stranded {
            self.values = self.values.split_off(self.values.len() - 1);
            self.stranded = 1;
        }
    }
}

/// A disk whose files have all their room, and what may be in each place.
struct Script {
    disk: SimDisk,
    open: Vec<Box<dyn DiskFile>>,
    sectors: Vec<Place>,
    /// Whether a name is there: a link to nothing but an empty file.
    names: Vec<Place>,
    random: Random,
    value: u8,
}

fn name(number: usize) -> String {
    format!("name {number}")
}

impl Script {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let open: Vec<_> = (0..FILES).map(|n| disk.create(&n.to_string()).unwrap()).collect();
        disk.sync_directory().unwrap();
        for file in &open {
            file.preallocate((SECTORS * SECTOR_LEN) as u64).unwrap();
            file.sync().unwrap();
        }
        Self {
            disk,
            open,
            sectors: (0..FILES * SECTORS).map(|_| Place::new()).collect(),
            names: (0..FILES).map(|_| Place::new()).collect(),
            random: Random::new("script", seed),
            value: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }

    fn step(&mut self) {
        let file = self.below(FILES);
        let fails = self.below(3) == 0;
        match self.below(8) {
            0..4 => {
                let (begin, mut len) = (self.below(SECTORS), 1);
                while begin + len < SECTORS && self.below(2) == 0 {
                    len += 1;
                }
                self.value += 1;
                let bytes = vec![self.value; len * SECTOR_LEN];
                self.open[file].write_all_at(&bytes, (begin * SECTOR_LEN) as u64).unwrap();
                for place in &mut self.sectors[file * SECTORS + begin..][..len] {
                    place.put(self.value);
                }
            }
            4 => {
                let name = name(file);
                let is_there = self.disk.files().contains_key(&name);
                if is_there {
                    self.disk.unlink(&name).unwrap();
                } else {
                    self.disk.create(&name).unwrap();
                }
                self.names[file].put((!is_there).into());
            }
            5 => {
                self.fail(fails);
                assert_eq!(self.disk.sync_directory().is_err(), fails);
                self.names.iter_mut().for_each(|place| place.sync(fails));
            }
            _ => {
                self.fail(fails);
                assert_eq!(self.open[file].sync().is_err(), fails);
                let places = &mut self.sectors[file * SECTORS..][..SECTORS];
                for place in places {
                    place.sync(fails);
                }
            }
        }
    }

    fn fail(&self, fails: bool) {
        if fails {
            self.disk.fail(Fault::at_operation(self.disk.operations()));
        }
    }

    /// What may be in each place, and what is there now.
    fn allowed(&self) -> Vec<BTreeSet<u8>> {
        let places = self.sectors.iter().chain(&self.names);
        places.map(|place| place.values.iter().copied().collect()).collect()
    }
}

/// A file that is open for writing, as a store never has it that was there before.
fn reopened(disk: &SimDisk, name: &str) -> Box<dyn DiskFile> {
    let inode = disk.state().inode(name).unwrap();
    disk.file(inode, true)
}

/// What is in each place.
fn places(disk: &SimDisk) -> Vec<u8> {
    let files = disk.files();
    let mut places = Vec::new();
    for file in 0..FILES {
        let contents = &files[&file.to_string()];
        assert_eq!(contents.len(), SECTORS * SECTOR_LEN);
        for sector in contents.chunks(SECTOR_LEN) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            places.push(sector[0]);
        }
    }
    places.extend((0..FILES).map(|number| u8::from(files.contains_key(&name(number)))));
    places
}

#[test]
fn every_place_holds_what_it_may_and_all_that_it_may() {
    let mut stranded = 0;
    for seed in 0..60 {
        let mut script = Script::new(seed);
        for _ in 0..25 {
            script.step();
            let (disk, allowed) = (&script.disk, script.allowed());
            let operations = disk.operations();
            let mut found = vec![BTreeSet::new(); allowed.len()];
            let images = disk.images(operations);
            let crashes = (0..5).map(|seed| disk.crash(operations, seed));
            for image in images.chain(crashes) {
                for (place, value) in places(&image).into_iter().enumerate() {
                    let told = || format!("seed {seed}: {}", disk.describe(operations - 1));
                    assert!(allowed[place].contains(&value), "{}", told());
                    found[place].insert(value);
                }
            }
            assert_eq!(found, allowed, "seed {seed}: {}", disk.describe(operations - 1));
            // As it was killed and goes on, it is the same.
            script.disk = if seed % 2 == 0 { disk.clone() } else { disk.killed(operations) };
            if seed % 2 == 1 {
                let file = |n: usize| reopened(&script.disk, &n.to_string());
                script.open = (0..FILES).map(file).collect();
            }
            let places = script.sectors.iter().chain(&script.names);
            assert!(
                places.map(|place| *place.values.last().unwrap()).eq(self::places(&script.disk))
            );
        }
        let places = script.sectors.iter().chain(&script.names);
        stranded += places.filter(|place| place.stranded > 1).count();
    }
    assert!(stranded > 50, "{stranded}");
}
