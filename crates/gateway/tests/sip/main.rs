//! The SIP endpoint against real peers (sipp, sipsak), scripted sockets, and itself.

// Helpers of tests may fail like tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod again;
mod bridge;
mod camera;
mod content;
mod dialing;
mod enrolment;
mod flood;
mod glare;
mod handed_on;
mod hostile;
mod house;
mod kept;
mod keyed;
mod limits;
mod lobby;
mod names;
mod nat;
mod onward;
mod peers;
mod raw;
mod reception;
mod remote;
mod roster;
mod scripted;
mod secured;
mod torture;
mod trunks;
