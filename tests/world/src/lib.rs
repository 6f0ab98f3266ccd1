//! A world for tests: a conference at work, whole participants, and the network between them, in
//! virtual time and by one seed.
//!
//! What is tested is the product: `conference` with its actors, bridge and rules, a shard
//! ([`sfu::driver::inline`]) and the `mcu` ([`mcu::Mcu::inline`]). Browsers are str0m clients with
//! ICE, DTLS and SRTP of their own; room systems send RTP or SRTP. All of them make pictures of one
//! colour and hum one note ([`Mark`]), and look at what comes by its content.
//!
//! ```
//! use world::{BLUE, RED, Weather, World, seconds};
//!
//! let mut world = World::new(7);
//! let anna = world.browser("anna").shows(RED);
//! let boris = world.browser("boris").shows(BLUE).over(Weather::FAIR.losing(0.01));
//! anna.joins(&mut world);
//! boris.joins(&mut world);
//! world.until(seconds(3), || anna.sees(BLUE) && boris.hears(RED));
//! ```
//!
//! The same seed is the same story: what becomes of a packet follows from the seed, its direction,
//! its kind and how many of its kind went before, not from keys and names that are random.
#![warn(missing_docs)]

mod browser;
mod camera;
mod ear;
mod mark;
mod network;
mod random;
mod room;
mod screen;
mod voice;
mod world;

pub use browser::Browser;
pub use mark::{BLUE, GREEN, Mark, RED, YELLOW};
pub use network::Weather;
pub use room::Room;
pub use world::World;

/// So many seconds.
pub fn seconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

/// So many milliseconds.
pub fn ms(count: u64) -> std::time::Duration {
    std::time::Duration::from_millis(count)
}
