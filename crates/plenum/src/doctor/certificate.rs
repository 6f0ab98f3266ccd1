//! Whether browsers and room systems take the certificate.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::day;
use super::finding::{Finding, Findings};
pub use crate::certificate::Subject;
use crate::certificate::{Given, Link, WARN_BEFORE, WARN_ROOT_BEFORE};

/// What is wrong with the certificate.
pub fn check(subject: &Subject, now: SystemTime) -> Vec<Finding> {
    let mut findings = Findings::of("certificate");
    match subject {
        Subject::None => findings.or_well(|| "none is shown: nothing listens for TLS".to_owned()),
        Subject::Local { root: None, .. } => {
            findings.or_well(|| "a local authority issues one at the first start".to_owned())
        }
        Subject::Local { folder, root: Some(root) } => {
            let folder = folder.display();
            let mend = format!(
                "without the folder {folder} the next start makes a new authority, whose root \
                 browsers have to install"
            );
            match root {
                Err(why) => findings.fail(format!("the local authority's root: {why}"), mend),
                Ok(root) if root.ends <= now => {
                    let what = format!("the local authority ended on {}", day(root.ends));
                    findings.fail(what, mend);
                }
                Ok(root) if root.ends < now + WARN_ROOT_BEFORE => {
                    let what = format!("the local authority ends on {}", day(root.ends));
                    findings.warn(what, mend);
                }
                Ok(_) => {}
            }
            let until = root.as_ref().map(|it| day(it.ends)).unwrap_or_default();
            findings.or_well(|| format!("by the local authority, which lasts until {until}"))
        }
        Subject::Given(given) => check_given(given, now, findings),
    }
}

fn check_given(given: &Given, now: SystemTime, mut findings: Findings) -> Vec<Finding> {
    let file = given.certificate.display();
    let pair = "[http] wants `certificate` (PEM, with its chain) and its own `private_key` (PEM, \
                not encrypted), which the server's user can read";
    let own = match given.chain.as_ref().map(|it| it.first()) {
        Ok(Some(own)) => own,
        Ok(None) => {
            findings.fail(format!("{file} holds no certificate"), pair);
            return findings.or_well(String::new);
        }
        Err(why) => {
            findings.fail(why.clone(), pair);
            return findings.or_well(String::new);
        }
    };
    check_times(given, now, &mut findings);
    check_names(own, given, &mut findings);
    check_chain(given, &mut findings);
    if given.key_is_open {
        let key = given.private_key.display();
        findings.warn(
            format!("everybody on this machine can read the private key {key}"),
            format!("chmod o= {key}"),
        );
    }
    findings.or_well(|| format!("for {}, until {}", own.names.join(", "), day(own.ends)))
}

fn check_times(given: &Given, now: SystemTime, findings: &mut Findings) {
    let (file, chain) = (given.certificate.display(), given.chain.iter().flatten());
    for (index, link) in chain.enumerate() {
        let what = match index {
            0 => format!("the certificate {file}"),
            _ => format!("{} in the chain of {file}", link.subject),
        };
        let mend = "put a new one there with its chain and key, and send the server SIGHUP \
                    (`systemctl reload plenum`)";
        if link.ends <= now {
            findings.fail(format!("{what} ended on {}", day(link.ends)), mend);
        } else if link.begins > now {
            let mend = "look at the clock of this machine, or get one that holds already";
            findings.fail(format!("{what} begins on {} only", day(link.begins)), mend);
        } else if link.ends < now + WARN_BEFORE {
            let days = link.ends.duration_since(now).unwrap_or(Duration::ZERO).as_secs() / 86_400;
            findings.warn(format!("{what} ends in {days} days, on {}", day(link.ends)), mend);
        }
    }
}

fn check_names(own: &Link, given: &Given, findings: &mut Findings) {
    let file = given.certificate.display();
    if own.names.is_empty() {
        let mend = "get one with the server's name as subjectAltName: browsers look nowhere else";
        findings.fail(format!("the certificate {file} names no host"), mend);
        return;
    }
    let fits = |name: &String| match name.parse::<IpAddr>() {
        Ok(ip) => given.reached.iter().any(|it| it.to_canonical() == ip.to_canonical()),
        // Where other names lead is looked up by itself.
        Err(_) => name != "localhost" || given.reached.iter().all(IpAddr::is_loopback),
    };
    if !own.names.iter().any(fits) {
        let reached: Vec<String> = given.reached.iter().map(IpAddr::to_string).collect();
        findings.warn(
            format!(
                "the certificate {file} is for {}, and the server is reached at {}",
                own.names.join(", "),
                reached.join(", ")
            ),
            "get one for a name of this server, or add the address to `announced_addresses` in \
             [sfu]",
        );
    }
}

fn check_chain(given: &Given, findings: &mut Findings) {
    let file = given.certificate.display();
    let chain = given.chain.as_deref().unwrap_or_default();
    for (link, next) in chain.iter().zip(chain.iter().skip(1)) {
        if link.issuer != next.subject {
            findings.warn(
                format!(
                    "in {file}, {} is not followed by its issuer, {}",
                    link.subject, link.issuer
                ),
                "order the file: the server's own certificate first, after each its issuer",
            );
        }
    }
    let by_itself = chain.len() == 1 && chain.iter().all(|it| it.issuer == it.subject);
    if given.trusted == Some(false) || (by_itself && given.trusted.is_none()) {
        let last = chain.last().map_or("", |it| it.issuer.as_str());
        findings.warn(
            format!("no root of this machine vouches for {file}, issued by {last}"),
            "add the issuer's intermediate certificates to the file; with an authority of your own, \
             install its root in browsers and room systems",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::doctor::finding::State;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY
    }

    fn link(subject: &str, issuer: &str, names: &[&str]) -> Link {
        Link {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            begins: now() - DAY,
            ends: now() + 90 * DAY,
            names: names.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn given() -> Given {
        let own = link("CN=meet.example.org", "CN=R3", &["meet.example.org"]);
        Given {
            certificate: "/etc/c.pem".into(),
            private_key: "/etc/k.pem".into(),
            chain: Ok(vec![own, link("CN=R3", "CN=X1", &[])]),
            trusted: Some(true),
            key_is_open: false,
            reached: vec!["203.0.113.10".parse().unwrap()],
        }
    }

    fn only(given: Given) -> Finding {
        let mut found = check(&Subject::Given(given), now());
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn with(change: impl FnOnce(&mut Given)) -> Finding {
        let mut given = given();
        change(&mut given);
        only(given)
    }

    fn own(given: &mut Given) -> &mut Link {
        &mut given.chain.as_mut().unwrap()[0]
    }

    #[test]
    fn a_good_certificate_is_well() {
        let found = with(|_| {});
        assert_eq!(found.state, State::Well);
        assert_eq!(found.what, "for meet.example.org, until 2025-01-02");
        assert_eq!(with(|it| own(it).names = vec!["203.0.113.10".into()]).state, State::Well);
        assert_eq!(with(|it| own(it).names = vec!["*.example.org".into()]).state, State::Well);
        assert_eq!(with(|it| it.trusted = None).state, State::Well);
    }

    #[test]
    fn its_times_are_looked_at() {
        let ended = with(|it| own(it).ends = now() - DAY);
        assert_eq!(ended.state, State::Failure);
        assert!(ended.what.contains("ended on 2024-10-03"), "{ended:?}");
        assert_eq!(with(|it| own(it).begins = now() + DAY).state, State::Failure);
        let soon = with(|it| own(it).ends = now() + 3 * DAY);
        assert_eq!(soon.state, State::Warning);
        assert!(soon.what.contains("ends in 3 days"), "{soon:?}");
        let chain = with(|it| it.chain.as_mut().unwrap()[1].ends = now() - DAY);
        assert_eq!(chain.state, State::Failure);
        assert!(chain.what.contains("CN=R3 in the chain"), "{chain:?}");
    }

    #[test]
    fn its_names_have_to_fit() {
        assert_eq!(with(|it| own(it).names.clear()).state, State::Failure);
        let other = with(|it| own(it).names = vec!["192.0.2.9".into()]);
        assert_eq!(other.state, State::Warning);
        assert!(other.what.contains("192.0.2.9") && other.what.contains("203.0.113.10"));
        assert_eq!(with(|it| own(it).names = vec!["localhost".into()]).state, State::Warning);
    }

    #[test]
    fn its_chain_and_key_are_looked_at() {
        assert_eq!(with(|it| it.trusted = Some(false)).state, State::Warning);
        let itself = with(|it| {
            it.trusted = None;
            it.chain = Ok(vec![link("CN=x", "CN=x", &["meet.example.org"])]);
        });
        assert_eq!(itself.state, State::Warning);
        let disorder = with(|it| own(it).issuer = "CN=Else".to_owned());
        assert_eq!(disorder.state, State::Warning);
        assert_eq!(with(|it| it.key_is_open = true).mend.as_deref(), Some("chmod o= /etc/k.pem"));
        let unreadable = with(|it| it.chain = Err("/etc/c.pem: Permission denied".to_owned()));
        assert_eq!(unreadable.state, State::Failure);
        assert_eq!(with(|it| it.chain = Ok(Vec::new())).state, State::Failure);
    }

    #[test]
    fn the_local_authority_is_looked_at() {
        let local = |root| {
            let found = check(&Subject::Local { folder: "/data/authority".into(), root }, now());
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].state
        };
        let ends = |ends| Some(Ok(Link { ends, ..link("CN=Plenum", "CN=Plenum", &[]) }));
        assert_eq!(local(None), State::Well);
        assert_eq!(local(ends(now() + 1000 * DAY)), State::Well);
        assert_eq!(local(ends(now() + 100 * DAY)), State::Warning);
        assert_eq!(local(ends(now() - DAY)), State::Failure);
        assert_eq!(local(Some(Err("no PEM".to_owned()))), State::Failure);
        assert_eq!(check(&Subject::None, now())[0].state, State::Well);
    }
}
