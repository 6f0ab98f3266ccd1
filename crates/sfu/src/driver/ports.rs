//! UDP ports of plain legs: pairs from a range, for RTP on the even port and RTCP on the next one
//! (RFC 3550 section 11).

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use udp::{Purpose, Socket};

/// The ports of a leg: four, or two where it has a picture alone. Dropping them closes them.
#[derive(Debug)]
pub struct LegSockets {
    pub(super) audio: Option<Pair>,
    pub(super) video: Pair,
}

/// One port for floor control over UDP, and the same one for TCP.
#[derive(Debug)]
pub struct FloorSockets {
    /// For datagrams.
    pub udp: UdpSocket,
    /// For a connection.
    pub tcp: TcpListener,
    /// The port.
    pub port: u16,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) rtp: Socket,
    pub(super) rtcp: Socket,
}

impl LegSockets {
    /// Ports for sound: RTP, RTCP.
    pub fn audio_ports(&self) -> Option<(u16, u16)> {
        self.audio.as_ref().map(Pair::ports)
    }

    /// Ports for the picture: RTP, RTCP.
    pub fn video_ports(&self) -> (u16, u16) {
        self.video.ports()
    }
}

impl Pair {
    fn ports(&self) -> (u16, u16) {
        (self.rtp.local_addr().port(), self.rtcp.local_addr().port())
    }
}

/// The range that plain legs take their ports from. The system knows which are taken: nothing is
/// kept here that could leak.
#[derive(Debug)]
pub struct PortRange {
    ip: IpAddr,
    first: u16,
    pairs: u32,
    /// Goes round, so that a port that was just closed is not the next to be taken: late packets of
    /// the call before would come to it.
    next: AtomicU32,
}

/// All ports of the range are taken, or the system gives none.
#[derive(Debug, thiserror::Error)]
#[error("no free pair of UDP ports for media: {0}")]
pub struct NoPorts(#[source] io::Error);

impl PortRange {
    /// The ports `min` to `max` of `ip`.
    pub fn new(ip: IpAddr, min: u16, max: u16) -> Self {
        let first = min.saturating_add(min % 2);
        let pairs = (u32::from(max) + 1).saturating_sub(u32::from(first)) / 2;
        Self { ip, first, pairs, next: AtomicU32::new(0) }
    }

    /// Binds the ports of a leg.
    ///
    /// # Errors
    /// [`NoPorts`].
    pub fn bind_leg(&self) -> Result<LegSockets, NoPorts> {
        Ok(LegSockets { audio: Some(self.bind_pair()?), video: self.bind_pair()? })
    }

    /// Binds the ports of a leg that has a picture alone.
    ///
    /// # Errors
    /// [`NoPorts`].
    pub fn bind_picture(&self) -> Result<LegSockets, NoPorts> {
        Ok(LegSockets { audio: None, video: self.bind_pair()? })
    }

    /// Binds a port for floor control.
    ///
    /// # Errors
    /// [`NoPorts`].
    pub fn bind_floor(&self) -> Result<FloorSockets, NoPorts> {
        self.bind(|port| {
            let at = SocketAddr::new(self.ip, port);
            let (udp, tcp) = (UdpSocket::bind(at)?, TcpListener::bind(at)?);
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok(FloorSockets { udp, tcp, port })
        })
    }

    /// Binds one port, for what is no media; it does not block.
    ///
    /// # Errors
    /// [`NoPorts`].
    pub fn bind_one(&self) -> Result<UdpSocket, NoPorts> {
        self.bind(|port| {
            let socket = UdpSocket::bind(SocketAddr::new(self.ip, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    fn bind_pair(&self) -> Result<Pair, NoPorts> {
        self.bind(|port| self.bind_at(port))
    }

    fn bind<T>(&self, at: impl Fn(u16) -> io::Result<T>) -> Result<T, NoPorts> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..self.pairs {
            let pair = self.next.fetch_add(1, Ordering::Relaxed) % self.pairs;
            let port = u32::from(self.first) + 2 * pair;
            match at(port as u16) {
                Ok(bound) => return Ok(bound),
                Err(error) => last = error,
            }
        }
        Err(NoPorts(last))
    }

    fn bind_at(&self, port: u16) -> io::Result<Pair> {
        let bind = |port| Socket::bind_for(SocketAddr::new(self.ip, port), Purpose::One);
        Ok(Pair { rtp: bind(port)?, rtcp: bind(port.saturating_add(1))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_even_go_round_and_come_back_when_dropped() {
        let range = PortRange::new(IpAddr::from([127, 0, 0, 1]), 23_001, 23_009);
        let first = range.bind_leg().unwrap();
        assert_eq!(
            (first.audio_ports(), first.video_ports()),
            (Some((23_002, 23_003)), (23_004, 23_005))
        );
        let second = range.bind_leg().unwrap();
        assert_eq!(second.audio_ports(), Some((23_006, 23_007)));
        assert!(range.bind_leg().is_err());
        drop(first);
        assert_eq!(range.bind_leg().unwrap().video_ports().0 % 2, 0);
        assert_eq!(range.bind_picture().unwrap().audio_ports(), None);
        let floor = range.bind_floor().unwrap();
        let ports = [floor.udp.local_addr().unwrap(), floor.tcp.local_addr().unwrap()];
        assert_eq!(ports.map(|it| it.port()), [floor.port; 2]);
    }
}
