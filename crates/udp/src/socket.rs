//! A socket, its receive buffers, and the policy for errors in sending.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};

use crate::batch::{Message, SendBatch};
use crate::sendmmsg::{self, MAX_MESSAGES};

/// Sends in a row that moved nothing, after which what waits is stale and dropped. The caller
/// polls for writability between them, so that a healthy socket never comes near.
const MAX_STALLED: u32 = 8;

/// What a socket is for: decides how much memory it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The traffic of many peers: batches of 32 with GRO (2 MiB of receive buffers in the
    /// process) and up to 4 MiB in the kernel each way.
    Many,
    /// One peer: batches of 16 datagrams of at most 2048 bytes without GRO (32 KiB in the
    /// process), longer ones are dropped unseen; 512 KiB in the kernel each way.
    One,
}

/// The largest datagram that a socket of [`Purpose::One`] receives, in bytes.
const ONE_PEER_DATAGRAM: usize = 2048;

impl Purpose {
    /// The buffer that is asked of the kernel each way, in bytes.
    #[must_use]
    pub fn kernel_bytes(self) -> usize {
        match self {
            Self::Many => 4 << 20,
            Self::One => 512 << 10,
        }
    }

    fn receive_batch(self) -> (usize, usize) {
        match self {
            // GRO hands out up to 64 KiB at once.
            Self::Many => (quinn_udp::BATCH_SIZE, 1 << 16),
            // A byte more than is taken: a datagram that fills it was cut off.
            Self::One => (quinn_udp::BATCH_SIZE.min(16), ONE_PEER_DATAGRAM + 1),
        }
    }
}

/// A received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it; canonical, never an IPv4-mapped IPv6 address.
    pub source: SocketAddr,
    /// Its payload.
    pub contents: &'a [u8],
}

/// What was received at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Datagrams that were handed over.
    pub datagrams: usize,
    /// More may wait. `false`: what comes from now on is news for a poller.
    pub more: bool,
}

/// What became of a batch, in datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Given to the kernel.
    pub sent: usize,
    /// Refused by the kernel for their destination or size, or given up after waiting too long.
    pub dropped: usize,
    /// The kernel's buffer is full: the rest waits in the batch; send again when writable.
    pub would_block: bool,
}

/// A non-blocking UDP socket.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    gso: bool,
    buffers: Vec<u8>,
    slot: usize,
    metas: Vec<RecvMeta>,
}

impl Socket {
    /// Binds a socket for [many](Purpose::Many) peers.
    ///
    /// # Errors
    /// The system's, such as an address in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_for(address, Purpose::Many)
    }

    /// Binds a socket for a purpose. An IPv6 wildcard takes IPv4 peers as well. `SO_REUSEADDR`
    /// stays off: a port that two sockets share would lose packets silently.
    ///
    /// # Errors
    /// The system's, such as an address in use.
    pub fn bind_for(address: SocketAddr, purpose: Purpose) -> io::Result<Self> {
        let io = UdpSocket::bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // The kernel caps these at its own limits (net.core.*mem_max) without an error.
        state.set_recv_buffer_size(UdpSockRef::from(&io), purpose.kernel_bytes())?;
        state.set_send_buffer_size(UdpSockRef::from(&io), purpose.kernel_bytes())?;
        if purpose == Purpose::One && state.gro_segments() > 1 {
            sendmmsg::disable_gro(io.as_fd())?;
        }
        let (count, slot) = purpose.receive_batch();
        Ok(Self {
            local: io.local_addr()?,
            gso: state.max_gso_segments() > 1,
            buffers: vec![0; count * slot],
            slot,
            metas: vec![RecvMeta::default(); count],
            io,
            state,
        })
    }

    /// The address that it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether runs of equal datagrams leave as one message (GSO). Off where the kernel or the
    /// network card cannot.
    #[must_use]
    pub fn gso(&self) -> bool {
        self.gso
    }

    /// Sends every datagram as a message of its own from now on.
    pub fn disable_gso(&mut self) {
        self.gso = false;
    }

    /// Receives one batch and hands each datagram to `f`, in the order of arrival. Datagrams that
    /// are too long for the [`Purpose`] are passed over.
    ///
    /// # Errors
    /// The system's; the socket stays usable.
    pub fn recv(&mut self, mut f: impl FnMut(Datagram<'_>)) -> io::Result<Received> {
        let mut slices: [IoSliceMut<'_>; quinn_udp::BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let count = self.metas.len();
        for (slice, chunk) in slices.iter_mut().zip(self.buffers.chunks_exact_mut(self.slot)) {
            *slice = IoSliceMut::new(chunk);
        }
        let (slices, _) = slices.split_at_mut(count.min(quinn_udp::BATCH_SIZE));
        let none = |more| Ok(Received { datagrams: 0, more });
        let received = match self.state.recv(UdpSockRef::from(&self.io), slices, &mut self.metas) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return none(false),
            // A port that a datagram of ours did not reach; not about receiving.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return none(true),
            Err(error) => return Err(error),
        };
        // The system stops before a batch is full only where nothing waits.
        let more = received == slices.len();
        let longest = self.slot - 1;
        let mut datagrams = 0;
        for (slice, meta) in slices.iter().zip(&self.metas).take(received) {
            let source = canonical(meta.addr);
            if meta.len > longest {
                continue;
            }
            let Some(payload) = slice.get(..meta.len) else { continue };
            if payload.is_empty() {
                f(Datagram { source, contents: payload });
                datagrams += 1;
            }
            for contents in payload.chunks(meta.stride.max(1)) {
                f(Datagram { source, contents });
                datagrams += 1;
            }
        }
        Ok(Received { datagrams, more })
    }

    /// Sends what waits in `batch`, in order for each destination.
    ///
    /// A datagram that the kernel refuses for its own sake (unreachable, forbidden, too long for
    /// the path) is dropped alone. When the kernel's buffer is full the rest stays in the batch;
    /// after eight such sends in a row without any progress it is dropped.
    ///
    /// # Errors
    /// Only when the socket itself is unusable; the batch keeps what was not sent.
    pub fn send(&mut self, batch: &mut SendBatch) -> io::Result<SendReport> {
        let mut report = SendReport::default();
        while !batch.is_empty() {
            match self.send_some(batch) {
                Ok(datagrams) => {
                    report.sent += datagrams;
                    batch.advance(datagrams);
                }
                Err(error) => match Verdict::of(&error) {
                    Verdict::Again => {}
                    Verdict::Later => {
                        if batch.stall() >= MAX_STALLED {
                            report.dropped += batch.len();
                            batch.clear();
                        }
                        report.would_block = true;
                        return Ok(report);
                    }
                    Verdict::Skip => report.dropped += self.skip(batch, &error),
                    Verdict::Broken => return Err(error),
                },
            }
        }
        Ok(report)
    }

    /// One system call; gives back how many datagrams it took.
    fn send_some(&self, batch: &SendBatch) -> io::Result<usize> {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut messages =
            [Message { destination: nobody, payload: &[], segment_size: None, datagrams: 0 };
                MAX_MESSAGES];
        let (mut count, mut skip) = (0, 0);
        for slot in &mut messages {
            let Some(message) = batch.message(skip, self.gso) else { break };
            skip += message.datagrams;
            count += 1;
            *slot = Message { destination: self.routable(message.destination), ..message };
        }
        let (filled, _) = messages.split_at(count);
        let sent = sendmmsg::send(self.io.as_fd(), filled)?;
        Ok(filled.iter().take(sent).map(|message| message.datagrams).sum())
    }

    /// Gives up the first message, or, where it was a merged one, has its datagrams judged one
    /// by one: a card may be unable to cut (`EIO`), or the segments too long for the path.
    fn skip(&mut self, batch: &mut SendBatch, error: &io::Error) -> usize {
        let Some(message) = batch.message(0, self.gso) else { return 0 };
        let datagrams = message.datagrams;
        if message.segment_size.is_some() {
            if error.raw_os_error() == Some(libc::EIO) {
                self.gso = false;
            }
            batch.unmerge(datagrams);
            return 0;
        }
        batch.advance(datagrams);
        datagrams
    }

    /// The address in the socket's own family: a dual-stack socket sends to mapped addresses.
    fn routable(&self, destination: SocketAddr) -> SocketAddr {
        match destination {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            other => other,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

/// What an error in sending is about.
enum Verdict {
    Again,
    Later,
    Skip,
    Broken,
}

impl Verdict {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINTR) => Self::Again,
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Self::Later,
            Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT) | None => Self::Broken,
            Some(_) => Self::Skip,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match (address, address.ip().to_canonical()) {
        (SocketAddr::V6(_), ip @ IpAddr::V4(_)) => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}
