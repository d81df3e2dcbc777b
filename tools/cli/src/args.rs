//! The command line.

use std::borrow::Cow;

use clap::Parser;
use clap::error::ErrorKind;

use crate::commands::Command;
use crate::exit::Exit;
use crate::talk::say;

const AFTER_HELP: &str = "\
Ids are 64 hex digits, with or without 0x, or a decimal number below 2^64.
Data goes to standard output, messages and progress to standard error.

Exit codes:
  0    done; also when the reader of the output goes away
  1    a negative answer: not found, not newer, no signature, a check failed
  2    wrong usage or bad input, a missing or foreign directory
  3    damage, or a format version that this program does not know; also when a salvage
       could not rescue all
  4    locked by another writer
  5    input or output failed, such as no space
  130  interrupted

Examples:
  ringstore demo
  ringstore generate --tokens 1000000 --out tokens.raw
  ringstore load my-store tokens.raw
  ringstore set my-store 42 7 1700000000
  ringstore apply my-store < operations.jsonl
  ringstore stat my-store
  ringstore checkpoint my-store copy
  ringstore range my-store --limit 3";

/// A memory-mapped store of tokens that answers proof-of-storage challenges.
#[derive(Parser)]
#[command(name = "ringstore", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Write JSON, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Prints help, or says on one line what is wrong with the arguments.
pub(crate) fn say_error(error: &clap::Error) -> Exit {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        // Who closed the pipe has read enough.
        let _ = error.print();
    } else {
        say(one_line(&error.render().to_string()));
    }
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Characters of a word in a message at the most. An id has 64; what is much longer was not meant.
const WORD_CHARS_MAX: usize = 200;

/// The beginning of what is too long to be read.
fn shortened(word: &str) -> Cow<'_, str> {
    match word.char_indices().nth(WORD_CHARS_MAX) {
        None => Cow::Borrowed(word),
        Some((end, _)) => Cow::Owned(format!("{}…'", &word[..end])),
    }
}

/// What clap says in several paragraphs: error, tips, usage, where to find help.
fn one_line(text: &str) -> String {
    let words = |text: &str| text.split_whitespace().map(shortened).collect::<Vec<_>>().join(" ");
    let paragraphs: Vec<_> = text
        .split("\n\n")
        .map(words)
        .filter(|text| !text.starts_with("For more information"))
        .collect();
    let line = paragraphs.join("; ");
    line.strip_prefix("error: ").unwrap_or(&line).to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_examples() {
        for command in Args::command().get_subcommands() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("ringstore {}", command.get_name());
            assert!(examples.contains(&call), "{call}: {examples}");
        }
    }

    #[test]
    fn errors_are_one_line_with_the_usage() {
        for (call, line) in [
            (
                &["get"][..],
                "the following required arguments were not provided: <STORE> <ID>...; Usage: ringstore get <STORE> <ID>...",
            ),
            (
                &["get", "s", "xyz"],
                "invalid value 'xyz' for '<ID>...': an id has 64 hex digits, or is a decimal number below 2^64; found 3 characters",
            ),
            (
                &["frobnicate"],
                "unrecognized subcommand 'frobnicate'; Usage: ringstore [OPTIONS] <COMMAND>",
            ),
            (
                &["get", "s", &"f".repeat(100_000)],
                &format!(
                    "invalid value '{}…' for '<ID>...': an id has 64 hex digits, or is a decimal number below 2^64; found 100000 characters",
                    "f".repeat(WORD_CHARS_MAX - 1)
                ),
            ),
        ] {
            let error = Args::try_parse_from([&["ringstore"], call].concat()).err().unwrap();
            assert_eq!(one_line(&error.render().to_string()), line);
        }
    }
}
