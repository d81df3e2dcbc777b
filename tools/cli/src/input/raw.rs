//! Records as bytes.

use std::io::{self, BufRead};

use ringstore::{Error, Record, Result};

use super::read_error;

/// Whole records, one after the other.
#[derive(Debug)]
pub(super) struct RawReader<R> {
    reader: R,
    name: String,
    number: u64,
}

impl<R: BufRead> RawReader<R> {
    pub(super) fn new(name: impl Into<String>, reader: R) -> Self {
        Self { reader, name: name.into(), number: 0 }
    }

    pub(super) fn read(&mut self) -> Result<Option<Record>> {
        self.number += 1;
        let mut bytes = [0; Record::LEN];
        let length =
            fill(&mut self.reader, &mut bytes).map_err(|error| read_error(&self.name, error))?;
        match length {
            Record::LEN => Ok(Some(bytemuck::pod_read_unaligned(&bytes))),
            0 => Ok(None),
            _ => {
                check_len(&self.name, (self.number - 1) * RECORD_LEN + length as u64).map(|()| None)
            }
        }
    }
}

const RECORD_LEN: u64 = Record::LEN as u64;

/// Fails where an input of so many bytes ends with a record that is cut.
pub(super) fn check_len(name: &str, len: u64) -> Result<()> {
    let rest = len % RECORD_LEN;
    if rest == 0 {
        return Ok(());
    }
    let reason = format!(
        "cut after {rest} of {RECORD_LEN} bytes; the input's length, {len}, is not a multiple of \
         {RECORD_LEN}"
    );
    let (source_name, number) = (name.to_string(), len / RECORD_LEN + 1);
    Err(Error::BadInput { source_name, text: false, number, reason })
}

/// Fills `bytes`, or what is left of them at the end of the input; says how many.
fn fill(reader: &mut impl BufRead, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match reader.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn records_are_whole_or_refused() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * Record::LEN).collect();
        for length in 0..=bytes.len() {
            // A buffer of seven bytes parts every record somewhere else.
            let mut reader = RawReader::new("test", BufReader::with_capacity(7, &bytes[..length]));
            for whole in bytes[..length].chunks_exact(Record::LEN) {
                assert_eq!(reader.read().unwrap(), Some(bytemuck::pod_read_unaligned(whole)));
            }
            match reader.read() {
                Ok(end) => assert!(end.is_none() && length % Record::LEN == 0),
                Err(Error::BadInput { number, text: false, reason, .. }) => {
                    assert_eq!(number, (length / Record::LEN) as u64 + 1);
                    assert!(reason.contains(&format!("length, {length}, is")), "{reason}");
                    assert_ne!(length % Record::LEN, 0);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
