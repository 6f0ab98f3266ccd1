//! Where one device is registered: the rules of RFC 3261 section 10.3 and RFC 5626, and no I/O.

use std::time::{Duration, Instant};

use crate::sip::{Flow, Registration, Transport, WantedContact, Wish};

/// The least that somebody may register for, in seconds; each time is work.
pub(super) const LEAST: u32 = 60;
/// The most over datagrams, where nobody tells that a device is gone.
const MOST_UDP: u32 = 300;
/// The most over a stream, whose end tells.
const MOST_STREAM: u32 = 3600;
/// Applications behind one name; of more the oldest is forgotten.
const MAX_BINDINGS: usize = 5;

/// One of a device's applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The URI that it is called by.
    pub(crate) contact: String,
    /// The way to it.
    pub(crate) flow: Flow,
    /// The proxies on the way, the next one first.
    pub(crate) path: Vec<String>,
    /// What it calls itself.
    pub(crate) agent: Option<String>,
    /// When it is forgotten, unless it says otherwise.
    pub(crate) until: Instant,
    instance: Option<String>,
    call_id: String,
    cseq: u32,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// It would be registered for less than [`LEAST`].
    TooBrief,
    /// A later request came before it.
    OutOfOrder,
}

/// All of a device's applications, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bindings(Vec<Binding>);

impl Bindings {
    /// Those that hold now.
    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = &Binding> {
        self.0.iter().filter(move |it| it.until > now)
    }

    /// Does what is wanted, all of it or nothing.
    pub(super) fn change(&mut self, asked: &Registration, now: Instant) -> Result<(), BindError> {
        let mut changed: Vec<Binding> = self.iter(now).cloned().collect();
        match &asked.wish {
            Wish::Ask => {}
            Wish::Forget => {
                if changed.iter().any(|it| it.is_after(asked)) {
                    return Err(BindError::OutOfOrder);
                }
                changed.clear();
            }
            Wish::Bind(contacts) => {
                // The first one stands first.
                for contact in contacts.iter().rev() {
                    bind(&mut changed, contact, asked, now)?;
                }
            }
        }
        changed.truncate(MAX_BINDINGS);
        self.0 = changed;
        Ok(())
    }

    /// Forgets those whose way is closed.
    pub(super) fn retain(&mut self, is_open: impl Fn(&Flow) -> bool, now: Instant) {
        self.0.retain(|it| it.until > now && is_open(&it.flow));
    }
}

fn bind(
    bindings: &mut Vec<Binding>,
    contact: &WantedContact,
    asked: &Registration,
    now: Instant,
) -> Result<(), BindError> {
    let most = match asked.flow.transport {
        Transport::Udp => MOST_UDP,
        Transport::Tcp | Transport::Tls => MOST_STREAM,
    };
    let seconds = contact.expires.unwrap_or(most).min(most);
    if (1..LEAST).contains(&seconds) {
        return Err(BindError::TooBrief);
    }
    let known = bindings.iter().position(|it| it.is(contact));
    if let Some(known) = known {
        let old = bindings.remove(known);
        if old.is_after(asked) {
            return Err(BindError::OutOfOrder);
        }
    }
    if seconds == 0 {
        return Ok(());
    }
    let binding = Binding {
        contact: contact.uri.clone(),
        flow: asked.flow,
        path: asked.path.clone(),
        agent: asked.agent.clone(),
        until: now + Duration::from_secs(seconds.into()),
        instance: contact.instance.clone(),
        call_id: asked.call_id.clone(),
        cseq: asked.cseq,
    };
    bindings.insert(0, binding);
    Ok(())
}

impl Binding {
    /// Whether it is the application that this contact names: by its instance, where it has one.
    fn is(&self, contact: &WantedContact) -> bool {
        match (&self.instance, &contact.instance) {
            (Some(known), Some(named)) => known == named,
            _ => self.contact == contact.uri,
        }
    }

    /// Whether this request was overtaken by the one that made it.
    fn is_after(&self, asked: &Registration) -> bool {
        self.call_id == asked.call_id && self.cseq >= asked.cseq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(cseq: u32, wish: Wish) -> Registration {
        Registration {
            user: "hall".into(),
            flow: Flow { transport: Transport::Udp, peer: "192.0.2.7:5060".parse().unwrap() },
            wish,
            call_id: "a".into(),
            cseq,
            agent: None,
            path: Vec::new(),
            credentials: Vec::new(),
        }
    }

    fn binds(cseq: u32, contacts: &[(&str, Option<&str>, Option<u32>)]) -> Registration {
        let contacts = contacts.iter().map(|(uri, instance, expires)| WantedContact {
            uri: (*uri).to_owned(),
            instance: instance.map(ToOwned::to_owned),
            expires: *expires,
        });
        asks(cseq, Wish::Bind(contacts.collect()))
    }

    fn shown(bindings: &Bindings, now: Instant) -> Vec<(&str, u64)> {
        bindings.iter(now).map(|it| (it.contact.as_str(), (it.until - now).as_secs())).collect()
    }

    #[test]
    fn a_device_registers_stays_registered_and_is_forgotten() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut bindings = Bindings::default();
        bindings.change(&binds(1, &[("sip:a@1", None, Some(120))]), start).unwrap();
        bindings.change(&binds(2, &[("sip:b@2", None, None)]), after(10)).unwrap();
        bindings.change(&asks(3, Wish::Ask), after(20)).unwrap();
        assert_eq!(shown(&bindings, after(20)), [("sip:b@2", 290), ("sip:a@1", 100)]);
        bindings.change(&binds(4, &[("sip:a@1", None, Some(7200))]), after(30)).unwrap();
        assert_eq!(shown(&bindings, after(30)), [("sip:a@1", 300), ("sip:b@2", 280)]);
        bindings.change(&binds(5, &[("sip:b@2", None, Some(0))]), after(30)).unwrap();
        assert_eq!(shown(&bindings, after(30)), [("sip:a@1", 300)]);
        assert_eq!(shown(&bindings, after(330)), []);
        bindings.change(&binds(6, &[("sip:a@1", None, None)]), after(400)).unwrap();
        bindings.change(&asks(7, Wish::Forget), after(400)).unwrap();
        assert_eq!(shown(&bindings, after(400)), []);
    }

    #[test]
    fn what_was_overtaken_or_is_too_brief_changes_nothing() {
        let now = Instant::now();
        let mut bindings = Bindings::default();
        bindings.change(&binds(5, &[("sip:a@1", None, None)]), now).unwrap();
        let before = bindings.clone();
        let late = binds(5, &[("sip:c@3", None, None), ("sip:a@1", None, Some(0))]);
        assert_eq!(bindings.change(&late, now), Err(BindError::OutOfOrder));
        assert_eq!(bindings.change(&asks(4, Wish::Forget), now), Err(BindError::OutOfOrder));
        let brief = binds(6, &[("sip:c@3", None, None), ("sip:a@1", None, Some(59))]);
        assert_eq!(bindings.change(&brief, now), Err(BindError::TooBrief));
        assert_eq!(bindings, before);
        // After a restart the device counts anew.
        let anew = Registration { call_id: "b".into(), ..binds(1, &[("sip:a@1", None, None)]) };
        bindings.change(&anew, now).unwrap();
    }

    #[test]
    fn an_instance_that_moved_is_the_same_and_many_are_bounded() {
        let now = Instant::now();
        let mut bindings = Bindings::default();
        bindings.change(&binds(1, &[("sip:a@1", Some("urn:1"), None)]), now).unwrap();
        bindings.change(&binds(2, &[("sip:a@2", Some("urn:1"), None)]), now).unwrap();
        assert_eq!(shown(&bindings, now), [("sip:a@2", 300)]);
        for number in 0..20 {
            let contact = format!("sip:{number}@3");
            bindings.change(&binds(3 + number, &[(&contact, None, None)]), now).unwrap();
        }
        let known: Vec<_> = bindings.iter(now).map(|it| it.contact.as_str()).collect();
        assert_eq!(known, ["sip:19@3", "sip:18@3", "sip:17@3", "sip:16@3", "sip:15@3"]);
        bindings.retain(|_| false, now);
        assert_eq!(bindings, Bindings::default());
    }

    #[test]
    fn over_a_stream_it_may_be_registered_for_an_hour() {
        let now = Instant::now();
        let mut bindings = Bindings::default();
        let peer = "192.0.2.7:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Tls, peer };
        let asked = Registration { flow, ..binds(1, &[("sip:a@1", None, Some(7200))]) };
        bindings.change(&asked, now).unwrap();
        assert_eq!(shown(&bindings, now), [("sip:a@1", 3600)]);
    }
}
