//! What a scripted room system sees: H.264 over RTP, decoded.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use codec::{Decoder, Picture, PicturePool};
use rtp::lane::MediaPacket;
use rtp::packet::Packet;
use rtp::payload::h264::Depacketizer;
use types::VideoCodec;

use crate::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(50);

/// A socket for a picture, and the last picture that came to it.
pub struct Sight {
    port: u16,
    seen: Arc<Seen>,
    watching: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    picture: Mutex<Option<Picture>>,
    over: AtomicBool,
}

impl Sight {
    /// Watches from now on.
    ///
    /// # Panics
    /// When it gets no port.
    pub fn open() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_read_timeout(Some(LOOK)).expect("a timeout");
        let port = socket.local_addr().expect("its port").port();
        let seen = Arc::new(Seen::default());
        let by_thread = seen.clone();
        let watching = std::thread::spawn(move || watch(&socket, &by_thread));
        Self { port, seen, watching: Some(watching) }
    }

    /// To which port the picture has to be sent.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes the last picture into a file, in grey (PGM), once there is one.
    ///
    /// # Panics
    /// When none comes.
    pub fn picture(&self, file: &Path) {
        let bytes = wait::until("it sees a picture", PATIENCE, || {
            let picture = self.seen.picture.lock().unwrap_or_else(PoisonError::into_inner);
            picture.as_ref().map(grey)
        });
        fs::write(file, bytes).expect("its picture");
    }
}

impl Drop for Sight {
    fn drop(&mut self) {
        self.seen.over.store(true, Ordering::Relaxed);
        if let Some(watching) = self.watching.take() {
            let _ = watching.join();
        }
    }
}

fn grey(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = format!("P5 {width} {height} 255\n").into_bytes();
    bytes.extend((0..height).flat_map(|y| (0..width).map(move |x| picture.pixel(x, y).y)));
    bytes
}

fn watch(socket: &UdpSocket, seen: &Seen) {
    let mut decoder = Decoder::new(VideoCodec::H264, PicturePool::new(4)).expect("a decoder");
    let (mut frames, mut bytes, mut last) = (Depacketizer::new(), [0; 2048], 0u64);
    while !seen.over.load(Ordering::Relaxed) {
        let Ok((length, _)) = socket.recv_from(&mut bytes) else { continue };
        let Ok(packet) = Packet::parse(&bytes[..length]) else { continue };
        let wrapped = packet.header.seq < last as u16 && last as u16 - packet.header.seq > 0x8000;
        last = (last & !0xffff) + (u64::from(wrapped) << 16) + u64::from(packet.header.seq);
        let frame = frames.push(&MediaPacket {
            payload: packet.payload.into(),
            seq: last,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            arrival: Instant::now(),
            format: 0,
            audio_level: None,
            capture: None,
        });
        if let Some(frame) = frame
            && let Ok(Some(picture)) = decoder.decode(&frame.data)
        {
            *seen.picture.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
        }
    }
}
