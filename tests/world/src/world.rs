//! The clock, the server, and who is around it.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use conference::access::Directory;
use conference::{Clock, ClockHand, Conference, Event, Member, News, Subscription};
use mcu::{BridgeStats, Mcu};
use room::{Act, Actor, Command};
use sfu::driver::{InlineShard, PortRange, inline};
use sfu::transport::plain::LegPort;
use sfu::transport::webrtc::{Transport, init_crypto};
use tokio::runtime::{Builder, Runtime};
use types::{MeetingId, PeerId, TrackId, TrackSid};

use crate::browser::Browser;
use crate::network::{Network, Parcel};
use crate::room::Room;

/// Where the server is.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SHARD_PORT: u16 = 7882;
/// Time never moves by less than this, nor by more than that at once.
const LEAST_STEP: Duration = Duration::from_micros(250);
const LONGEST_STEP: Duration = Duration::from_millis(5);
/// Rounds of the server's parts in one moment, before they count as running in circles.
const MAX_ROUNDS: usize = 100;

type Errand = Box<dyn FnOnce(&mut World)>;

/// Time and the network: what everybody is in.
#[derive(Clone)]
pub(crate) struct Ether(Rc<EtherInner>);

struct EtherInner {
    start: Instant,
    wall: SystemTime,
    now: Cell<Instant>,
    network: RefCell<Network>,
}

impl Ether {
    pub(crate) fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Since the world began.
    pub(crate) fn time(&self) -> Duration {
        self.now() - self.0.start
    }

    /// The moment of a time since the world began.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.0.start + time
    }

    /// A moment for a sender's wall clock, in seconds since 1970. It is of use in comparison with
    /// others of the same sender's alone.
    pub(crate) fn wall(&self, seconds: f64) -> Option<Instant> {
        let ours = self.0.wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
        // Far from the beginning of what an Instant can be.
        let after = Duration::try_from_secs_f64(seconds - ours + 3600.0).ok()?;
        Some(self.0.start + after)
    }

    pub(crate) fn network(&self) -> RefMut<'_, Network> {
        self.0.network.borrow_mut()
    }
}

/// A server with one meeting, everybody around it, and their time.
pub struct World {
    ether: Ether,
    hand: ClockHand,
    runtime: Runtime,
    conference: Conference,
    events: Subscription,
    shard: InlineShard,
    mcu: Arc<Mcu>,
    errands: BTreeMap<(Instant, u64), Errand>,
    errand: u64,
    browsers: Vec<Browser>,
    rooms: Vec<Room>,
    legs: HashMap<u16, (PeerId, LegPort)>,
    ports: HashMap<(PeerId, LegPort), u16>,
}

impl World {
    /// An empty meeting on a server without load. The same seed gives the same fates of packets.
    pub fn new(seed: u64) -> Self {
        init_crypto();
        // Later than anything that reads this machine's clock once and then counts from there, as
        // str0m does for its reports.
        let start = Instant::now() + Duration::from_secs(3600);
        let (clock, hand) = Clock::by_hand(start);
        let (handle, shard) = inline(SocketAddr::from((SERVER, SHARD_PORT)), start);
        let mcu = Arc::new(Mcu::inline(start));
        let directory = Arc::new(Directory::new([], true));
        // Ports of this machine's that nobody sends to: they are numbers for the virtual network.
        let ports = PortRange::new(IpAddr::from([127, 44, 0, 1]), 21_000, 28_999);
        let conference = Conference::with_clock(clock, directory, vec![handle], mcu.clone(), ports);
        let events = conference.events();
        let network = RefCell::new(Network::new(seed, start));
        let (wall, now) = (SystemTime::now(), Cell::new(start));
        Self {
            ether: Ether(Rc::new(EtherInner { start, wall, now, network })),
            hand,
            runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
            conference,
            events,
            shard,
            mcu,
            errands: BTreeMap::new(),
            errand: 0,
            browsers: Vec::new(),
            rooms: Vec::new(),
            legs: HashMap::new(),
            ports: HashMap::new(),
        }
    }

    /// Somebody with a browser, who is not in the meeting yet.
    pub fn browser(&mut self, name: &str) -> Browser {
        let host = self.host();
        let browser = Browser::new(name, SocketAddr::new(host, 5000), self.ether.clone());
        self.browsers.push(browser.clone());
        browser
    }

    /// A room system that has not called yet.
    pub fn room(&mut self, name: &str) -> Room {
        let host = self.host();
        let room = Room::new(name, host, self.ether.clone());
        self.rooms.push(room.clone());
        room
    }

    fn host(&mut self) -> IpAddr {
        let number = self.browsers.len() + self.rooms.len() + 1;
        let host = IpAddr::from([10, 0, 1, number as u8]);
        self.ether.network().connect(host);
        host
    }

    /// The moment that it is now.
    pub fn now(&self) -> Instant {
        self.ether.now()
    }

    /// A host acts.
    pub fn acts(&self, act: Act) {
        let meeting = self.meeting();
        self.wait(async |conference| {
            let meeting = conference.find(&meeting).expect("a meeting at work");
            let command = Command::Steer { actor: Actor::Server, act };
            meeting.execute(command).await.expect("an act that can be done");
        });
    }

    /// What the `mcu` has done so far.
    pub fn mixing(&self) -> BridgeStats {
        self.mcu.stats()
    }

    /// How many different pictures are composed now.
    pub fn compositions(&self) -> usize {
        self.mcu.compositions()
    }

    /// What was told of the meeting since this was asked last. Panics if some of it was lost.
    pub fn events(&mut self) -> Vec<Arc<Event>> {
        let mut told = Vec::new();
        while let Some(news) = self.events.waiting() {
            match news {
                News::Event(event) => told.push(event),
                News::Missed(count) => panic!("{count} events were lost"),
            }
        }
        told
    }

    /// Does something with the meeting, as its host or the server API does. Panics if there is
    /// none, or a rule forbids it.
    pub fn does(&self, command: Command) {
        let id = self.meeting();
        self.wait(async |conference| {
            let meeting = conference.find(&id).expect("a running meeting");
            meeting.execute(command).await.expect("it is allowed");
        });
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now() + span;
        while self.now() < end {
            self.step(end);
        }
    }

    /// Lets time pass until something is so, at most for `span`; how long that took. Panics if it
    /// is not so by then.
    #[track_caller]
    pub fn until(&mut self, span: Duration, is_so: impl Fn() -> bool) -> Duration {
        let start = self.now();
        while !is_so() {
            let passed = self.now() - start;
            assert!(passed < span, "it is not so after {span:?}");
            self.pass(Duration::from_millis(20));
        }
        self.now() - start
    }

    fn step(&mut self, end: Instant) {
        let now = self.now();
        let browsers = self.browsers.iter().map(|it| it.page().due());
        let rooms = self.rooms.iter().map(|it| it.device().due());
        let due = browsers
            .chain(rooms)
            .chain(self.shard.timeout())
            .chain(self.ether.network().due())
            .chain(self.errands.first_key_value().map(|it| it.0.0))
            .fold(now + LONGEST_STEP, Instant::min);
        let now = due.max(now + LEAST_STEP).min(end);
        self.ether.0.now.set(now);
        self.hand.set(now);
        self.run_errands(now);
        self.deliver(now);
        for browser in &self.browsers {
            browser.page().run();
        }
        for room in &self.rooms {
            room.device().run();
        }
        self.run_server(now);
        self.collect(now);
    }

    fn run_errands(&mut self, now: Instant) {
        while let Some(entry) = self.errands.first_entry()
            && entry.key().0 <= now
        {
            entry.remove()(self);
        }
    }

    fn deliver(&mut self, now: Instant) {
        loop {
            let arrived = self.ether.network().arrived(now);
            let Some(Parcel { from, to, contents }) = arrived else { return };
            if to.ip() == IpAddr::from(SERVER) {
                if to.port() == SHARD_PORT {
                    self.shard.handle_datagram(from, &contents, now);
                } else if let Some((peer, port)) = self.legs.get(&to.port()) {
                    self.shard.handle_leg_datagram(*peer, *port, from, &contents, now);
                }
                continue;
            }
            for browser in self.browsers.iter().filter(|it| it.page().address == to) {
                browser.page().receive(from, &contents);
            }
            for room in self.rooms.iter().filter(|it| it.device().host() == to.ip()) {
                room.device().receive(to.port(), from, &contents);
            }
        }
    }

    /// Everything of the server that can go on without time passing.
    fn run_server(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            self.shard.run(now);
            self.mcu.advance(now);
            // Those that were woken run before who yields goes on.
            self.runtime.block_on(async {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            });
            if !self.shard.is_rung() {
                return;
            }
        }
        panic!("the server runs in circles");
    }

    /// Takes along what everybody sends.
    fn collect(&mut self, now: Instant) {
        let mut network = self.ether.network();
        let shard = SocketAddr::from((SERVER, SHARD_PORT));
        while let Some(it) = self.shard.poll_transmit() {
            if it.transport == Transport::Udp {
                let (to, contents) = (it.destination, it.contents);
                network.send(Parcel { from: shard, to, contents }, now);
            }
        }
        for it in self.shard.take_leg_transmits() {
            let Some(port) = self.ports.get(&(it.peer, it.port)) else { continue };
            let (from, to) = (SocketAddr::from((SERVER, *port)), it.destination);
            network.send(Parcel { from, to, contents: it.contents }, now);
        }
        for room in &self.rooms {
            for parcel in room.device().sent.drain(..) {
                network.send(parcel, now);
            }
        }
        for browser in &self.browsers {
            let mut page = browser.page();
            let from = page.address;
            for (to, contents) in page.sent.drain(..) {
                network.send(Parcel { from, to, contents }, now);
            }
        }
        drop(network);
        for browser in self.browsers.clone() {
            self.carry_signals(&browser);
        }
    }

    fn carry_signals(&mut self, browser: &Browser) {
        let mut page = browser.page();
        let delay = self.ether.network().delay(page.address.ip());
        let mut events = Vec::new();
        while let Some(event) = page.member.as_mut().and_then(Member::waiting_event) {
            events.push(event);
        }
        let offers = std::mem::take(&mut page.offers);
        let asks_anew = std::mem::take(&mut page.asks_anew);
        drop(page);
        for event in events {
            let browser = browser.clone();
            self.later(delay, move |_| browser.page().hear(event));
        }
        for (id, sdp) in offers {
            let browser = browser.clone();
            self.later(delay, move |_| {
                if let Some(member) = &browser.page().member {
                    member.offer(id, &sdp).expect("an offer that can be read");
                }
            });
        }
        if asks_anew {
            // A browser would offer what it offered before, to hear the number; str0m makes no
            // offer without a change, so its way there and back is but waited for.
            let browser = browser.clone();
            self.later(delay * 2, move |_| browser.page().add_sections(1, 1));
        }
    }

    /// Does something after a time.
    pub(crate) fn later(&mut self, delay: Duration, errand: impl FnOnce(&mut Self) + 'static) {
        self.errand += 1;
        self.errands.insert((self.now() + delay, self.errand), Box::new(errand));
    }

    /// Asks something of the conference, and waits for it while time stands still.
    pub(crate) fn wait<T>(&self, ask: impl AsyncFnOnce(Conference) -> T) -> T {
        self.runtime.block_on(ask(self.conference.clone()))
    }

    /// A task beside everything.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    pub(crate) fn meeting(&self) -> MeetingId {
        MeetingId::parse("story").expect("an id")
    }

    pub(crate) fn new_track(&self) -> (TrackId, TrackSid) {
        self.conference.new_track_ids()
    }

    /// The server's end of a leg.
    pub(crate) fn take_ports(&mut self, peer: PeerId, ports: [(LegPort, u16); 4]) {
        for (port, number) in ports {
            self.legs.insert(number, (peer, port));
            self.ports.insert((peer, port), number);
        }
    }

    /// Where the server takes what a leg sends.
    pub(crate) fn server_at(port: u16) -> SocketAddr {
        SocketAddr::from((SERVER, port))
    }
}
