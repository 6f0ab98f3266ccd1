//! Transfers (RFC 3515, RFC 5589): a peer wants somebody else called, and is told how that goes.

use rsipstack::sip::event_packages::percent_decode;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Request, StatusCode};
use tokio::sync::oneshot;

use super::Status;
use super::call::CallHandle;

/// The longest `Refer-To` that is read, in bytes.
const MAX_REFER_TO: usize = 1024;
/// How long the peer is to wait for word of a transfer, in seconds: as long as a call may ring, and more.
const LASTS: u32 = 180;

/// A transfer that waits for its answer. Dropped, it is refused with 403. Its `Debug` has no addresses
/// in it, as PINs may stand there.
pub struct Transfer {
    /// Whom to call. Not for logs.
    pub to: String,
    /// The call there in whose place ours is to come (RFC 3891), as it is written in that header.
    pub replaces: Option<String>,
    pub(super) reports: Reports,
    pub(super) reply: oneshot::Sender<Result<(), Status>>,
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer")
            .field("attended", &self.replaces.is_some())
            .finish_non_exhaustive()
    }
}

impl Transfer {
    /// Agrees; what comes of it is told by the reports.
    #[must_use]
    pub fn accept(self) -> Reports {
        // A peer that has gone meanwhile needs no answer.
        let _ = self.reply.send(Ok(()));
        self.reports
    }

    /// Refuses.
    pub fn reject(self, status: Status) {
        let _ = self.reply.send(Err(status));
    }
}

/// What the peer is told of a transfer, by NOTIFY. It may ask for the next transfer when this is
/// dropped.
pub struct Reports {
    pub(super) handle: CallHandle,
    /// Which of the call's transfers this is, and the CSeq of its REFER.
    pub(super) number: u32,
    pub(super) cseq: u32,
    /// It does not want to know (RFC 4488).
    pub(super) unwanted: bool,
}

impl Reports {
    /// Tells how the call stands: 100 and 180 until it is answered or refused.
    ///
    /// # Errors
    /// The peer wants to know no more.
    pub async fn tell(&self, status: u16) -> Result<(), super::CallError> {
        if self.unwanted {
            return Ok(());
        }
        let event = match self.number {
            // Some do not know ids, of which the first needs none.
            0 | 1 => "refer".to_owned(),
            _ => format!("refer;id={}", self.cseq),
        };
        let state = match status {
            100..=199 => format!("active;expires={LASTS}"),
            _ => "terminated;reason=noresource".to_owned(),
        };
        let headers = vec![
            Header::Event(event.into()),
            Header::SubscriptionState(state.into()),
            Header::ContentType("message/sipfrag;version=2.0".into()),
        ];
        let body = format!("SIP/2.0 {}\r\n", StatusCode::from(status));
        self.handle.notify(headers, body.into_bytes()).await
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.handle.core.end_transfer();
    }
}

/// Whom a REFER names, and the call there that ours is to replace; `None`: it cannot be read, or asks
/// for something else than a call.
pub(super) fn refer_to(request: &Request) -> Option<(String, Option<String>)> {
    let mut named = request.headers.iter().filter_map(|header| match header {
        Header::ReferTo(it) => Some(it.value().trim()),
        _ => None,
    });
    let (Some(value), None) = (named.next(), named.next()) else { return None };
    if value.len() > MAX_REFER_TO {
        return None;
    }
    let uri = match value.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        // Without brackets parameters are the header's.
        None => value.split(';').next()?,
    };
    let (address, headers) = uri.split_once('?').unwrap_or((uri, ""));
    let lower = address.to_ascii_lowercase();
    let method = lower.split(';').skip(1).find_map(|it| it.strip_prefix("method="));
    if address.is_empty() || method.is_some_and(|it| it != "invite") {
        return None;
    }
    let header = |it: &str| {
        let (name, value) = it.split_once('=')?;
        name.eq_ignore_ascii_case("Replaces").then(|| percent_decode(value))
    };
    // Others would become headers of ours.
    let replaces = headers.split('&').find_map(header);
    let plain = replaces.as_ref().is_none_or(|it| !it.chars().any(char::is_control));
    plain.then(|| (address.to_owned(), replaces))
}

/// Whether the peer wants no word of what comes of it (RFC 4488).
pub(super) fn wants_no_word(request: &Request) -> bool {
    let value = request.header_value("Refer-Sub");
    value.is_some_and(|it| it.to_ascii_lowercase().starts_with("false"))
}

/// A call that another is to replace (RFC 3891).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaces {
    pub(super) call: String,
    /// Our tag.
    pub(super) to: String,
    /// The peer's.
    pub(super) from: String,
    /// Not if it is answered.
    pub(super) early_only: bool,
}

impl Replaces {
    /// What a request says of it; `None`: nothing, `Some(None)`: nothing that makes sense.
    pub(super) fn of(request: &Request) -> Option<Option<Self>> {
        let mut named = request.headers.iter().filter_map(|header| match header {
            Header::Replaces(it) => Some(it.value()),
            _ => None,
        });
        let value = named.next()?;
        Some(Self::read(value).filter(|_| named.next().is_none()))
    }

    fn read(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let call = parts.next().filter(|it| !it.is_empty())?.to_owned();
        let (mut to, mut from, mut early_only) = (None, None, false);
        for part in parts {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, tag)) if name.eq_ignore_ascii_case("to-tag") => {
                    to = Some(tag.to_owned())
                }
                Some((name, tag)) if name.eq_ignore_ascii_case("from-tag") => {
                    from = Some(tag.to_owned());
                }
                Some(_) => {}
                None => early_only |= part.eq_ignore_ascii_case("early-only"),
            }
        }
        Some(Self { call, to: to?, from: from?, early_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(to: &str) -> Option<(String, Option<String>)> {
        let raw = format!(
            "REFER sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n\
             To: <sip:a@x>;tag=2\r\nCall-ID: c\r\nCSeq: 2 REFER\r\n{to}Content-Length: 0\r\n\r\n"
        );
        refer_to(&Request::try_from(raw.as_bytes()).unwrap())
    }

    #[test]
    fn whom_to_call_is_read_as_telephones_write_it() {
        let blind = |to: &str| Some((to.to_owned(), None));
        assert_eq!(refer("Refer-To: <sip:hall@10.0.0.7>\r\n"), blind("sip:hall@10.0.0.7"));
        assert_eq!(refer("r: sip:201@pbx;x=1\r\n"), blind("sip:201@pbx"));
        let named = "Refer-To: \"Hall\" <sips:hall@pbx;transport=tls;method=INVITE>;x=1\r\n";
        assert_eq!(refer(named), blind("sips:hall@pbx;transport=tls;method=INVITE"));
        let attended = "Refer-To: <sip:hall@pbx?Require=replaces&Replaces=7%40pbx%3Bto-tag%3Da%3B\
            from-tag%3Db>\r\n";
        let (to, replaces) = refer(attended).unwrap();
        assert_eq!(
            (to.as_str(), replaces.as_deref()),
            ("sip:hall@pbx", Some("7@pbx;to-tag=a;from-tag=b"))
        );
        for wrong in [
            "",
            "Refer-To: \r\n",
            "Refer-To: <sip:a@x\r\n",
            "Refer-To: <sip:a@x;method=BYE>\r\n",
            "Refer-To: <sip:a@x?Replaces=7%0D%0AX:y>\r\n",
            "Refer-To: <sip:a@x>\r\nRefer-To: <sip:b@x>\r\n",
        ] {
            assert_eq!(refer(wrong), None, "{wrong}");
        }
        assert_eq!(refer(&format!("Refer-To: <sip:{}@x>\r\n", "a".repeat(MAX_REFER_TO))), None);
    }

    #[test]
    fn a_call_that_is_replaced_is_named_whole() {
        let whole = Replaces::read("7@pbx ;to-tag=a; From-Tag=b;early-only").unwrap();
        assert_eq!(
            (whole.call.as_str(), whole.to.as_str(), whole.from.as_str()),
            ("7@pbx", "a", "b")
        );
        assert!(whole.early_only && !Replaces::read("7;from-tag=b;to-tag=a").unwrap().early_only);
        for wrong in ["", "7@pbx", "7@pbx;to-tag=a", ";to-tag=a;from-tag=b"] {
            assert_eq!(Replaces::read(wrong), None, "{wrong}");
        }
    }
}
