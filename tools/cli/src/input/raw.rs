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
            _ => Err(Error::BadInput {
                source_name: self.name.clone(),
                text: false,
                number: self.number,
                reason: format!(
                    "cut after {length} of {} bytes; the input's length, {}, is not a multiple of {}",
                    Record::LEN,
                    (self.number - 1) * Record::LEN as u64 + length as u64,
                    Record::LEN,
                ),
            }),
        }
    }
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
