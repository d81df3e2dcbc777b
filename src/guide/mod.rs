#![doc = include_str!("index.md")]

#[doc = include_str!("serving.md")]
pub mod serving {}

#[doc = include_str!("verifying.md")]
pub mod verifying {}

#[doc = include_str!("importing.md")]
pub mod importing {}

#[doc = include_str!("backups.md")]
pub mod backups {}

#[doc = include_str!("sizing.md")]
pub mod sizing {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("upgrades.md")]
pub mod upgrades {}
