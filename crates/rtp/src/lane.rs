//! Lanes: bounded, lossy packet queues between two planes (a shard and the `mcu`, a shard and its
//! sibling, the `mcu` and a plain leg's transport).
//!
//! # Delivery contract
//!
//! - A lane has exactly one producer and one consumer, each on a thread of its own. Neither side
//!   ever blocks, locks or allocates; the only shared words are the queue's head and tail and two
//!   counters.
//! - Packets that arrive, arrive in the order in which they were pushed.
//! - **A packet may be dropped**: when the lane is full, [`LaneTx::push`] drops the packet that is
//!   pushed, counts it and says so. What is behind a lane must treat a missing packet as a loss on
//!   the network: conceal it, or ask for a key frame. Nothing that must not be dropped is
//!   representable here: commands travel on reliable channels.
//! - The sibling is woken by [`LaneTx::flush`] alone, at most once a batch, and only if something
//!   was pushed since the last flush. Who pushes must flush before it goes to sleep.
//! - When one end is gone the other sees it ([`LaneTx::is_closed`], [`LaneRx::is_closed`]). What
//!   was pushed before can still be popped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Wakes the thread that consumes a lane.
///
/// Called by the producer's thread; it must be cheap and must not block (an eventfd, a
/// `mio::Waker`, an unpark).
pub trait Wake {
    /// Makes the consumer look at its lanes soon. Spurious calls are harmless.
    fn wake(&self);
}

/// One RTP packet's worth of media, out of its network's clothes: decrypted, its header parsed, its
/// numbers unwrapped.
///
/// Cloning costs one reference count: the payload is shared by all who receive it.
#[derive(Debug, Clone)]
pub struct MediaPacket {
    /// The RTP payload, without header and padding.
    pub payload: Arc<[u8]>,
    /// Extended sequence number (see [`crate::seq::SeqUnwrapper`]): never wraps, gaps are losses.
    pub seq: u64,
    /// RTP timestamp as sent, in the clock rate of the format. Wraps.
    pub timestamp: u32,
    /// The RTP marker bit: end of a frame for video, start of a talk spurt for audio.
    pub marker: bool,
    /// When the packet came from the network.
    pub arrival: Instant,
    /// What the payload is. This crate gives it no meaning: the two ends of a lane agree on a
    /// numbering.
    pub format: u8,
    /// Loudness from the audio-level extension (RFC 6464), −127..=0 dBov; `None` where the sender
    /// does not tell.
    pub audio_level: Option<i8>,
    /// When the source captured this, on our clock, by the sender's own reports; `None` until its
    /// first sender report. Lip-sync and outgoing sender reports rest on it, never on `arrival`.
    pub capture: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counters {
    passed: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    fn stats(&self) -> LaneStats {
        LaneStats {
            passed: self.passed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// What has happened on a lane since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Packets that were put into the lane.
    pub passed: u64,
    /// Packets that were dropped because the lane was full or its consumer gone.
    pub dropped: u64,
}

/// Makes a lane for `capacity` packets (at least one). `wake` wakes the consumer.
#[must_use]
pub fn lane(capacity: usize, wake: Arc<dyn Wake + Send + Sync>) -> (LaneTx, LaneRx) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity.max(1));
    let counters = Arc::new(Counters::default());
    let bell = Bell(wake);
    let tx = LaneTx { queue: producer, counters: counters.clone(), bell, unflushed: false };
    (tx, LaneRx { queue: consumer, counters })
}

/// The producer's end of a lane. Dropping it wakes the consumer.
pub struct LaneTx {
    queue: rtrb::Producer<MediaPacket>,
    counters: Arc<Counters>,
    /// After the queue, as fields are dropped in order: the consumer that it wakes at the end has to
    /// find the queue abandoned.
    bell: Bell,
    unflushed: bool,
}

/// Rings once more when it is dropped.
struct Bell(Arc<dyn Wake + Send + Sync>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl LaneTx {
    /// Puts `packet` into the lane. `false`: the lane was full, or its consumer is gone; the packet
    /// is dropped and counted.
    pub fn push(&mut self, packet: MediaPacket) -> bool {
        if self.queue.is_abandoned() || self.queue.push(packet).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);

            return false;
        }
        self.counters.passed.fetch_add(1, Ordering::Relaxed);
        self.unflushed = true;
        true
    }

    /// Wakes the consumer if something was pushed since the last flush.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.bell.0.wake();
        }
    }

    /// Whether the consumer is gone: nothing that is pushed will be read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_abandoned()
    }

    /// The lane's counters.
    #[must_use]
    pub fn stats(&self) -> LaneStats {
        self.counters.stats()
    }
}

impl fmt::Debug for LaneTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneTx").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The consumer's end of a lane.
pub struct LaneRx {
    queue: rtrb::Consumer<MediaPacket>,
    counters: Arc<Counters>,
}

impl LaneRx {
    /// The oldest packet, or `None` if the lane is empty now.
    pub fn pop(&mut self) -> Option<MediaPacket> {
        self.queue.pop().ok()
    }

    /// Packets that wait, as of now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.slots()
    }

    /// Whether nothing waits, as of now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the producer is gone and everything that it pushed was popped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // In this order: what was pushed before the producer went away is then seen.
        self.queue.is_abandoned() && self.queue.is_empty()
    }

    /// The lane's counters.
    #[must_use]
    pub fn stats(&self) -> LaneStats {
        self.counters.stats()
    }
}

impl fmt::Debug for LaneRx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneRx").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl Wake for Rings {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn packet(seq: u64) -> MediaPacket {
        MediaPacket {
            payload: Arc::from(seq.to_be_bytes().as_slice()),
            seq,
            timestamp: 0,
            marker: false,
            arrival: Instant::now(),
            format: 0,
            audio_level: None,
            capture: None,
        }
    }

    #[test]
    fn a_full_lane_drops_the_new_packet_counts_it_and_goes_on() {
        let bell = Arc::new(Rings::default());
        let (mut tx, mut rx) = lane(2, bell);
        assert!(tx.push(packet(1)));
        assert!(tx.push(packet(2)));
        assert!(!tx.push(packet(3)));
        assert_eq!(rx.pop().map(|p| p.seq), Some(1));
        assert!(tx.push(packet(4)));
        let rest: Vec<u64> = std::iter::from_fn(|| rx.pop()).map(|p| p.seq).collect();
        assert_eq!(rest, [2, 4]);
        assert_eq!(rx.stats(), LaneStats { passed: 3, dropped: 1 });
        assert_eq!(rx.stats(), tx.stats());
    }

    #[test]
    fn one_batch_wakes_once_and_an_empty_batch_never() {
        let bell = Arc::new(Rings::default());
        let (mut tx, rx) = lane(8, bell.clone());
        tx.flush();
        assert_eq!(bell.0.load(Ordering::SeqCst), 0);
        for seq in 0..5 {
            tx.push(packet(seq));
        }
        tx.flush();
        tx.flush();
        assert_eq!(bell.0.load(Ordering::SeqCst), 1);
        assert_eq!(rx.len(), 5);
    }

    #[test]
    fn an_end_that_is_gone_is_seen_by_the_other() {
        let bell = Arc::new(Rings::default());
        let (mut tx, mut rx) = lane(4, bell.clone());
        tx.push(packet(1));
        drop(tx);
        assert_eq!(bell.0.load(Ordering::SeqCst), 1, "the consumer must learn of the end");
        assert!(!rx.is_closed(), "one packet still waits");
        assert_eq!(rx.pop().map(|p| p.seq), Some(1));
        assert!(rx.is_closed());

        let (mut tx, rx) = lane(4, bell);
        drop(rx);
        assert!(tx.is_closed());
        assert!(!tx.push(packet(1)));
        assert_eq!(tx.stats(), LaneStats { passed: 0, dropped: 1 });
    }

    #[test]
    fn who_is_woken_at_the_end_finds_the_lane_closed() {
        #[derive(Default)]
        struct Look(std::sync::Mutex<(Option<LaneRx>, Vec<bool>)>);
        impl Wake for Look {
            fn wake(&self) {
                let (lane, seen) = &mut *self.0.lock().unwrap();
                seen.extend(lane.as_ref().map(LaneRx::is_closed));
            }
        }
        let look = Arc::new(Look::default());
        let (tx, rx) = lane(4, look.clone());
        look.0.lock().unwrap().0 = Some(rx);
        drop(tx);
        assert_eq!(look.0.lock().unwrap().1, [true]);
    }

    #[test]
    fn what_crosses_threads_arrives_whole_and_in_order() {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(&self) {
                self.0.unpark();
            }
        }
        let (mut tx, mut rx) = lane(64, Arc::new(Unpark(std::thread::current())));
        let producer = std::thread::spawn(move || {
            for seq in 0..50_000 {
                tx.push(packet(seq));
                if seq % 16 == 0 {
                    tx.flush();
                }
            }
            tx.stats()
        });
        let (mut last, mut popped) = (None, 0);
        while !rx.is_closed() {
            match rx.pop() {
                Some(p) => {
                    assert_eq!(p.payload.as_ref(), p.seq.to_be_bytes());
                    assert!(last < Some(p.seq));
                    last = Some(p.seq);
                    popped += 1;
                }
                None => std::thread::park(),
            }
        }
        let stats = producer.join().unwrap();
        assert_eq!(stats.passed + stats.dropped, 50_000);
        assert_eq!(stats.passed, popped);
    }
}
