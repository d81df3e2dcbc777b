//! Real processes, and what a real system does to them: they are killed at any time, calls of
//! the system fail, and disks are full.

mod full_disks;
mod history;
mod kills;
mod order;
mod program;
#[path = "../published/mod.rs"]
mod published;
mod tools;
mod traced;
