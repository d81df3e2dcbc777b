//! Files and standard input, read by a thread of their own.
//!
//! A read from a pipe or a terminal may wait for ever, and goes on waiting after
//! Ctrl-C. So another thread reads, and this one waits for blocks of bytes and for
//! being told to stop. It also means that the next block is read while this one is
//! decoded.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

const BLOCK_BYTES: usize = 1 << 18;

/// Blocks that may wait to be taken.
const BLOCKS_AHEAD: usize = 2;

/// How soon a reader that waits for input sees that it is to stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Where input comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file, or whatever has a path: a named pipe, a device.
    File(PathBuf),
}

/// What a program and the readers of its input share.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Set to make readers fail with [`Error::Interrupted`](ringstore::Error::Interrupted).
    pub stop: &'static AtomicBool,
    /// Number of bytes taken from the input so far.
    pub bytes: Arc<AtomicU64>,
}

impl Watch {
    /// A watch that ends reading when `stop` is set.
    pub fn new(stop: &'static AtomicBool) -> Self {
        Self { stop, bytes: Arc::default() }
    }
}

impl Source {
    /// What a command line calls `name`: `-` is standard input.
    pub fn of_arg(name: PathBuf) -> Self {
        if name.as_os_str() == "-" { Self::Stdin } else { Self::File(name) }
    }

    /// Starts to read. A file that cannot be opened gives its error on the first read.
    pub fn read(self, watch: Watch) -> SourceReader {
        let (blocks, reader) = SourceReader::new(watch);
        thread::spawn(move || {
            let sent = match self {
                Self::Stdin => send(io::stdin().lock(), &blocks),
                Self::File(path) => File::open(path).and_then(|file| send(file, &blocks)),
            };
            if let Err(error) = sent {
                // Whoever hung up has no use for the error.
                let _ = blocks.send(Err(error));
            }
        });
        reader
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

type Block = io::Result<Vec<u8>>;

/// Sends all of `input`, until the other side hangs up.
fn send(mut input: impl Read, blocks: &SyncSender<Block>) -> io::Result<()> {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let length = loop {
            match input.read(&mut block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        block.truncate(length);
        if length == 0 || blocks.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}

/// The bytes of a [`Source`].
#[derive(Debug)]
pub struct SourceReader {
    blocks: Receiver<Block>,
    block: Vec<u8>,
    /// How many bytes of the block were consumed.
    consumed: usize,
    watch: Watch,
}

impl SourceReader {
    fn new(watch: Watch) -> (SyncSender<Block>, Self) {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        (sender, Self { blocks, block: Vec::new(), consumed: 0, watch })
    }

    /// The next block; an empty one at the end.
    fn wait(&self) -> Block {
        loop {
            if self.watch.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other(Stopped));
            }
            match self.blocks.recv_timeout(STOP_CHECK_INTERVAL) {
                Ok(block) => return block,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl BufRead for SourceReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.block.len() {
            self.block = self.wait()?;
            self.consumed = 0;
            self.watch.bytes.fetch_add(self.block.len() as u64, Ordering::Relaxed);
        }
        Ok(&self.block[self.consumed..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed = (self.consumed + amount).min(self.block.len());
    }
}

impl Read for SourceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// The error inside the I/O error of a reader that was told to stop.
///
/// [`io::ErrorKind::Interrupted`] would not do: whoever meets it tries again.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

pub(super) fn was_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Stopped>)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn all_bytes_come_through() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * BLOCK_BYTES + 17).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let watch = Watch::new(&NEVER);
        let mut found = Vec::new();
        Source::File(file.path().into()).read(watch.clone()).read_to_end(&mut found).unwrap();
        assert!(found == bytes);
        assert_eq!(watch.bytes.load(Ordering::Relaxed), bytes.len() as u64);
    }

    #[test]
    fn a_missing_file_is_an_error_not_an_end() {
        let path = tempfile::tempdir().unwrap().path().join("missing");
        let error = Source::File(path).read(Watch::new(&NEVER)).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn waiting_for_input_ends_when_told_to_stop() {
        static STOP: AtomicBool = AtomicBool::new(false);
        // A sender that is kept and never sends: a pipe that stays open.
        let (_blocks, mut reader) = SourceReader::new(Watch::new(&STOP));
        let waiting = thread::spawn(move || reader.read(&mut [0]).unwrap_err());
        STOP.store(true, Ordering::Relaxed);
        assert!(was_stopped(&waiting.join().unwrap()));
    }
}
