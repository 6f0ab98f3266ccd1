//! One call at work: from its INVITE to its end, between its signalling and a meeting.

mod admission;
mod camera;
mod codes;
mod dialled;
mod floor;
mod keys;
mod line;
mod media;
mod onward;
mod prompt;
mod reception;
mod remote;
mod roster;
mod route;
mod secured;
mod transfer;
mod wire;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use conference::access::{self, AdmissionError};
use conference::store::StoreError;
use conference::telephony::Cause;
use conference::{DialRefusal, JoinError, Leg, LegSeat, LegState, Waiting};
use room::{Refusal, Role};
use tokio::time::Instant;
use types::{Bandwidth, MeetingId, Timestamp};

use crate::gateway::Shared;
use crate::plan::TrunkCall;
use crate::sip::{Call, CallError, CallEvent, CallHandle, Flow, IncomingCall, Share, Status};

pub(crate) use camera::Cameras;
pub use codes::{Code, Codes, CodesError, Control};
pub(crate) use dialled::{CallingSide, Dialled as DialledLegs, Place, call};
pub(crate) use line::Caller;
pub use media::MediaRules;

use admission::Dialled;
use line::Line;
use media::{Session, SessionError};
use onward::Other;
use route::{To, Way};

/// Every refusal of a source that we do not know comes this long after its call: how fast it comes
/// must not tell an unknown meeting from one that is closed.
const REFUSAL_DELAY: Duration = Duration::from_millis(300);

/// What a caller is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// It comes into the meeting at once.
    In(MeetingId),
    /// It is asked for the meeting's PIN; `failed` if it has dialled a wrong one.
    Ask { meeting: MeetingId, failed: bool },
    /// It is asked for the number of a meeting.
    Reception,
}

/// Why a call is refused; the peer gets the status, the log the reason.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no meeting's id was dialled")]
    NoMeetingDialled,
    #[error("there is no meeting {0}")]
    NoSuchMeeting(MeetingId),
    #[error("meeting {0} takes no room systems")]
    NoRoomSystems(MeetingId),
    #[error("too many wrong PINs came from this address")]
    TooManyPins,
    #[error("meeting {meeting}: {error}")]
    NotNow { meeting: MeetingId, error: AdmissionError },
    #[error("the dial rule {rule:?} says so")]
    ByRule { rule: String, cause: Cause },
    #[error("the dial rule {rule:?} sends it back over the trunk that it came over")]
    Loop { rule: String },
    #[error("nobody is called: {0}")]
    NotCalled(DialRefusal),
    #[error("who was called is not reached: {0:?}")]
    NotReached(LegState),
    #[error("the caller gave up")]
    GaveUp,
    #[error("no dial rule is for this call, which comes over the trunk {trunk:?}")]
    NoRule { trunk: String },
    #[error("as many calls as may be go over the trunk {trunk:?}")]
    TrunkFull { trunk: String },
    #[error("as many calls as may be come from its network")]
    NetworkFull,
    #[error("the dial plan cannot be read: {0}")]
    NoPlan(#[from] StoreError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the room system cannot be moved to the meeting: {0}")]
    NotMoved(#[from] CallError),
    #[error("there was no answer to our offer")]
    NoAnswer,
    #[error("the call that it is to replace is in no meeting")]
    NotReplaced,
    #[error("the media keys do not fit: {0}")]
    Keys(#[from] rtp::srtp::SrtpError),
}

impl Refused {
    fn status(&self) -> Status {
        match self {
            Self::NotNow { error: AdmissionError::Busy, .. } | Self::NoPlan(_) => {
                Status::SERVICE_UNAVAILABLE
            }
            Self::ByRule { cause, .. } => status_of(*cause),
            Self::NotReached(state) => status_of_leg(*state),
            Self::NotCalled(DialRefusal::NotRegistered) | Self::GaveUp => {
                Status::TEMPORARILY_UNAVAILABLE
            }
            Self::NotCalled(DialRefusal::TrunkFull { .. } | DialRefusal::TooMany) => {
                Status::BUSY_HERE
            }
            Self::NotCalled(_) => Status::SERVICE_UNAVAILABLE,
            Self::NotReplaced => Status::NO_SUCH_CALL,
            Self::Loop { .. } => Status::NOT_FOUND,
            Self::TrunkFull { .. } | Self::NetworkFull => Status::BUSY_HERE,
            Self::NoMeetingDialled
            | Self::NoRule { .. }
            | Self::NotNow { .. }
            | Self::NoSuchMeeting(_)
            | Self::NoRoomSystems(_)
            | Self::TooManyPins
            | Self::Join(
                JoinError::NoSuchMeeting
                | JoinError::NotNow
                | JoinError::Refused(Refusal::NotEncrypted),
            ) => Status::NOT_FOUND,
            Self::Join(JoinError::Stopping | JoinError::NoPorts) => Status::SERVICE_UNAVAILABLE,
            Self::Join(JoinError::Refused(Refusal::MeetingFull { .. })) => Status::BUSY_HERE,
            Self::Join(JoinError::Refused(_)) => Status::FORBIDDEN,
            Self::Session(_) | Self::Keys(_) | Self::NotMoved(_) | Self::NoAnswer => {
                Status::NOT_ACCEPTABLE_HERE
            }
        }
    }

    /// For the peer; nothing about meetings.
    fn words(&self) -> Option<String> {
        match self {
            Self::Session(error) => Some(error.to_string()),
            Self::Join(JoinError::Refused(Refusal::NotEncrypted)) => None,
            Self::Join(JoinError::NoPorts | JoinError::Refused(_)) | Self::Keys(_) => {
                Some(self.to_string())
            }
            _ => None,
        }
    }
}

fn status_of(cause: Cause) -> Status {
    match cause {
        Cause::NotFound => Status::NOT_FOUND,
        Cause::Forbidden => Status::FORBIDDEN,
        Cause::Unavailable => Status::TEMPORARILY_UNAVAILABLE,
        Cause::Busy => Status::BUSY_HERE,
        Cause::Declined => Status::DECLINE,
    }
}

/// What the caller is told of a call on that did not succeed.
fn status_of_leg(state: LegState) -> Status {
    match state {
        LegState::Busy => Status::BUSY_HERE,
        LegState::Declined => Status::DECLINE,
        LegState::NotFound => Status::NOT_FOUND,
        LegState::Incompatible => Status::NOT_ACCEPTABLE_HERE,
        LegState::NotAdmitted | LegState::Unreachable => Status::SERVICE_UNAVAILABLE,
        _ => Status::TEMPORARILY_UNAVAILABLE,
    }
}

/// Answers a call and stays with it until its end.
pub(crate) async fn answer(shared: Arc<Shared>, mut call: IncomingCall) {
    let earliest = Instant::now() + REFUSAL_DELAY;
    match begin(&shared, &mut call).await {
        Ok(prepared) => prepared.run(shared, call).await,
        Err(refused) => {
            tracing::info!(reason = %refused, "a room system is refused");
            metrics::counter!("plenum_sip_refused_total").increment(1);
            let given_up = async { while call.next().await.is_some() {} };
            if unless(tokio::time::sleep_until(earliest), given_up).await {
                call.reject(refused.status(), refused.words().as_deref());
            }
        }
    }
}

/// Waits until then; for ever where there is no time.
async fn wait_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether `wait` came before `other`.
async fn unless(wait: impl Future<Output = ()>, other: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = wait => true,
        () = other => false,
    }
}

/// A call that can be answered.
struct Prepared {
    caller: Caller,
    entry: Entry,
    session: Session,
    media: Media,
    /// What it comes over, where it comes over a trunk.
    trunk: Option<TrunkCall>,
    /// Its place among the calls of its network, where it does not.
    share: Option<Share>,
    /// Whom it is for, where that is no meeting.
    other: Option<Other>,
    /// The call whose place it takes.
    replaced: Option<CallHandle>,
}

/// How far its media are.
enum Media {
    /// The caller's offer has an answer, and its leg is there, in the meeting or before it.
    Answered { leg: Leg, answer: Vec<u8>, waiting: Option<Waiting> },
    /// It made no offer: ours goes out with the 200, its answer comes in the ACK.
    Offered { seat: LegSeat, offer: Vec<u8> },
}

async fn begin(shared: &Arc<Shared>, call: &mut IncomingCall) -> Result<Prepared, Refused> {
    let Way { to, trunk, rule } = route::way(shared, call).await?;
    let source = call.source.ip();
    let share = match &trunk {
        Some(_) => None,
        None => Some(shared.share(source).ok_or(Refused::NetworkFull)?),
    };
    let (entry, role, other) = match to {
        To::Meeting(dialled) => {
            let (entry, role) = admit(shared, source, dialled).await?;
            (entry, role, None)
        }
        To::Reception if shared.may_try_pin(source) => (Entry::Reception, Role::default(), None),
        To::Reception => return Err(Refused::TooManyPins),
        To::Place(meeting, role) => (Entry::In(meeting), role, None),
        To::Callee(callee) => {
            let (meeting, other) = onward::connect(shared, call, *callee).await?;
            (Entry::In(meeting), Role::default(), Some(other))
        }
    };
    let (mut seat, layout) = match &entry {
        Entry::In(meeting) | Entry::Ask { meeting, .. } => {
            (shared.conference.seat_leg(meeting)?, shared.layout_of(meeting))
        }
        Entry::Reception => (shared.conference.seat_visitor()?, shared.media.layout),
    };
    let address = shared.announced_to(Some(source));
    let over = trunk.as_ref().map(|it| &it.trunk);
    let bandwidth = [seat.bandwidth(), over.and_then(|it| it.kbps).map(Bandwidth::kilobits)];
    let rules = shared.media.over(over);
    if media::asks_for_content(call.offer.as_deref()) {
        seat.add_content();
    }
    let mut session = Session::new(&mut seat, address, &rules, call.secure, bandwidth);
    session.is_called_from(source);
    let mut caller = Caller::of(call, role, layout, rule);
    let media = match call.offer.take() {
        Some(offer) => {
            let (answer, agreed) = session.answer(&offer)?;
            caller.speaks(session.spoken());
            let mut leg = seat.start(agreed.media, agreed.format, agreed.content)?;
            let waiting = match &entry {
                Entry::In(meeting) => line::enter(shared, &mut leg, meeting, &caller).await?,
                Entry::Ask { .. } | Entry::Reception => None,
            };
            Media::Answered { leg, answer, waiting }
        }
        None => Media::Offered { seat, offer: session.offer() },
    };
    let replaced = call.replaces.take();
    Ok(Prepared { caller, entry, session, media, trunk, share, other, replaced })
}

/// Whether a caller may come in, and as what.
async fn admit(
    shared: &Shared,
    source: IpAddr,
    dialled: Dialled,
) -> Result<(Entry, Role), Refused> {
    let Dialled { meeting, pin } = dialled;
    let directory = shared.conference.directory();
    let Some(settings) = directory.find(&meeting) else {
        return Err(Refused::NoSuchMeeting(meeting));
    };
    // By whichever of its numbers and names it was dialled.
    let meeting = settings.id;
    if !settings.room_systems {
        return Err(Refused::NoRoomSystems(meeting));
    }
    let asks = settings.guest_pin.is_some() || settings.host_pin.is_some();
    if asks && pin.is_some() && !shared.may_try_pin(source) {
        return Err(Refused::TooManyPins);
    }
    let visitor = access::Visitor::guest(pin.as_deref(), Timestamp::of(SystemTime::now()));
    match directory.admit(&meeting, visitor).await {
        Ok(admission) => Ok((Entry::In(meeting), admission.place())),
        Err(AdmissionError::PinRequired) if shared.may_try_pin(source) => {
            Ok((Entry::Ask { meeting, failed: false }, settings.guests))
        }
        // A host may come in nevertheless.
        Err(AdmissionError::SignInFirst)
            if settings.host_pin.is_some() && shared.may_try_pin(source) =>
        {
            Ok((Entry::Ask { meeting, failed: false }, settings.guests))
        }
        Err(AdmissionError::PinRequired) => Err(Refused::TooManyPins),
        Err(AdmissionError::PinWrong) => {
            shared.note_wrong_pin(source);
            Ok((Entry::Ask { meeting, failed: true }, settings.guests))
        }
        Err(AdmissionError::NotFound) => Err(Refused::NoSuchMeeting(meeting)),
        Err(error) => Err(Refused::NotNow { meeting, error }),
    }
}

impl Prepared {
    async fn run(self, shared: Arc<Shared>, incoming: IncomingCall) {
        // The call is counted until the end.
        let Self { caller, entry, mut session, media, trunk, share: _share, other, replaced } =
            self;
        let source = incoming.source.ip();
        let flow = Flow { transport: incoming.transport, peer: incoming.source };
        let _in_call = shared.caller_in_call(&flow);
        let (call, leg, waiting) = match media {
            Media::Answered { leg, answer, waiting } => match incoming.accept(answer) {
                Ok(call) => (call, leg, waiting),
                Err(error) => return tracing::info!(%error, "the caller gave up"),
            },
            Media::Offered { seat, offer } => {
                let call = match incoming.accept(offer) {
                    Ok(call) => call,
                    Err(error) => return tracing::info!(%error, "the caller gave up"),
                };
                let late = late_answer(call, &mut session, seat).await;
                let Some((call, mut leg)) = late else { return };
                let entered = match &entry {
                    Entry::In(meeting) => line::enter(&shared, &mut leg, meeting, &caller).await,
                    Entry::Ask { .. } | Entry::Reception => Ok(None),
                };
                match entered {
                    Ok(waiting) => (call, leg, waiting),
                    Err(error) => {
                        line::note_refusal(&error);
                        return line::hang_up(&call).await;
                    }
                }
            }
        };
        if let Some(replaced) = replaced {
            tracing::info!(replaced = %replaced.id(), "it takes another call's place");
            shared.track(async move {
                if let Err(error) = replaced.bye().await {
                    tracing::debug!(%error, "hanging up");
                }
            });
        }
        let stop = other.as_ref().map_or(&shared.stop, |it| &it.gone).clone();
        let line = Line::new(shared, call, session, leg, caller, stop);
        match entry {
            Entry::In(meeting) => line.run(meeting, waiting).await,
            Entry::Ask { meeting, failed } => line.ask_pin(meeting, source, failed).await,
            Entry::Reception => line.receive(source, trunk.as_ref().map(|it| &it.trunk)).await,
        }
    }
}

/// Waits for the answer to our offer, which comes in the ACK.
async fn late_answer(mut call: Call, session: &mut Session, seat: LegSeat) -> Option<(Call, Leg)> {
    let answer = loop {
        match call.next().await? {
            CallEvent::Confirmed { answer } => break answer,
            CallEvent::Bye { .. } | CallEvent::Cancelled | CallEvent::TimedOut => return None,
            _ => {}
        }
    };
    let started = match answer.map(|answer| session.complete(&answer)) {
        Some(Ok(Some(agreed))) => {
            let leg = seat.start(agreed.media, agreed.format, agreed.content);
            leg.map_err(|error| error.to_string())
        }
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(None)) | None => Err("there was no answer to our offer".to_owned()),
    };
    match started {
        Ok(leg) => Some((call, leg)),
        Err(reason) => {
            tracing::info!(reason, "no session with a room system");
            line::hang_up(&call).await;
            None
        }
    }
}
