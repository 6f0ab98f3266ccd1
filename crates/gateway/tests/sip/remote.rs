//! Codes that are dialled in a meeting, by INFO: what each does, and who may.

use conference::MeetingSnapshot;
use conference::access::Pin;
use room::{Act, CONTENT_ATTRIBUTE, HAND_ATTRIBUTE, ParticipantView};
use types::{Identity, LegLayout};

use crate::bridge::SDP;
use crate::house::House;
use crate::raw::Peer;

const HOST_PIN: &str = "987654";

/// A meeting with a room system of the host's and one of a guest: who they are, by their places.
async fn with_host_and_guest() -> (House, [Peer; 2], [Identity; 2]) {
    let house = House::with(|it| it.host_pin = Some(HOST_PIN.parse::<Pin>().unwrap().into())).await;
    let mut host = house.calls("board**987654").await;
    host.call(SDP).await;
    let [first] = house.stand(1, 0).await.try_into().unwrap();
    let mut guest = house.calls("board").await;
    guest.call(SDP).await;
    let both = house.stand(2, 0).await;
    let second = both.into_iter().find(|it| *it != first).unwrap();
    (house, [host, guest], [first, second])
}

fn view<'a>(snapshot: &'a MeetingSnapshot, who: &Identity) -> Option<&'a ParticipantView> {
    snapshot.participants.iter().find(|it| it.identity == *who)
}

/// Waits until this one's roster entry is so.
async fn is(house: &House, who: &Identity, what: &str, so: impl Fn(&ParticipantView) -> bool) {
    house.until(what, |it| view(it, who).filter(|it| so(it)).map(|_| ())).await;
}

fn is_muted(view: &ParticipantView) -> bool {
    view.tracks.iter().any(|it| it.muted)
}

#[tokio::test]
async fn a_guest_steers_itself_and_nothing_else() {
    let (house, [_, mut guest], [_, me]) = with_host_and_guest().await;
    let mut cseq = 1;
    is(&house, &me, "heard", |it| it.tracks.len() == 1 && !is_muted(it)).await;
    for muted in [true, false] {
        guest.press("*6", &mut cseq).await;
        is(&house, &me, "its own mute", |it| is_muted(it) == muted).await;
    }
    for up in [true, false] {
        guest.press("*3", &mut cseq).await;
        is(&house, &me, "its hand", |it| it.attributes.contains_key(HAND_ATTRIBUTE) == up).await;
    }
    for layout in [LegLayout::Speaker, LegLayout::Grid] {
        guest.press("*8", &mut cseq).await;
        is(&house, &me, "its layout", |it| it.layout() == Some(layout)).await;
    }
    guest.press("*4", &mut cseq).await;
    is(&house, &me, "no screens", |it| it.attributes.contains_key(CONTENT_ATTRIBUTE)).await;

    // Refused are what is for hosts, and what is no code. The hand comes after them.
    for keys in ["*5", "*7", "##", "99", "*3"] {
        guest.press(keys, &mut cseq).await;
    }
    is(&house, &me, "its hand", |it| it.attributes.contains_key(HAND_ATTRIBUTE)).await;
    house
        .until("nothing else", |it| {
            let nobody_muted = it.participants.iter().all(|it| !is_muted(it));
            (nobody_muted && it.participants.len() == 2 && !it.lobby.live.locked).then_some(())
        })
        .await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_host_locks_mutes_guests_and_ends_the_meeting() {
    let (house, [mut host, mut guest], [me, other]) = with_host_and_guest().await;
    let mut cseq = 1;
    host.press("*7", &mut cseq).await;
    house.until("locked", |it| it.lobby.live.locked.then_some(())).await;
    let mut late = house.calls("board").await;
    late.call(SDP).await;
    house.stand(2, 1).await;
    host.press("*7", &mut cseq).await;
    house.stand(3, 0).await;
    late.hang_up(2).await;

    host.press("*5", &mut cseq).await;
    is(&house, &other, "the guest is muted", is_muted).await;
    is(&house, &me, "the host is not", |it| !is_muted(it)).await;
    let mut at_guest = 1;
    guest.press("*6", &mut at_guest).await;
    is(&house, &other, "as a person in a browser it unmutes itself", |it| !is_muted(it)).await;
    house.act(Act::MuteAll { allow_unmute: Some(false) }).await;
    guest.press("*6", &mut at_guest).await;
    guest.press("*3", &mut at_guest).await;
    is(&house, &other, "its hand", |it| it.attributes.contains_key(HAND_ATTRIBUTE)).await;
    is(&house, &other, "it does not where people may not", is_muted).await;

    host.press("##", &mut cseq).await;
    for peer in [host, guest] {
        let bye = peer.next_request().await;
        assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
        peer.respond(&bye, "200 OK", "").await;
    }
    house.gateway.stop().await;
}
