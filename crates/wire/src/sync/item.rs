//! What a segment of the stream holds: marks, and runs of records and removals.

use super::record::{self, Families};
use super::{Flow, Input, Malformed, Output, Record, SEGMENT_LEN_MAX};

const SNAPSHOT_BEGIN: u8 = 0x01;
const SNAPSHOT_END: u8 = 0x02;
const RECORDS: u8 = 0x10;
const REMOVALS: u8 = 0x20;
/// Bits of a tag that say which kind of run it is; the others are [`Families`].
const RUN_BITS: u8 = 0xf0;
/// Bytes of a run's head.
const RUN_LEN: usize = 2;

/// One thing of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// What follows includes a record of every connection that there was, until [`Self::SnapshotEnd`].
    SnapshotBegin,
    /// The snapshot is complete.
    SnapshotEnd {
        /// Records since its beginning, those of changes included.
        records: u64,
    },
    /// A connection as it is.
    Record(Record),
    /// A connection that is over.
    Removal(Flow),
}

impl Item {
    fn tag(&self) -> u8 {
        match self {
            Self::SnapshotBegin => SNAPSHOT_BEGIN,
            Self::SnapshotEnd { .. } => SNAPSHOT_END,
            Self::Record(record) => RECORDS | Families::of(record).0,
            Self::Removal(flow) => REMOVALS | Families::of_flow(flow).0,
        }
    }

    fn put(&self, output: &mut Output<'_>) {
        match self {
            Self::SnapshotBegin => {}
            Self::SnapshotEnd { records } => output.put(&records.to_be_bytes()),
            Self::Record(record) => record::put_record(output, record),
            Self::Removal(flow) => record::put_removal(output, flow),
        }
    }
}

/// Packs items into a segment.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: [u8; SEGMENT_LEN_MAX],
    len: usize,
    /// Where the present run begins.
    run: Option<usize>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty segment.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; SEGMENT_LEN_MAX],
            len: 0,
            run: None,
        }
    }

    /// Adds an item; `false`: it does not fit, and nothing has changed.
    #[must_use = "an item that does not fit is not written"]
    pub fn push(&mut self, item: &Item) -> bool {
        let tag = item.tag();
        let is_run = tag & RUN_BITS != 0;
        let run = self.run.filter(|at| {
            let head = self.bytes.get(*at..at + RUN_LEN);
            head.is_some_and(|head| head[0] == tag && head[1] < u8::MAX)
        });
        let mut output = Output::new(&mut self.bytes[self.len..]);
        if run.is_none() {
            output.put(&[tag]);
        }
        if run.is_none() && is_run {
            output.put(&[1]);
        }
        item.put(&mut output);
        let Some(written) = output.written() else {
            return false;
        };
        match run {
            Some(at) => self.bytes[at + 1] += 1,
            None => self.run = is_run.then_some(self.len),
        }
        self.len += written;
        true
    }

    /// What has been written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn room(&self) -> usize {
        SEGMENT_LEN_MAX - self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Begins a new segment.
    pub const fn clear(&mut self) {
        (self.len, self.run) = (0, None);
    }
}

/// Reads the items of a segment one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    at: usize,
    /// Tag of the run, and how many of it are left.
    run: Option<(u8, u8)>,
}

impl Reader {
    /// The next item of `segment`, which has to be the same bytes at each call; `None`: that was all.
    ///
    /// # Errors
    /// A [`Malformed`]; nothing can be read after that.
    pub fn next(&mut self, segment: &[u8]) -> Result<Option<Item>, Malformed> {
        let rest = segment.get(self.at..).unwrap_or_default();
        let mut input = Input(rest);
        let item = self.read(&mut input);
        self.at += rest.len() - input.0.len();
        if item.is_err() {
            (self.at, self.run) = (segment.len(), None);
        }
        item
    }

    fn read(&mut self, input: &mut Input<'_>) -> Result<Option<Item>, Malformed> {
        let (tag, left) = match self.run.take() {
            Some(run) => run,
            None if input.0.is_empty() => return Ok(None),
            None => match input.u8()? {
                SNAPSHOT_BEGIN => return Ok(Some(Item::SnapshotBegin)),
                SNAPSHOT_END => {
                    let records = input.u64()?;
                    return Ok(Some(Item::SnapshotEnd { records }));
                }
                tag => (tag, input.u8()?),
            },
        };
        let families = Families(tag & !RUN_BITS);
        let item = match tag & RUN_BITS {
            RECORDS if families.0 <= 7 => Item::Record(record::record(input, families)?),
            REMOVALS if families.0 <= 3 => Item::Removal(record::removal(input, families)?),
            _ => return Err(Malformed::Unknown(tag)),
        };
        let left = left.checked_sub(1).ok_or(Malformed::Range)?;
        self.run = (left > 0).then_some((tag, left));
        Ok(Some(item))
    }

    /// Whether all of `segment` can be read.
    ///
    /// # Errors
    /// The first [`Malformed`].
    pub fn check(segment: &[u8]) -> Result<(), Malformed> {
        let mut reader = Self::default();
        while reader.next(segment)?.is_some() {}
        Ok(())
    }
}
