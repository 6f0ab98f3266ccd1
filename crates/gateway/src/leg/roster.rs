//! Conference information (RFC 4575): who else is in the meeting, for room systems that subscribe to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use room::ParticipantView;
use tokio_util::sync::CancellationToken;
use types::{MediaKind, MeetingId};

use crate::gateway::Shared;
use crate::sip::{Subscription, Wanted};

/// Changes are told together, at most once in this time.
const PACE: Duration = Duration::from_secs(1);
/// Participants of whom is told; of the others the number alone.
const MAX_USERS: usize = 100;
/// Who we are in documents: addresses in them have this host, since nobody is called by them.
const HOST: &str = "plenum.invalid";

/// Tells a subscription of its meeting until either is over.
pub(super) async fn tell(
    shared: Arc<Shared>,
    meeting: MeetingId,
    mut subscription: Subscription,
    out: CancellationToken,
) {
    let mut told = Told::default();
    let mut whole = true;
    loop {
        let running = shared.conference.find(&meeting);
        let snapshot = match &running {
            Some(meeting) => meeting.snapshot().await,
            None => None,
        };
        let Some(snapshot) = snapshot else { return subscription.end().await };
        let name = shared.conference.directory().find(&meeting).map(|it| it.name);
        let name = name.unwrap_or_else(|| meeting.to_string());
        if let Some(document) = told.document(&name, &snapshot.participants, whole)
            && !subscription.tell(document).await
        {
            return tracing::debug!("conference information is not taken");
        }
        let pace = tokio::time::sleep(PACE);
        tokio::select! {
            wanted = subscription.next() => match wanted {
                Wanted::Whole => whole = true,
                Wanted::Over => return subscription.end().await,
            },
            () = out.cancelled() => return subscription.end().await,
            () = pace => whole = false,
        }
    }
}

/// What was told so far: of each participant, by its id, which version.
#[derive(Default)]
struct Told {
    version: u32,
    users: BTreeMap<String, u32>,
}

impl Told {
    /// The next document: everything, or what has changed, if anything has.
    fn document(&mut self, name: &str, all: &[ParticipantView], whole: bool) -> Option<String> {
        let now: BTreeMap<String, u32> =
            all.iter().take(MAX_USERS).map(|it| (it.sid.to_string(), it.version)).collect();
        if !whole && now == self.users {
            return None;
        }
        let before = std::mem::replace(&mut self.users, now);
        let state = if whole { "full" } else { "partial" };
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<conference-info \
             xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:meeting@{HOST}\" \
             state=\"{state}\" version=\"{version}\">\r\n<conference-description><display-text>{name}\
             </display-text></conference-description>\r\n<conference-state><user-count>{count}\
             </user-count><active>true</active></conference-state>\r\n<users state=\"{state}\">\r\n",
            version = self.version,
            name = escaped(name),
            count = all.len(),
        );
        self.version = self.version.wrapping_add(1);
        for user in all.iter().take(MAX_USERS) {
            if whole || before.get(user.sid.as_str()) != Some(&user.version) {
                write_user(&mut xml, user);
            }
        }
        if !whole {
            for gone in before.keys().filter(|it| !self.users.contains_key(*it)) {
                let _ = write!(xml, "<user entity=\"sip:{gone}@{HOST}\" state=\"deleted\"/>\r\n");
            }
        }
        xml.push_str("</users>\r\n</conference-info>\r\n");
        Some(xml)
    }
}

fn write_user(xml: &mut String, user: &ParticipantView) {
    let (sid, name) = (&user.sid, escaped(&user.name));
    // Writing to a text does not fail.
    let _ = write!(
        xml,
        "<user entity=\"sip:{sid}@{HOST}\" state=\"full\"><display-text>{name}</display-text>\
         <endpoint entity=\"sip:{sid}@{HOST}\" state=\"full\"><status>connected</status>"
    );
    for (id, track) in user.tracks.iter().enumerate() {
        let kind = match track.kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        let status = if track.muted { "recvonly" } else { "sendrecv" };
        let _ =
            write!(xml, "<media id=\"{id}\"><type>{kind}</type><status>{status}</status></media>");
    }
    xml.push_str("</endpoint></user>\r\n");
}

/// A text as it may stand in a document.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_people_do_not_break_documents() {
        assert_eq!(escaped("Зал <\"1\"> & \u{1}2"), "Зал &lt;&quot;1&quot;&gt; &amp;  2");
    }
}
