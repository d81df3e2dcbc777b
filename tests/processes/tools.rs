//! What a test needs of the machine: programs, and the permission to use them.
//!
//! Where they are missing such a test cannot be run, says so, and passes: unless it is told
//! that they have to be there, as the gate does.

#![allow(dead_code, reason = "each test that shares this needs another part of it")]

use std::process::{Command, Stdio};

/// Whether a command succeeds, without a word.
fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether something can be used; if not, says so, or fails where an environment variable says
/// that it has to be there.
pub(crate) fn can_use(is_there: bool, what: &str, variable: &str) -> bool {
    if !is_there {
        let is_required = std::env::var_os(variable).is_some_and(|value| value == "required");
        assert!(!is_required, "{variable}=required, but {what}");
        eprintln!("\nSKIPPED, AND NOTHING TESTED: {what}\n");
    }
    is_there
}

/// Whether calls of the system can be watched and failed.
pub(crate) fn can_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "inject=fsync:error=EIO", "-o", "/dev/null", "true"]);
    can_use(succeeds(&mut strace), "strace is not installed, or may not trace here", "CI_STRACE")
}

/// A command that runs another one where it may mount file systems of its own, which are gone
/// when it ends; as root, or as somebody who is root nowhere else.
pub(crate) fn mounting() -> Option<Command> {
    let unshare = |options: &str| {
        let mut command = Command::new("unshare");
        command.arg(options);
        command
    };
    let mounts = |options: &&str| {
        let mut probe = unshare(options);
        probe.args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
        succeeds(&mut probe)
    };
    let options = ["-m", "-rm"].iter().find(|options| mounts(options));
    can_use(options.is_some(), "this user may not mount a tmpfs, even with unshare", "CI_MOUNT");
    options.map(|options| unshare(options))
}
