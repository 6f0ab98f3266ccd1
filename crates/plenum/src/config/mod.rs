//! The configuration: one file, every key of it overridable by the environment, nothing in it
//! that is not known.

mod error;
mod example;
mod section;
mod sections;
mod setting;
mod source;

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use conference::access::{KeyRights, Keys, MeetingSettings};
use conference::booking::Limits;
use types::{Bandwidth, MeetingId};

pub use error::ConfigError;
pub use example::example;
pub use sections::{
    Data, History, Http, KeyEntry, Log, MeetingEntry, RemoteControl, Rtp, Sfu, Sip, SipTls, Webhook,
};
pub use setting::{Listen, LogFormat, PictureSize, Right, Secret, Srtp};

use source::Source;

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// The largest secret's file, in bytes.
const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;
/// RTP and RTCP, sound and picture.
const PORTS_OF_A_CALL: u16 = 4;

/// Everything that can be set, read and checked.
#[derive(Debug)]
pub struct Config {
    /// `[data]`
    pub data: Data,
    /// `[http]`
    pub http: Http,
    /// `[sfu]`
    pub sfu: Sfu,
    /// `[sip]`
    pub sip: Sip,
    /// `[remote_control]`
    pub remote_control: RemoteControl,
    /// `[rtp]`
    pub rtp: Rtp,
    /// `[webhook]`
    pub webhook: Webhook,
    /// `[history]`
    pub history: History,
    /// `[log]`
    pub log: Log,
    /// `[[key]]`, with their secrets read.
    pub keys: Keys,
    /// `[[sip_tls]]`
    pub sip_tls: Vec<SipTls>,
    /// `[[meeting]]`
    pub meetings: Vec<MeetingSettings>,
    /// Any name is a meeting, and everything listens on loopback alone: with `--dev` only.
    pub dev: bool,
}

impl Config {
    /// Reads the file at `path`, if there is one to read, then `env` over it, all over the defaults
    /// of `--dev` (`dev`) or of a real server.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        dev: bool,
    ) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => read_bounded(path, MAX_FILE_BYTES)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?,
            None => String::new(),
        };
        let path = path.unwrap_or(Path::new("plenum.toml"));
        let mut source = Source::new(path, &text, env)?;
        let mut config = Self {
            data: source.single(dev)?,
            http: source.single(dev)?,
            sfu: source.single(dev)?,
            sip: source.single(dev)?,
            remote_control: source.single(dev)?,
            rtp: source.single(dev)?,
            webhook: source.single(dev)?,
            history: source.single(dev)?,
            log: source.single(dev)?,
            keys: Keys::new(),
            sip_tls: Vec::new(),
            meetings: Vec::new(),
            dev,
        };
        let keys: Vec<KeyEntry> = source.repeated(dev)?;
        let sip_tls: Vec<SipTls> = source.repeated(dev)?;
        let meetings: Vec<MeetingEntry> = source.repeated(dev)?;
        source.finish()?;
        config.keys = read_keys(&keys, dev)?;
        check_sip_tls(&sip_tls)?;
        config.sip_tls = sip_tls;
        config.meetings = read_meetings(meetings)?;
        config.check()?;
        Ok(config)
    }

    /// The addresses that peers are told to send to: those that are announced, else those that the
    /// listeners have of their own. Loopback counts with `--dev` only.
    pub fn announced(&self) -> Result<Vec<IpAddr>, ConfigError> {
        let mut known: Vec<IpAddr> = match self.sfu.announced_addresses.as_slice() {
            [] => self.listening().collect(),
            announced => announced.to_vec(),
        };
        let mut seen = HashSet::new();
        known.retain(|ip| seen.insert(*ip) && (self.dev || !ip.to_canonical().is_loopback()));
        if known.is_empty() { Err(ConfigError::NoAddress) } else { Ok(known) }
    }

    /// The addresses that listeners have of their own instead of a wildcard, loopback included;
    /// the same one may come more than once.
    pub fn listening(&self) -> impl Iterator<Item = IpAddr> {
        let sip = [self.sip.udp_listen, self.sip.tcp_listen, self.sip.tls_listen];
        [Some(self.http.listen), self.http.tls_listen.address()]
            .into_iter()
            .chain(sip.map(Listen::address))
            .flatten()
            .map(|address| address.ip())
            .filter(|ip| !ip.is_unspecified())
    }

    /// Values that are right alone and wrong together.
    fn check(&self) -> Result<(), ConfigError> {
        let conflict = |section: &str, message: String| {
            Err(ConfigError::Conflict { section: section.to_owned(), message })
        };
        if self.http.certificate.is_some() != self.http.private_key.is_some() {
            let message = "`certificate` and `private_key` go together: give both or neither";
            return conflict("[http]", message.to_owned());
        }
        if self.http.public_url.as_ref().is_some_and(|it| it.target() != "/") {
            let message = "`public_url` is a server's, such as \"https://meet.example.org\": the page \
                           has no other place than its root";
            return conflict("[http]", message.to_owned());
        }
        if !self.webhook.urls.is_empty() {
            match &self.webhook.key {
                None => {
                    let message = "`urls` need a `key` to sign with: give the id of a [[key]]";
                    return conflict("[webhook]", message.to_owned());
                }
                Some(key) if self.keys.rights(key).is_none() => {
                    return conflict(
                        "[webhook]",
                        format!("`key` is {key:?}: no [[key]] has this id"),
                    );
                }
                Some(_) => {}
            }
        }
        if let Err(error) = self.remote_control.codes() {
            return conflict("[remote_control]", error.to_string());
        }
        let Rtp { port_min, port_max } = self.rtp;
        if port_max.checked_sub(port_min).is_none_or(|span| span < PORTS_OF_A_CALL - 1) {
            let message = format!(
                "`port_min` {port_min} to `port_max` {port_max} has no room for one call: give at \
                 least {PORTS_OF_A_CALL} ports"
            );
            return conflict("[rtp]", message);
        }
        let first = u32::from(self.sfu.udp_port);
        let last = first + u32::from(self.sfu.shards.max(1)) - 1;
        if last > u32::from(u16::MAX) {
            let message = format!("the shards' ports {first} to {last} do not all exist");
            return conflict("[sfu]", message);
        }
        if first <= u32::from(port_max) && last >= u32::from(port_min) {
            let message = format!(
                "the shards' ports {first} to {last} lie among those of [rtp], {port_min} to \
                 {port_max}"
            );
            return conflict("[sfu]", message);
        }
        Ok(())
    }
}

/// Reads a text that is not longer than `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> std::io::Result<String> {
    if fs::metadata(path)?.len() > limit {
        let message = format!("it has more than {limit} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
    }
    fs::read_to_string(path)
}

/// Reads a secret that is kept in a file, for this section.
pub fn read_secret_file(section: &str, path: &Path) -> Result<Secret, ConfigError> {
    let text = read_bounded(path, MAX_SECRET_FILE_BYTES);
    text.map(|text| Secret::new(&text)).map_err(|source| ConfigError::Secret {
        section: section.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn read_keys(entries: &[KeyEntry], dev: bool) -> Result<Keys, ConfigError> {
    let mut keys = Keys::new();
    for (index, entry) in entries.iter().enumerate() {
        let section = format!("[[key]] number {}", index + 1);
        let secret = match (&entry.secret, &entry.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => read_secret_file(&section, path)?,
            _ => {
                let message = "give either `secret` or `secret_file`".to_owned();
                return Err(ConfigError::Conflict { section, message });
            }
        };
        let rights = KeyRights {
            create_rooms: entry.rights.contains(&Right::CreateRooms),
            sip_call: entry.rights.contains(&Right::SipCall),
        };
        let added = if dev {
            keys.add_weak(&entry.id, secret.reveal(), rights)
        } else {
            keys.add(&entry.id, secret.reveal(), rights)
        };
        added.map_err(|error| ConfigError::Conflict { section, message: error.to_string() })?;
    }
    if dev && keys.rights("devkey").is_none() {
        let conflict = |error: conference::access::KeysError| ConfigError::Conflict {
            section: "[[key]]".to_owned(),
            message: error.to_string(),
        };
        keys.add_weak("devkey", "secret", KeyRights::ALL).map_err(conflict)?;
    }
    Ok(keys)
}

fn check_sip_tls(entries: &[SipTls]) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let SipTls { host, ca_file, certificate, private_key } = entry;
        let message = if host.is_empty() || host.contains([':', '/', '@', '[', ' ']) {
            format!("`host` is {host:?}: give a name or an address, without a port")
        } else if !seen.insert(host.to_ascii_lowercase()) {
            format!("there is already one for {host}")
        } else if certificate.is_some() != private_key.is_some() {
            "`certificate` and `private_key` go together".to_owned()
        } else if ca_file.is_none() && certificate.is_none() {
            "give a `ca_file`, or a `certificate` with its `private_key`".to_owned()
        } else {
            continue;
        };
        return Err(ConfigError::Conflict { section: SipTls::section(index), message });
    }
    Ok(())
}

fn read_meetings(entries: Vec<MeetingEntry>) -> Result<Vec<MeetingSettings>, ConfigError> {
    let mut seen = HashSet::new();
    let mut meetings = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let conflict = |message: String| ConfigError::Conflict {
            section: format!("[[meeting]] number {}", index + 1),
            message,
        };
        let id = MeetingId::parse(&entry.id)
            .map_err(|error| conflict(format!("`id` is {:?}: {error}", entry.id)))?;
        if !seen.insert(id.clone()) {
            return Err(conflict(format!("there is already a meeting {id}")));
        }
        if entry.host_pin.is_some() && entry.host_pin == entry.guest_pin {
            return Err(conflict("`host_pin` and `guest_pin` are the same".to_owned()));
        }
        if entry.e2ee && entry.room_systems {
            let message = "`e2ee` keeps room systems out: set `room_systems` to false";
            return Err(conflict(message.to_owned()));
        }
        let (least, _) = Limits::KBPS;
        if (1..least).contains(&entry.kbps) {
            return Err(conflict(format!("`kbps` is 0, or {least} at least")));
        }
        meetings.push(MeetingSettings {
            name: entry.name.unwrap_or_else(|| id.as_str().to_owned()),
            id,
            guest_pin: entry.guest_pin.map(Into::into),
            host_pin: entry.host_pin.map(Into::into),
            room_systems: entry.room_systems,
            layout: entry.layout,
            max_participants: entry.max_participants,
            bandwidth: (entry.kbps > 0).then(|| Bandwidth::kilobits(entry.kbps)),
            e2ee: entry.e2ee,
            lobby: entry.lobby,
            mute_on_entry: entry.mute_on_entry,
            guests: entry.guests.into(),
            attendees_listen: entry.attendees_listen,
        });
    }
    Ok(meetings)
}

impl Http {
    /// How people reach this server, where that is known: `https://host`.
    pub fn public_url(&self) -> Option<String> {
        Some(self.public_url.as_ref()?.server.to_string())
    }
}

impl SipTls {
    /// How errors name the section that stands at this place among its like, from 0.
    pub fn section(index: usize) -> String {
        format!("[[sip_tls]] number {}", index + 1)
    }
}

#[cfg(test)]
mod tests;
