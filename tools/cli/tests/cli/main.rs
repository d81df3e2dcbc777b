//! The command as its users meet it: the real binary is run, in a directory of its own.

mod apply;
mod bad_input;
mod demo;
mod every_command;
mod exit_codes;
mod failures;
mod generate;
mod interrupts;
mod large_loads;
mod place;
mod round_trips;
mod salvages;
mod signatures;
#[path = "../../../../tests/processes/tools.rs"]
mod tools;
mod upkeep;
mod writes;
