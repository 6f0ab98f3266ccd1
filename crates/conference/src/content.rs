//! The second picture of a room system: a leg with a picture alone, which shows shared screens both
//! ways. Floor control says when; it is the adapter's.

use sfu::driver::{FloorSockets, LegSockets};
use sfu::transport::plain::LegMedia;
use sfu::{PeerEvent, PeerEvents};
use tokio::sync::{mpsc, watch};
use types::{PeerId, TrackSid};

use crate::bridge::{LegFormat, Sharing};
use crate::conference::{Conference, ContentJoin};
use crate::leg::{Link, RawEvent};

/// What was agreed on for the second picture; nothing, where there is none.
#[derive(Clone, Debug, Default)]
pub struct LegContent {
    /// Its media.
    pub media: LegMedia,
    /// What the room system takes and sends.
    pub format: LegFormat,
    /// We may send it something now: its own floor control server is not to be asked before.
    pub open: bool,
}

/// Ports for the second picture and its floor.
pub(crate) struct ContentSeat {
    pub(crate) peer: PeerId,
    pub(crate) sockets: LegSockets,
    pub(crate) floor: Option<FloorSockets>,
}

/// The second picture of a room system with media.
pub(crate) struct Content {
    pub(crate) peer: PeerId,
    /// As it was agreed on.
    format: LegFormat,
    /// We may send it something.
    open: bool,
    /// Its track in the meeting, while it is shared.
    pub(crate) published: Option<TrackSid>,
    sharing: Option<watch::Receiver<Sharing>>,
}

impl Content {
    pub(crate) fn new(peer: PeerId, format: LegFormat, open: bool) -> Self {
        Self { peer, format, open, published: None, sharing: None }
    }

    /// What it takes and sends now.
    pub(crate) fn format(&self) -> LegFormat {
        let video = self.format.video.filter(|_| self.open);
        LegFormat { video, ..self.format }
    }

    /// It was negotiated anew.
    pub(crate) fn agree(&mut self, format: LegFormat, open: bool) {
        (self.format, self.open) = (format, open);
    }

    /// Whether we may send it something. Whether that is news.
    pub(crate) fn open(&mut self, open: bool) -> bool {
        std::mem::replace(&mut self.open, open) != open
    }

    /// It comes into a meeting.
    pub(crate) fn join(&mut self, conference: &Conference) -> ContentJoin {
        let (sharing, hears) = watch::channel(Sharing::default());
        (self.published, self.sharing) = (None, Some(hears));
        let raw = [conference.new_track_ids().0, conference.new_track_ids().0];
        ContentJoin { peer: self.peer, raw, format: self.format(), sharing }
    }

    /// It is in no meeting any more.
    pub(crate) fn move_out(&mut self) {
        (self.published, self.sharing) = (None, None);
    }

    /// Who shows a screen now.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing.as_ref().map(|it| *it.borrow()).unwrap_or_default()
    }

    /// Who shows a screen, when that has changed.
    pub(crate) async fn changed(&mut self) -> Sharing {
        let Some(sharing) = &mut self.sharing else { return std::future::pending().await };
        if sharing.changed().await.is_err() {
            // The meeting has let go of it.
            self.sharing = None;
            return Sharing::Nobody;
        }
        *sharing.borrow_and_update()
    }
}

/// Sorts events of the second picture: it is no reason for a call to go on or to end.
pub(crate) struct ContentSorter {
    pub(crate) link: Link,
    pub(crate) adapter: mpsc::WeakSender<RawEvent>,
}

impl PeerEvents for ContentSorter {
    fn event(&mut self, peer: PeerId, event: PeerEvent) {
        match event {
            PeerEvent::KeyFrameBySignalling => {
                if let Some(adapter) = self.adapter.upgrade()
                    && adapter.try_send(RawEvent::BySignalling).is_err()
                {
                    tracing::debug!(%peer, "a key frame is not asked for: the leg's owner is behind");
                }
            }
            // In no meeting there is nothing for it.
            event => drop(self.link.tell(peer, event)),
        }
    }
}
