//! `/api/v1/devices`: room systems of the house.

use conference::kept::KeptError;
use conference::people::{Right, Vault};
use conference::problem::{ProblemCode, Problems};
use conference::telephony::{Device, DigestVerifier, REALM};
use serde::{Deserialize, Serialize};
use types::{LegLayout, MeetingId};
use utoipa::ToSchema;

use crate::kept::{Shown, given, parsed_all, words};

/// A room system of the house.
// No Debug: it may hold a password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeviceFields)]
pub struct Fields {
    /// As people know it, 100 characters at most; no two devices have the same.
    name: String,
    /// What is dialled to call it: 2 to 5 digits, or a name with a letter.
    extension: String,
    /// The user that it registers as; null: it does not register.
    #[serde(default)]
    sip_user: Option<String>,
    /// What it registers with, 8 characters at least; never answered. It is kept as digests that
    /// hold for this user alone.
    #[serde(default, skip_serializing, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    password: Option<Option<String>>,
    /// Whether it may register by MD5, as most room systems do; turning it on needs the password.
    #[serde(default = "yes")]
    md5: bool,
    /// From where it may register and call, such as 10.0.0.0/8; empty: from everywhere.
    #[serde(default)]
    networks: Vec<String>,
    /// How others are arranged in its picture; null: as its meeting says.
    #[serde(default)]
    #[schema(schema_with = words::layout)]
    layout: Option<LegLayout>,
    /// Kilobits a second of a call in each direction; null: as everywhere else.
    #[serde(default)]
    kbps: Option<u32>,
    /// Where it stands.
    #[serde(default)]
    location: String,
    /// Whatever else is worth knowing.
    #[serde(default)]
    notes: String,
}

const fn yes() -> bool {
    true
}

impl Shown for Device {
    const PATH: &'static str = "devices";
    const WORDS: (&'static str, &'static str) = ("device", "devices");
    const SCHEMA: &'static str = "Device";
    const TAG: &'static str = "telephony";
    const READ: Right = Right::TelephonyRead;
    const WRITE: Right = Right::TelephonyWrite;
    const SECRET: Option<&'static str> = Some("password");

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let device = self.clone();
        Fields {
            name: device.name,
            extension: device.extension.to_string(),
            sip_user: device.sip_user,
            password: None,
            md5: device.verifier.is_none_or(|it| it.md5().is_some()),
            networks: device.networks.iter().map(ToString::to_string).collect(),
            layout: device.layout,
            kbps: device.kbps,
            location: device.location,
            notes: device.notes,
        }
    }

    fn read(fields: Fields, before: Option<&Self>, _: &dyn Vault) -> Result<Self, KeptError> {
        let mut problems = Problems::new();
        let extension = MeetingId::parse(&fields.extension)
            .map_err(|error| problems.add("extension", ProblemCode::Format, error.to_string()));
        let networks = parsed_all(&fields.networks, "networks", &mut problems);
        let before = before.and_then(|it| it.verifier.clone());
        let verifier = verifier(&fields, before, &mut problems);
        let Fields { name, sip_user, layout, kbps, location, notes, .. } = fields;
        match extension {
            Ok(extension) if problems.is_empty() => Ok(Self {
                name,
                extension,
                sip_user,
                verifier,
                networks,
                layout,
                kbps,
                location,
                notes,
            }),
            _ => Err(problems.into()),
        }
    }

    fn has_secret(&self) -> bool {
        self.verifier.is_some()
    }
}

fn verifier(
    fields: &Fields,
    before: Option<DigestVerifier>,
    problems: &mut Problems,
) -> Option<DigestVerifier> {
    let Some(password) = fields.password.as_ref() else {
        let wants_md5 = before.as_ref().is_some_and(|it| fields.md5 && it.md5().is_none());
        let text = "give the password too: what is kept of it does not do for MD5";
        problems.ensure(!wants_md5, "password", ProblemCode::Required, text);
        return if fields.md5 { before } else { before.map(DigestVerifier::without_md5) };
    };
    let password = password.as_ref()?;
    let Some(user) = &fields.sip_user else {
        let text = "a device without a user does not register, and has no password";
        problems.add("password", ProblemCode::Conflict, text);
        return None;
    };
    let long = password.chars().count() >= DigestVerifier::MIN_PASSWORD;
    let text = format!("give at least {} characters", DigestVerifier::MIN_PASSWORD);
    problems.ensure(long, "password", ProblemCode::Format, &text);
    Some(DigestVerifier::of(user, REALM, password, fields.md5))
}
