//! Datagrams that wait to be sent.

use std::net::SocketAddr;

/// The largest payload that is taken, in bytes: what fits into an IPv4 UDP datagram.
pub const MAX_DATAGRAM: usize = 65_507;

/// How many datagrams a batch holds, so that a socket that does not drain cannot grow memory.
pub const MAX_BATCH_DATAGRAMS: usize = 8192;

/// How many payload bytes a batch holds: the datagrams' bound at a common MTU.
pub const MAX_BATCH_BYTES: usize = MAX_BATCH_DATAGRAMS * 1500;

/// The most datagrams in one GSO message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;

/// The most payload bytes in one GSO message: under 65,535 with room for every header.
const MAX_MESSAGE_BYTES: usize = 65_000;

/// Why a datagram was not taken into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// More than [`MAX_DATAGRAM`] bytes.
    #[error("a datagram of {len} bytes is larger than UDP carries")]
    Oversize {
        /// The length that was asked for, in bytes.
        len: usize,
    },
    /// The batch holds [`MAX_BATCH_DATAGRAMS`] or [`MAX_BATCH_BYTES`] already.
    #[error("the batch is full")]
    Full,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    destination: SocketAddr,
    start: usize,
    len: usize,
}

/// One message of a `sendmmsg` call: a run of datagrams to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub destination: SocketAddr,
    pub payload: &'a [u8],
    /// Where the kernel cuts; `None` for a message that is one datagram.
    pub segment_size: Option<u16>,
    pub datagrams: usize,
}

/// A reusable queue of outgoing datagrams, in order.
///
/// Push the datagrams of one destination one after the other: only neighbours are merged into
/// one message. What a [`Socket::send`](crate::Socket::send) could not send stays for the next.
#[derive(Debug, Default)]
pub struct SendBatch {
    payload: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of the first entry that is not sent.
    next: usize,
    /// Entries before this index are sent one to a message, because GSO failed for them.
    unmerged: usize,
    /// Sends in a row that moved nothing.
    stalled: u32,
}

impl SendBatch {
    /// Appends a copy of `contents` for `destination`.
    ///
    /// # Errors
    /// [`PushError`]; the batch is as before.
    pub fn push(&mut self, destination: SocketAddr, contents: &[u8]) -> Result<(), PushError> {
        self.push_with(destination, contents.len(), |buffer| buffer.copy_from_slice(contents))
    }

    /// Appends a datagram of `len` bytes that `fill` writes in place (it sees zeros), so that a
    /// packet can be encrypted straight into the batch. Gives back what `fill` returns.
    ///
    /// # Errors
    /// [`PushError`]; the batch is as before and `fill` was not called.
    pub fn push_with<R>(
        &mut self,
        destination: SocketAddr,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, PushError> {
        if len > MAX_DATAGRAM {
            return Err(PushError::Oversize { len });
        }
        let start = self.payload.len();
        if self.entries.len() >= MAX_BATCH_DATAGRAMS || start + len > MAX_BATCH_BYTES {
            return Err(PushError::Full);
        }
        self.payload.resize(start + len, 0);
        self.entries.push(Entry { destination, start, len });
        let (_, buffer) = self.payload.split_at_mut(start);
        Ok(fill(buffer))
    }

    /// How many datagrams wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.next
    }

    /// Whether no datagram waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything that waits; the memory is kept.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.entries.clear();
        self.next = 0;
        self.unmerged = 0;
        self.stalled = 0;
    }

    /// The message that begins `skip` datagrams after the first that waits.
    pub(crate) fn message(&self, skip: usize, gso: bool) -> Option<Message<'_>> {
        let at = self.next + skip;
        let (first, rest) = self.entries.get(at..)?.split_first()?;
        let mut datagrams = 1;
        let mut end = first.start + first.len;
        if gso && at >= self.unmerged && first.len > 0 {
            for entry in rest {
                let fits = entry.destination == first.destination
                    && (1..=first.len).contains(&entry.len)
                    && datagrams < MAX_SEGMENTS
                    && end + entry.len - first.start <= MAX_MESSAGE_BYTES;
                if !fits {
                    break;
                }
                datagrams += 1;
                end += entry.len;
                // A shorter segment can only be the last of its message.
                if entry.len < first.len {
                    break;
                }
            }
        }
        Some(Message {
            destination: first.destination,
            payload: self.payload.get(first.start..end)?,
            segment_size: if datagrams > 1 { u16::try_from(first.len).ok() } else { None },
            datagrams,
        })
    }

    /// `datagrams` at the head are done with.
    pub(crate) fn advance(&mut self, datagrams: usize) {
        self.next = self.entries.len().min(self.next + datagrams);
        self.stalled = 0;
        if self.is_empty() {
            self.clear();
        }
    }

    /// The next `datagrams` are sent one to a message.
    pub(crate) fn unmerge(&mut self, datagrams: usize) {
        self.unmerged = self.next + datagrams;
    }

    /// The kernel took nothing; counts how often in a row, and makes room at the front.
    pub(crate) fn stall(&mut self) -> u32 {
        self.stalled += 1;
        if self.next > 0 {
            let start = self.entries.get(self.next).map_or(self.payload.len(), |entry| entry.start);
            self.payload.drain(..start);
            self.entries.drain(..self.next);
            for entry in &mut self.entries {
                entry.start -= start;
            }
            self.unmerged = self.unmerged.saturating_sub(self.next);
            self.next = 0;
        }
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn runs(batch: &SendBatch, gso: bool) -> Vec<(u16, usize, Option<u16>)> {
        let mut runs = Vec::new();
        let mut skip = 0;
        while let Some(message) = batch.message(skip, gso) {
            runs.push((message.destination.port(), message.payload.len(), message.segment_size));
            skip += message.datagrams;
        }
        runs
    }

    #[test]
    fn equal_neighbours_merge_and_a_shorter_one_ends_the_message() {
        let mut batch = SendBatch::default();
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (1, 60), (1, 61)] {
            batch.push(address(port), &vec![7; len]).unwrap();
        }
        assert_eq!(
            runs(&batch, true),
            [(1, 260, Some(100)), (1, 60, None), (2, 60, None), (1, 60, None), (1, 61, None)]
        );
        assert_eq!(runs(&batch, false).len(), 7);
    }

    #[test]
    fn an_empty_datagram_is_never_merged() {
        let mut batch = SendBatch::default();
        for len in [0, 0, 5, 0] {
            batch.push(address(1), &vec![7; len]).unwrap();
        }
        assert_eq!(runs(&batch, true), [(1, 0, None), (1, 0, None), (1, 5, None), (1, 0, None)]);
    }

    #[test]
    fn a_message_holds_at_most_64_segments_and_65000_bytes() {
        let mut batch = SendBatch::default();
        for _ in 0..65 {
            batch.push(address(1), &[0; 10]).unwrap();
        }
        assert_eq!(runs(&batch, true), [(1, 640, Some(10)), (1, 10, None)]);
        batch.clear();
        for _ in 0..48 {
            batch.push(address(1), &[0; 1400]).unwrap();
        }
        assert_eq!(runs(&batch, true), [(1, 46 * 1400, Some(1400)), (1, 2800, Some(1400))]);
    }

    #[test]
    fn oversize_and_overflow_are_refused_and_leave_the_batch_alone() {
        let mut batch = SendBatch::default();
        let refused = batch.push(address(1), &[0; MAX_DATAGRAM + 1]);
        assert_eq!(refused, Err(PushError::Oversize { len: MAX_DATAGRAM + 1 }));
        assert!(batch.is_empty());
        while batch.push(address(1), &[0; MAX_DATAGRAM]).is_ok() {}
        assert_eq!(batch.push(address(1), &[0; MAX_DATAGRAM]), Err(PushError::Full));
        assert_eq!(batch.len(), MAX_BATCH_BYTES / MAX_DATAGRAM);
        batch.clear();
        for _ in 0..MAX_BATCH_DATAGRAMS {
            batch.push(address(1), &[]).unwrap();
        }
        assert_eq!(batch.push(address(1), &[]), Err(PushError::Full));
    }

    #[test]
    fn a_stall_keeps_the_rest_and_frees_the_room_before_it() {
        let mut batch = SendBatch::default();
        for byte in 0..10u8 {
            batch.push(address(1), &[byte; 4]).unwrap();
        }
        batch.advance(6);
        assert_eq!((batch.stall(), batch.stall()), (1, 2));
        assert_eq!(batch.len(), 4);
        assert_eq!(batch.message(0, false).unwrap().payload, [6; 4]);
        assert_eq!(batch.payload.len(), 16);
        batch.advance(1);
        assert_eq!(batch.stall(), 1, "progress begins a new count");
    }
}
