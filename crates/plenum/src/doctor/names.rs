//! Whether the names under which people come lead to this machine.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::certificate::Subject;
use super::finding::{Finding, Findings};
use crate::certificate::host_name;
use crate::config::{Config, ConfigError};

/// How long all names together may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Certificates may name many: so many are looked up.
const MAX_NAMES: usize = 20;

/// What is known of names.
#[derive(Debug, Default)]
pub struct Facts {
    /// The certificate's names, each with where it leads or why nowhere.
    pub certificate: Vec<(String, Result<Vec<IpAddr>, String>)>,
    /// This machine's name, where the local authority's certificate bears it.
    pub host: Option<(String, Result<Vec<IpAddr>, String>)>,
    /// The addresses of this machine, and those that are announced.
    pub own: Vec<IpAddr>,
}

impl Facts {
    /// Looks all names up as this machine does.
    pub fn gather(config: &Config, subject: &Subject) -> Result<Self, ConfigError> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let interfaces = interfaces.iter().map(|it| it.ip().to_canonical());
        let own = interfaces.chain(config.announced()?).collect();
        let (names, host) = match subject {
            Subject::None => (Vec::new(), None),
            Subject::Local { .. } => (Vec::new(), Some(host_name())),
            Subject::Given(given) => (given.dns_names().map(str::to_owned).collect(), None),
        };
        let all: Vec<String> = names.iter().take(MAX_NAMES).chain(&host).cloned().collect();
        let mut found = resolve(all).into_iter();
        let certificate = found.by_ref().take(names.len().min(MAX_NAMES)).collect();
        Ok(Self { certificate, host: found.next(), own })
    }

    fn is_own(&self, ip: &IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.own.iter().any(|own| own.to_canonical() == ip)
    }
}

/// Looks names up beside each other: the system's resolver has no time limit that can be set.
fn resolve(names: Vec<String>) -> Vec<(String, Result<Vec<IpAddr>, String>)> {
    let (done, results) = mpsc::channel();
    for (index, name) in names.iter().cloned().enumerate() {
        let done = done.clone();
        std::thread::spawn(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            let found = found.map(|all| all.map(|it| it.ip()).collect());
            let _ = done.send((index, found.map_err(|error| error.to_string())));
        });
    }
    drop(done);
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    let mut all: Vec<_> = names.into_iter().map(|name| (name, late())).collect();
    let end = Instant::now() + PATIENCE;
    while let Ok((index, found)) =
        results.recv_timeout(end.saturating_duration_since(Instant::now()))
    {
        if let Some(entry) = all.get_mut(index) {
            entry.1 = found;
        }
    }
    all
}

/// What is wrong with names.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::of("dns");
    let here = |found: &Result<Vec<IpAddr>, String>| {
        found.as_ref().is_ok_and(|all| all.iter().any(|ip| facts.is_own(ip)))
    };
    let named = &facts.certificate;
    let good: Vec<&str> = named.iter().filter(|it| here(&it.1)).map(|it| it.0.as_str()).collect();
    if good.is_empty() {
        for (name, found) in named {
            let mend = "have it lead to an address of this machine, or add the address to \
                        `announced_addresses` in [sfu]";
            match found {
                Ok(all) => {
                    let all: Vec<String> = all.iter().map(IpAddr::to_string).collect();
                    let what = format!("{name} leads to {}, not to this server", all.join(", "));
                    findings.fail(what, mend);
                }
                Err(why) => findings.fail(format!("{name} cannot be looked up: {why}"), mend),
            }
        }
    }
    if let Some((name, found)) = facts.host.as_ref().filter(|it| !here(&it.1)) {
        let what = match found {
            Ok(_) => format!("this machine's name, {name}, leads to another"),
            Err(why) => format!("this machine's name, {name}, cannot be looked up: {why}"),
        };
        findings
            .warn(what, "people reach the server by its addresses, or once the name is in the DNS");
    }
    findings.or_well(|| match (good.as_slice(), &facts.host) {
        ([], Some((name, _))) => format!("{name} leads here"),
        ([], None) => "people come by addresses: no name has to be looked up".to_owned(),
        (good, _) => format!("{} leads here", good.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|it| it.parse().unwrap()).collect()
    }

    fn named(names: &[(&str, Result<&[&str], &str>)]) -> Facts {
        let found = |it: &(&str, Result<&[&str], &str>)| {
            (it.0.to_owned(), it.1.map(ips).map_err(str::to_owned))
        };
        Facts {
            certificate: names.iter().map(found).collect(),
            host: None,
            own: ips(&["10.0.0.5", "203.0.113.10"]),
        }
    }

    #[test]
    fn a_name_that_leads_here_is_well_whatever_the_others_do() {
        for leads in [&["10.0.0.5"][..], &["198.51.100.1", "203.0.113.10"], &["::ffff:10.0.0.5"]] {
            let found =
                check(&named(&[("www.example.org", Err("no")), ("meet.example.org", Ok(leads))]));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(
                (found[0].state, found[0].what.as_str()),
                (State::Well, "meet.example.org leads here")
            );
        }
        assert_eq!(check(&named(&[]))[0].state, State::Well);
    }

    #[test]
    fn names_that_lead_elsewhere_or_nowhere_fail() {
        let found = check(&named(&[
            ("a.example.org", Ok(&["198.51.100.1"])),
            ("b.example.org", Err("unknown")),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|it| it.state == State::Failure && it.mend.is_some()));
        assert_eq!(found[0].what, "a.example.org leads to 198.51.100.1, not to this server");
        assert_eq!(found[1].what, "b.example.org cannot be looked up: unknown");
    }

    #[test]
    fn the_machines_own_name_is_worth_a_warning_only() {
        let host = |found| Facts { host: Some(("box".to_owned(), found)), ..named(&[]) };
        assert_eq!(check(&host(Ok(ips(&["127.0.1.1"]))))[0].state, State::Well);
        assert_eq!(check(&host(Ok(ips(&["198.51.100.1"]))))[0].state, State::Warning);
        assert_eq!(check(&host(Err("unknown".to_owned())))[0].state, State::Warning);
    }

    #[test]
    fn names_are_looked_up_in_their_order() {
        let found = resolve(vec!["localhost".to_owned(), "127.0.0.9".to_owned()]);
        assert!(
            found[0].1.as_ref().is_ok_and(|it| it.iter().all(IpAddr::is_loopback)),
            "{found:?}"
        );
        assert_eq!(found[1], ("127.0.0.9".to_owned(), Ok(ips(&["127.0.0.9"]))));
    }
}
