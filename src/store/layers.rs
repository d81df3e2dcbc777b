//! Opening the segments that the manifest names.

use std::io;
use std::sync::Arc;

use crate::error::{Damage, Error, Result};
use crate::format::manifest::{ManifestContents, SegmentEntry};
use crate::format::names::segment_name;
use crate::format::segment::header_checksum;
use crate::io::Disk;
use crate::io::map::Bytes;
use crate::io::residency::bring_in;
use crate::options::{Options, Residency, Verification};
use crate::report;
use crate::segment::layer::Layer;
use crate::segment::reader::Segment;

/// How segments are opened.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    verification: Verification,
    residency: Residency,
    /// Whether what cannot be brought into memory as asked is only mapped.
    is_lenient: bool,
}

impl Opening {
    /// To be read as options say.
    pub(super) fn new(options: &Options) -> Self {
        let Options { verification, residency, .. } = *options;
        Self { verification, residency, is_lenient: false }
    }

    /// To be looked at.
    pub(super) fn to_check() -> Self {
        Self::new(&Options::new())
    }

    /// The same for what comes to a store that is in use.
    pub(super) fn later(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// The same for what was just written, and need not be read at once to be checked.
    pub(super) fn written(self) -> Self {
        let verification = match self.verification {
            Verification::OnOpen => Verification::FirstTouch,
            other => other,
        };
        Self { verification, ..self.later() }
    }
}

/// Opens all layers that the manifest names, newest first, but for those that are open.
pub(super) fn open_layers(
    disk: &dyn Disk,
    contents: &ManifestContents,
    opening: Opening,
    open: &[Arc<Layer>],
) -> Result<Vec<Arc<Layer>>> {
    let mut bottom = contents.layers.last().into_iter().flatten();
    if let Some(entry) = bottom.find(|entry| entry.updates > 0 || entry.tombstones > 0) {
        return Err(Error::from(Damage {
            path: disk.path_of(&segment_name(entry.segment_id)),
            part: "kinds",
            offset: 56,
            expected: "fresh entries only, as there is no layer below".into(),
            found: format!("{} updates and {} tombstones", entry.updates, entry.tombstones),
        }));
    }
    let layer = |entries: &Vec<SegmentEntry>| {
        let is_it = |layer: &&Arc<Layer>| {
            layer.segments().iter().map(Segment::entry).eq(entries.iter().cloned())
        };
        if let Some(layer) = open.iter().find(is_it) {
            return Ok(Arc::clone(layer));
        }
        let segments = entries.iter().map(|entry| open_segment(disk, entry, opening));
        Ok(Arc::new(Layer::new(segments.collect::<Result<_>>()?)))
    };
    contents.layers.iter().map(layer).collect()
}

/// Opens a segment and makes sure that it is the one that the manifest means.
pub(super) fn open_segment(
    disk: &dyn Disk,
    entry: &SegmentEntry,
    opening: Opening,
) -> Result<Segment<Bytes>> {
    let name = segment_name(entry.segment_id);
    let path = disk.path_of(&name);
    let damaged = |part, expected: String, found: String| {
        Error::from(Damage { path: path.clone(), part, offset: 0, expected, found })
    };
    let file = match disk.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(
                "segment",
                format!("a file of {} bytes", entry.file_len),
                "no such file".into(),
            ));
        }
        opened => opened.map_err(Error::io("open", &path))?,
    };
    let len = file.len().map_err(Error::io("measure", &path))?;
    if len != entry.file_len {
        return Err(damaged(
            "segment length",
            format!("{} bytes", entry.file_len),
            format!("{len} bytes"),
        ));
    }
    let bytes = file.map().map_err(Error::io("map", &path))?;
    if header_checksum(bytes.as_ref()) != Some(entry.header_checksum) {
        // Whatever else is wrong with it, a file of another making is said to be that.
        Segment::open(bytes, &path, opening.verification)?;
        return Err(damaged(
            "segment",
            "the file that the manifest names".into(),
            "another one".into(),
        ));
    }
    let copy = match bring_in(&bytes, file.as_ref(), &path, opening.residency) {
        Err(error) if opening.is_lenient => {
            report::warn(format_args!("{error}; it is only mapped"));
            None
        }
        brought_in => brought_in?,
    };
    let bytes = copy.unwrap_or(bytes);
    let segment = Segment::open(bytes, &path, opening.verification)?;
    if segment.entry() != *entry {
        return Err(damaged("segment", format!("{entry:?}"), format!("{:?}", segment.entry())));
    }
    Ok(segment)
}
