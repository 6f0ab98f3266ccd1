//! Data channels: whole messages, bounded queues, back-pressure.

use std::collections::VecDeque;
use std::sync::Arc;

use str0m::channel::{ChannelData, ChannelId};

use super::{Session, Side};
use crate::command::{CloseReason, DataChannel, PeerEvent};

/// What may wait for a client that reads slowly, in bytes a channel. LiveKit's messages are cut to
/// 15 kB; a file of some megabytes must not fail because a phone stutters.
const MAX_QUEUED: usize = 8 << 20;
/// str0m tells when less than this waits in its own buffer.
const LOW_WATER: usize = 64 << 10;

#[derive(Debug, Default)]
pub struct Channels {
    inward: Vec<(ChannelId, DataChannel)>,
    outward: Vec<Outward>,
}

#[derive(Debug)]
struct Outward {
    id: ChannelId,
    channel: DataChannel,
    queue: VecDeque<Arc<[u8]>>,
    queued: usize,
}

impl Session {
    /// Sends a message. What the client cannot take now waits; a lossy channel drops instead, and
    /// a reliable one that is too far behind ends the peer.
    pub fn send_data(&mut self, channel: DataChannel, message: Arc<[u8]>) {
        let Some(outward) = self.channels.outward.iter_mut().find(|it| it.channel == channel)
        else {
            return;
        };
        if outward.queued + message.len() > MAX_QUEUED
            || (channel != DataChannel::Reliable && outward.queued > LOW_WATER)
        {
            if channel == DataChannel::Reliable {
                self.events.push(PeerEvent::Closed(CloseReason::TooSlow));
            }
            return;
        }
        outward.queued += message.len();
        outward.queue.push_back(message);
        self.flush_data();
    }

    pub(super) fn flush_data(&mut self) {
        let rtc = self.subscriber.as_mut().unwrap_or(&mut self.publisher);
        for outward in &mut self.channels.outward {
            let Some(mut channel) = rtc.channel(outward.id) else { continue };
            while let Some(message) = outward.queue.front() {
                match channel.write(true, message) {
                    Ok(true) => {
                        outward.queued = outward.queued.saturating_sub(message.len());
                        outward.queue.pop_front();
                    }
                    Ok(false) => break,
                    Err(error) => {
                        tracing::debug!(%error, "data channel");
                        break;
                    }
                }
            }
        }
    }

    pub(super) fn handle_channel_open(&mut self, side: Side, id: ChannelId, label: &str) {
        let Some(channel) = DataChannel::from_label(label) else { return };
        if side == Side::Publisher {
            self.channels.inward.retain(|it| it.1 != channel);
            self.channels.inward.push((id, channel));
        }
        if side == self.figures_side() {
            self.channels.outward.retain(|it| it.channel != channel);
            self.channels.outward.push(Outward { id, channel, queue: VecDeque::new(), queued: 0 });
            if let Some(mut opened) = self.outward().channel(id) {
                opened.set_buffered_amount_low_threshold(LOW_WATER);
            }
        }
    }

    pub(super) fn handle_channel_data(&mut self, data: ChannelData) {
        let known = self.channels.inward.iter().find(|it| it.0 == data.id);
        if let Some((_, channel)) = known {
            self.events.push(PeerEvent::Data { channel: *channel, message: data.data });
        }
    }
}
