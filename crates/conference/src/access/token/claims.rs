//! The claims as they stand in a token's JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{Identity, ParticipantKind, TrackSource};

use super::{Grant, Kind, SipGrant, TokenError, VideoGrant};

/// Every field may be absent or `null`: applications fill in what they have.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Claims {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Seconds since 1970; a fraction is legal (RFC 7519 section 2, NumericDate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<String, Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<VideoClaims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip: Option<SipClaims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VideoClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    room_join: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_create: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_list: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_admin: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_subscribe: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_publish_data: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_publish_sources: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    can_update_own_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorder: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_room: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct SipClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<bool>,
}

impl Claims {
    /// Writes a grant down, without its times.
    pub fn of(grant: &Grant) -> Self {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let attributes: BTreeMap<_, _> = grant
            .attributes
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())))
            .collect();
        let kind = grant.kind.0;
        Self {
            iss: Some(grant.issuer.clone()),
            sub: grant.identity.as_ref().map(|identity| identity.as_str().to_owned()),
            exp: None,
            nbf: None,
            name: text(&grant.name),
            metadata: text(&grant.metadata),
            attributes: (!attributes.is_empty()).then_some(attributes),
            kind: (kind != ParticipantKind::Standard).then(|| kind_text(kind).to_owned()),
            video: Some(VideoClaims::of(&grant.video)),
            sip: (grant.sip != SipGrant::default())
                .then(|| SipClaims { admin: set(grant.sip.admin), call: set(grant.sip.call) }),
            sha256: grant.sha256.clone(),
        }
    }

    /// Reads a grant out of the claims.
    pub fn grant(self) -> Result<Grant, TokenError> {
        let kind = match self.kind.as_deref() {
            None | Some("") => ParticipantKind::Standard,
            Some(text) => kind_of(text)?,
        };
        let attributes = self.attributes.unwrap_or_default();
        let sip = self.sip.unwrap_or_default();
        Ok(Grant {
            issuer: self.iss.unwrap_or_default(),
            identity: filled(self.sub).map(Identity::new),
            name: self.name.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            attributes: attributes.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
            kind: Kind(kind),
            video: self.video.unwrap_or_default().grant(),
            sip: SipGrant {
                admin: sip.admin.unwrap_or_default(),
                call: sip.call.unwrap_or_default(),
            },
            sha256: self.sha256,
        })
    }
}

impl VideoClaims {
    fn of(grant: &VideoGrant) -> Self {
        let sources = grant.can_publish_sources.as_ref();
        Self {
            room_join: set(grant.room_join),
            room: grant.room.clone(),
            room_create: set(grant.room_create),
            room_list: set(grant.room_list),
            room_admin: set(grant.room_admin),
            room_record: set(grant.room_record),
            // An empty list would mean every source, so an empty choice becomes no right at all.
            can_publish: Some(grant.can_publish && sources.is_none_or(|list| !list.is_empty())),
            can_subscribe: Some(grant.can_subscribe),
            can_publish_data: Some(grant.can_publish_data),
            can_publish_sources: sources
                .map(|list| list.iter().map(|source| source_text(*source).to_owned()).collect()),
            can_update_own_metadata: set(grant.can_update_own_metadata),
            hidden: set(grant.hidden),
            recorder: set(grant.recorder),
            destination_room: grant.destination_room.clone(),
        }
    }

    fn grant(self) -> VideoGrant {
        let can_publish = self.can_publish.unwrap_or(true);
        // A source that we do not know is dropped, yet the list still limits: it must not turn
        // into "every source" because nothing of it is left.
        let sources = self
            .can_publish_sources
            .filter(|list| !list.is_empty())
            .map(|list| list.iter().filter_map(|text| source_of(text)).collect());
        VideoGrant {
            room_join: self.room_join.unwrap_or_default(),
            room: filled(self.room),
            room_create: self.room_create.unwrap_or_default(),
            room_list: self.room_list.unwrap_or_default(),
            room_admin: self.room_admin.unwrap_or_default(),
            room_record: self.room_record.unwrap_or_default(),
            can_publish,
            can_subscribe: self.can_subscribe.unwrap_or(true),
            can_publish_data: self.can_publish_data.unwrap_or(can_publish),
            can_publish_sources: sources,
            can_update_own_metadata: self.can_update_own_metadata.unwrap_or_default(),
            hidden: self.hidden.unwrap_or_default(),
            recorder: self.recorder.unwrap_or_default(),
            destination_room: filled(self.destination_room),
        }
    }
}

fn set(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

const fn source_text(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Unknown => "unknown",
        TrackSource::Camera => "camera",
        TrackSource::Microphone => "microphone",
        TrackSource::ScreenShare => "screen_share",
        TrackSource::ScreenShareAudio => "screen_share_audio",
    }
}

fn source_of(text: &str) -> Option<TrackSource> {
    [
        TrackSource::Camera,
        TrackSource::Microphone,
        TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio,
    ]
    .into_iter()
    .find(|source| text.eq_ignore_ascii_case(source_text(*source)))
}

const fn kind_text(kind: ParticipantKind) -> &'static str {
    match kind {
        ParticipantKind::Standard => "standard",
        ParticipantKind::Sip => "sip",
        ParticipantKind::Agent => "agent",
    }
}

/// LiveKit's other kinds take part here as anybody does.
fn kind_of(text: &str) -> Result<ParticipantKind, TokenError> {
    match text {
        "standard" | "ingress" | "egress" | "connector" | "bridge" => Ok(ParticipantKind::Standard),
        "sip" => Ok(ParticipantKind::Sip),
        "agent" => Ok(ParticipantKind::Agent),
        _ => Err(TokenError::Malformed("its kind is not known")),
    }
}
