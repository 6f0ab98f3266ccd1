//! The network: what becomes of datagrams between participants and the server.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::random::Chance;

/// How much later than others a packet comes that is overtaken.
const OVERTAKEN_BY: Duration = Duration::from_millis(25);

/// How a link does, in each of its directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// From end to end, one way.
    pub delay: Duration,
    /// Up to so much is added to it, by chance; the order stays.
    pub jitter: Duration,
    /// The share of packets that are lost, each by itself.
    pub loss: f64,
    /// The share of packets that come twice.
    pub twice: f64,
    /// The share of packets that are overtaken by those after them.
    pub overtaken: f64,
    /// Everything is lost for so long, once in every so long.
    pub bursts: Option<(Duration, Duration)>,
}

impl Weather {
    /// Ten milliseconds one way, nothing lost.
    pub const FAIR: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0.0,
        twice: 0.0,
        overtaken: 0.0,
        bursts: None,
    };

    /// With this delay one way, in milliseconds.
    #[must_use]
    pub const fn delayed(self, ms: u64) -> Self {
        Self { delay: Duration::from_millis(ms), ..self }
    }

    /// With up to so many milliseconds of jitter.
    #[must_use]
    pub const fn jittery(self, ms: u64) -> Self {
        Self { jitter: Duration::from_millis(ms), ..self }
    }

    /// With this share of packets lost, each by itself.
    #[must_use]
    pub const fn losing(self, share: f64) -> Self {
        Self { loss: share, ..self }
    }

    /// With this share of packets doubled.
    #[must_use]
    pub const fn doubling(self, share: f64) -> Self {
        Self { twice: share, ..self }
    }

    /// With this share of packets out of order.
    #[must_use]
    pub const fn reordering(self, share: f64) -> Self {
        Self { overtaken: share, ..self }
    }

    /// With everything lost for `length`, once in `every`.
    #[must_use]
    pub const fn bursting(self, length: Duration, every: Duration) -> Self {
        Self { bursts: Some((length, every)), ..self }
    }
}

/// A datagram that came through.
pub struct Parcel {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub contents: Vec<u8>,
}

struct Direction {
    weather: Weather,
    chance: [u64; 2],
    /// Of each kind, the last millisecond in which one was carried, and how many were in it.
    carried: HashMap<Kind, (u64, u64)>,
    /// The streams, in the order of their coming: their own names are random.
    streams: Vec<u32>,
    latest: Instant,
    cut_until: Instant,
}

/// What tells packets apart without their keys (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Handshake(u8),
    Rtcp,
    Rtp(usize),
}

impl Direction {
    fn kind(&mut self, contents: &[u8]) -> Kind {
        match contents {
            [128..=191, 192..=223, ..] => Kind::Rtcp,
            [128..=191, _, _, _, _, _, _, _, a, b, c, d, ..] => {
                let ssrc = u32::from_be_bytes([*a, *b, *c, *d]);
                let place = self.streams.iter().position(|it| *it == ssrc);
                Kind::Rtp(place.unwrap_or_else(|| {
                    self.streams.push(ssrc);
                    self.streams.len() - 1
                }))
            }
            [first, ..] => Kind::Handshake(first / 20),
            [] => Kind::Handshake(0),
        }
    }

    /// Chance for one packet. It follows from the moment, the stream, and how many of its kind go
    /// at that moment: not from all that went before, which is not alike in two runs, for keys and
    /// names are random.
    fn chance(&mut self, contents: &[u8], since: Duration) -> Chance {
        let kind = self.kind(contents);
        let moment = since.as_millis() as u64;
        let (last, count) = self.carried.entry(kind).or_default();
        *count = if *last == moment { *count + 1 } else { 0 };
        *last = moment;
        let kind = match kind {
            Kind::Handshake(first) => u64::from(first),
            Kind::Rtcp => 0x100,
            Kind::Rtp(place) => 0x200 + place as u64,
        };
        let [seed, direction] = self.chance;
        Chance::of(&[seed, direction, kind, moment, *count])
    }

    /// When copies of a packet arrive; none if it is lost.
    fn fate(&mut self, contents: &[u8], start: Instant, now: Instant) -> Vec<Instant> {
        let since = now.saturating_duration_since(start);
        let mut chance = self.chance(contents, since);
        let [seed, direction] = self.chance;
        let Weather { delay, jitter, loss, twice, overtaken, bursts } = self.weather;
        let lost = chance.hits(loss);
        let burst = bursts.is_some_and(|(length, every)| {
            let round = (since.as_micros() / every.as_micros().max(1)) as u64;
            let spare = every.saturating_sub(length);
            let begin = spare.mul_f64(Chance::of(&[seed, direction, round]).share());
            let into = since.saturating_sub(every * round as u32);
            (begin..begin + length).contains(&into)
        });
        if lost || burst || now < self.cut_until {
            return Vec::new();
        }
        let late = now + delay + jitter.mul_f64(chance.share());
        let doubled = chance.hits(twice);
        if chance.hits(overtaken) {
            return vec![late + OVERTAKEN_BY];
        }
        self.latest = self.latest.max(late);
        vec![self.latest; 1 + usize::from(doubled)]
    }
}

/// All links, and what is on the way. By an address: its direction to the server, and from it.
pub struct Network {
    seed: u64,
    start: Instant,
    links: BTreeMap<IpAddr, [Direction; 2]>,
    on_the_way: BinaryHeap<Reverse<(Instant, u64)>>,
    parcels: HashMap<u64, Parcel>,
    sent: u64,
}

impl Network {
    pub fn new(seed: u64, start: Instant) -> Self {
        Self {
            seed,
            start,
            links: BTreeMap::new(),
            on_the_way: BinaryHeap::new(),
            parcels: HashMap::new(),
            sent: 0,
        }
    }

    /// A link for a participant at `host`.
    pub fn connect(&mut self, host: IpAddr) {
        let number = self.links.len() as u64 * 2;
        let direction = |number| Direction {
            weather: Weather::FAIR,
            chance: [self.seed, number],
            carried: HashMap::new(),
            streams: Vec::new(),
            latest: self.start,
            cut_until: self.start,
        };
        self.links.insert(host, [direction(number), direction(number + 1)]);
    }

    fn link(&mut self, host: IpAddr) -> &mut [Direction; 2] {
        self.links.get_mut(&host).expect("a participant's link")
    }

    /// How the link of `host` does from now on.
    pub fn change(&mut self, host: IpAddr, weather: Weather) {
        self.link(host).iter_mut().for_each(|it| it.weather = weather);
    }

    /// Everything to and from `host` is lost until then.
    pub fn cut(&mut self, host: IpAddr, until: Instant) {
        self.link(host).iter_mut().for_each(|it| it.cut_until = until);
    }

    /// How long signalling takes one way: it is not lost, but late.
    pub fn delay(&mut self, host: IpAddr) -> Duration {
        self.link(host)[0].weather.delay
    }

    pub fn send(&mut self, parcel: Parcel, now: Instant) {
        let start = self.start;
        let way = if let Some([up, _]) = self.links.get_mut(&parcel.from.ip()) {
            up
        } else if let Some([_, down]) = self.links.get_mut(&parcel.to.ip()) {
            down
        } else {
            return;
        };
        for at in way.fate(&parcel.contents, start, now) {
            let Parcel { from, to, contents } = &parcel;
            self.sent += 1;
            self.on_the_way.push(Reverse((at, self.sent)));
            let copy = Parcel { from: *from, to: *to, contents: contents.clone() };
            self.parcels.insert(self.sent, copy);
        }
    }

    /// When something arrives next.
    pub fn due(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|it| it.0.0)
    }

    /// What has arrived.
    pub fn arrived(&mut self, now: Instant) -> Option<Parcel> {
        if self.due()? > now {
            return None;
        }
        let Reverse((_, number)) = self.on_the_way.pop()?;
        self.parcels.remove(&number)
    }
}
