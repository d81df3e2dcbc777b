//! `ringstore completions`.

use clap::Args;
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER_HELP: &str = "\
They are a script, so there is no --json of them.

Examples:
  ringstore completions bash > ~/.local/share/bash-completion/completions/ringstore
  ringstore completions zsh > \"${fpath[1]}/_ringstore\"
  ringstore completions fish > ~/.config/fish/completions/ringstore.fish";

/// Print what a shell needs to complete this command's arguments.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(
        self,
        output: &mut Output,
        mut definition: clap::Command,
    ) -> Result<Exit, Failure> {
        if output.is_json() {
            return Err(Failure::Usage("completions are a script; leave out --json".to_string()));
        }
        // It panics where it cannot write, which a vector never does.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition, "ringstore", &mut script);
        output.text(format_args!("{}", String::from_utf8_lossy(&script)))?;
        Ok(Exit::Done)
    }
}
