//! Simulcast layers of a track, and which of them a receiver should get.

use std::time::{Duration, Instant};

/// At most this many simulcast layers a track (rids `q`, `h`, `f`).
pub const MAX_LAYERS: usize = 3;

/// A layer that has sent nothing for this long does not count as available. Longer than the
/// longest gap of a shared screen at its lowest rate (one frame a second), so that it never flaps.
const LIVE: Duration = Duration::from_secs(3);

/// Nor does one that has sent nothing for this long while another layer went on: its encoder has no
/// bits for it, as after a change of networks. All layers show the same frames, so that a screen that
/// stands still holds up all of them.
const LEFT_BEHIND: Duration = Duration::from_millis(700);

/// Receivers' requests for key frames of one source are merged to one a second, and repeated at
/// this interval until a key frame comes.
const KEY_FRAME_INTERVAL: Duration = Duration::from_secs(1);

/// The same where somebody's picture begins: nobody's joining is held up by who joined just before,
/// nor for long by a room system that missed a request (baresip forgets one that comes while it
/// encodes). It bounds what people who come and go can ask of an encoder.
const BEGINNERS_INTERVAL: Duration = Duration::from_millis(400);

/// Over how long the rate of a layer is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Why a key frame is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrameFor {
    /// A receiver's picture begins, or changes to another layer.
    Beginning,
    /// A receiver lost a picture that it had.
    Repair,
}

/// A layer as its publisher announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// 0 the smallest, at most `MAX_LAYERS - 1`.
    pub index: u8,
    /// Picture width in pixels; 0 where it is not known.
    pub width: u32,
    /// Picture height in pixels; 0 where it is not known.
    pub height: u32,
}

/// What a receiver wants of a video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The smallest layer that covers this size in pixels.
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The layer of this index, or the nearest that there is.
    Layer(u8),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Layer(MAX_LAYERS as u8 - 1)
    }
}

/// One layer's state.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    spec: Option<LayerSpec>,
    last_packet: Option<Instant>,
    rate: Rate,
    key_frame: KeyFrameNeed,
}

/// Bits that came in the last whole window, and so far in the one that runs.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    since: Option<Instant>,
    bits: u64,
    last: u64,
}

impl Rate {
    fn add(&mut self, now: Instant, bits: u64) {
        let over = now.saturating_duration_since(*self.since.get_or_insert(now));
        if over >= RATE_WINDOW {
            let windows = over.as_secs_f64() / RATE_WINDOW.as_secs_f64();
            self.last = (self.bits as f64 / windows) as u64;
            (self.since, self.bits) = (Some(now), 0);
        }
        self.bits += bits;
    }
}

/// Whether a key frame of a layer is awaited, and when it was last asked for.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFrameNeed {
    wanted: Option<KeyFrameFor>,
    asked: Option<Instant>,
}

impl Layer {
    pub fn set_spec(&mut self, spec: LayerSpec) {
        self.spec = Some(spec);
    }

    /// A packet of it came, with a payload of so many bytes.
    pub fn received(&mut self, now: Instant, key_frame: bool, bytes: usize) {
        self.last_packet = Some(now);
        self.rate.add(now, bytes as u64 * 8);
        if key_frame {
            self.key_frame.wanted = None;
        }
    }

    pub fn want_key_frame(&mut self, why: KeyFrameFor) {
        if self.key_frame.wanted != Some(KeyFrameFor::Beginning) {
            self.key_frame.wanted = Some(why);
        }
    }

    /// Whether to ask now; counts as asked.
    pub fn take_key_frame_request(&mut self, now: Instant) -> bool {
        let KeyFrameNeed { wanted: Some(why), asked } = self.key_frame else { return false };
        let interval = match why {
            KeyFrameFor::Beginning => BEGINNERS_INTERVAL,
            KeyFrameFor::Repair => KEY_FRAME_INTERVAL,
        };
        let due = asked.is_none_or(|asked| asked + interval <= now);
        if due {
            self.key_frame.asked = Some(now);
        }
        due
    }

    fn is_live(&self, now: Instant) -> bool {
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < LIVE)
    }

    /// Bits a second of payload, now or a second ago, whichever is more; `None` while it sends
    /// nothing.
    pub fn rate(&self, now: Instant) -> Option<u64> {
        self.is_live(now).then_some(self.rate.last.max(self.rate.bits))
    }

    fn covers(&self, width: u32, height: u32) -> bool {
        // A tenth less is not seen, and spares twice the bits.
        self.spec.is_some_and(|spec| {
            (spec.width == 0 && spec.height == 0)
                || (spec.width.max(spec.height) * 11 / 10 >= width.max(height)
                    && spec.width.min(spec.height) * 11 / 10 >= width.min(height))
        })
    }
}

/// The layer to send to a receiver that wants `wanted`: the ideal one if it is live, else the best
/// live one below it, else the lowest live one; the ideal where none is live yet.
pub fn choose(layers: &[Layer; MAX_LAYERS], wanted: Wanted, now: Instant) -> u8 {
    let known = |index: usize| layers.get(index).is_some_and(|layer| layer.spec.is_some());
    let highest = (0..MAX_LAYERS).rev().find(|index| known(*index)).unwrap_or(0);
    let ideal = match wanted {
        Wanted::Layer(index) => highest.min(usize::from(index)),
        Wanted::Size { width, height } => {
            layers.iter().position(|layer| layer.covers(width, height)).unwrap_or(highest)
        }
    };
    let newest = layers.iter().filter_map(|layer| layer.last_packet).max();
    let goes_on = |layer: &Layer| {
        let behind = |(last, newest): (_, Instant)| newest.saturating_duration_since(last);
        layer.last_packet.zip(newest).is_some_and(|times| behind(times) < LEFT_BEHIND)
    };
    let live = |index: &usize| layers.get(*index).is_some_and(|it| it.is_live(now) && goes_on(it));
    let chosen = (0..=ideal).rev().find(live).or_else(|| (ideal..MAX_LAYERS).find(live));
    chosen.unwrap_or(ideal) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(now: Instant, live: [bool; 3]) -> [Layer; 3] {
        let mut layers: [Layer; 3] = Default::default();
        for (index, (layer, size)) in layers.iter_mut().zip([180, 360, 720]).enumerate() {
            let (width, height) = (size * 16 / 9, size);
            layer.set_spec(LayerSpec { index: index as u8, width, height });
            if live[index] {
                layer.received(now, true, 1000);
            }
        }
        layers
    }

    #[test]
    fn the_smallest_layer_that_covers_the_size_is_chosen() {
        let now = Instant::now();
        let all = layers(now, [true; 3]);
        let size = |width, height| Wanted::Size { width, height };
        assert_eq!(choose(&all, size(300, 170), now), 0);
        assert_eq!(choose(&all, size(640, 360), now), 1);
        assert_eq!(choose(&all, size(180, 320), now), 0, "a portrait tile counts by its long side");
        assert_eq!(choose(&all, size(1920, 1080), now), 2);
        assert_eq!(choose(&all, Wanted::Layer(1), now), 1);
    }

    #[test]
    fn a_layer_that_sends_nothing_is_replaced_by_the_best_below_it() {
        let now = Instant::now();
        assert_eq!(choose(&layers(now, [true, true, false]), Wanted::default(), now), 1);
        assert_eq!(choose(&layers(now, [false, false, true]), Wanted::Layer(0), now), 2);
        let later = now + LIVE;
        assert_eq!(choose(&layers(now, [true, true, true]), Wanted::Layer(1), later), 1);
    }

    #[test]
    fn a_layer_that_stops_while_another_goes_on_is_left_and_all_that_pause_are_not() {
        let start = Instant::now();
        let mut all = layers(start, [true; 3]);
        let at = |millis| start + Duration::from_millis(millis);
        for millis in (0..=1000).step_by(100) {
            all[0].received(at(millis), false, 1000);
            let expected = if millis < 700 { 2 } else { 0 };
            assert_eq!(choose(&all, Wanted::default(), at(millis)), expected, "after {millis} ms");
        }
        all[2].received(at(1000), true, 1000);
        assert_eq!(choose(&all, Wanted::default(), at(1000)), 2, "it is back");
        all[1].received(at(1000), true, 1000);
        assert_eq!(choose(&all, Wanted::default(), at(3900)), 2, "the screen stands still");
    }

    #[test]
    fn the_rate_of_a_layer_is_that_of_its_last_second() {
        let start = Instant::now();
        let mut layer = Layer::default();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(layer.rate(start), None);
        for millis in (0..3000).step_by(20) {
            layer.received(at(millis), false, 250);
        }
        assert_eq!(layer.rate(at(3000)), Some(100_000));
        // It doubles: that is known at once when a second's bits have come.
        for millis in (3000..3600).step_by(20) {
            layer.received(at(millis), false, 500);
        }
        assert_eq!(layer.rate(at(3600)), Some(120_000));
        assert_eq!(layer.rate(at(3600) + LIVE), None);
    }

    #[test]
    fn key_frame_requests_are_merged_and_repeated_until_one_comes() {
        for (why, other, interval) in [
            (KeyFrameFor::Repair, KeyFrameFor::Repair, 1000),
            (KeyFrameFor::Beginning, KeyFrameFor::Repair, 400),
            (KeyFrameFor::Repair, KeyFrameFor::Beginning, 400),
        ] {
            let start = Instant::now();
            let mut layer = Layer::default();
            let asks = |layer: &mut Layer, millis| {
                layer.take_key_frame_request(start + Duration::from_millis(millis))
            };
            assert!(!asks(&mut layer, 0));
            layer.want_key_frame(why);
            assert!(asks(&mut layer, 0));
            layer.want_key_frame(other);
            assert!(!asks(&mut layer, interval - 1), "{why:?} and {other:?} are merged");
            assert!(asks(&mut layer, interval), "{why:?} and {other:?} are repeated");
            layer.received(start + Duration::from_millis(interval), true, 1000);
            assert!(!asks(&mut layer, 3 * interval), "{why:?} and {other:?} were answered");
        }
    }
}
