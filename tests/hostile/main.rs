//! Directories and files that somebody made who means harm, or who changes them while a store
//! is open: what that can lead to, and what not.

mod maps;
mod memory;
mod places;
mod sample;
