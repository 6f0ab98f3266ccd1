//! Room systems, other servers and telephone exchanges, and where calls go.

mod contacts;
mod devices;
mod dial_rules;
pub mod presence;
pub mod trace;
pub mod trunk_states;
mod trunks;
