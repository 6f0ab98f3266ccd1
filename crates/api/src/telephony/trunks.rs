//! `/api/v1/trunks`: other servers and telephone exchanges.

use std::collections::BTreeMap;

use conference::kept::KeptError;
use conference::people::{Right, Vault};
use conference::problem::Problems;
use conference::telephony::{
    CallerIdentity, Register, SealedSecret, SrtpPolicy, Transport, Trunk, TrunkKind,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kept::{Shown, given, parsed_all, words};

/// Another server or a telephone exchange.
// No Debug: it may hold a password.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrunkFields)]
pub struct Fields {
    /// As people know it, 100 characters at most; no two trunks have the same.
    name: String,
    /// How both ends know each other: we register there, by the addresses that calls come from, not
    /// at all (calls only go out), or as a TrueConf Server, which is called and calls without rules.
    #[schema(schema_with = words::trunk_kind)]
    kind: TrunkKind,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    host: String,
    /// Null: what the transport has by default, or what DNS says.
    #[serde(default)]
    port: Option<u16>,
    /// Others to be tried where that one does not answer, in this order, 4 at most: a host, or
    /// host:port.
    #[serde(default)]
    backups: Vec<String>,
    /// What carries the signalling.
    #[serde(default)]
    #[schema(schema_with = words::transport)]
    transport: Transport,
    /// When we register there: as its kind says (a registered one always, others never), always, or
    /// before a call of ours.
    #[serde(default)]
    #[schema(schema_with = words::register)]
    register: Register,
    /// The addresses that its calls come from, such as 10.0.0.0/8.
    #[serde(default)]
    networks: Vec<String>,
    /// The user that we are there.
    #[serde(default)]
    user: Option<String>,
    /// That user's password; never answered.
    #[serde(default, skip_serializing, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    secret: Option<Option<String>>,
    /// Whom it sees calling.
    #[serde(default)]
    caller: CallerFields,
    /// The codecs that are offered and taken, such as audio/opus, in the order of choice; empty: all.
    #[serde(default)]
    codecs: Vec<String>,
    /// Whether media are encrypted.
    #[serde(default)]
    #[schema(schema_with = words::srtp)]
    srtp: SrtpPolicy,
    /// Kilobits a second of a call in each direction; null: as everywhere else.
    #[serde(default)]
    kbps: Option<u32>,
    /// Calls at a time in both directions; null: as many as the server takes.
    #[serde(default)]
    max_calls: Option<u32>,
    /// Seconds between two questions whether it is there; null: it is never asked.
    #[serde(default)]
    check_seconds: Option<u32>,
    /// Of a TrueConf server: numbers, each with the id that it stands for, such as anna or
    /// \\c\\7700; 1000 at most.
    #[serde(default)]
    numbers: BTreeMap<String, String>,
    /// Whatever else is worth knowing.
    #[serde(default)]
    notes: String,
}

/// Whom the other end sees calling.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrunkCaller)]
pub struct CallerFields {
    /// The number or user; empty: the meeting's number.
    #[serde(default)]
    number: String,
    /// The name; empty: the meeting's name.
    #[serde(default)]
    name: String,
}

impl Shown for Trunk {
    const PATH: &'static str = "trunks";
    const WORDS: (&'static str, &'static str) = ("trunk", "trunks");
    const SCHEMA: &'static str = "Trunk";
    const TAG: &'static str = "telephony";
    const READ: Right = Right::TelephonyRead;
    const WRITE: Right = Right::TelephonyWrite;
    const SECRET: Option<&'static str> = Some("secret");

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let trunk = self.clone();
        let CallerIdentity { number, name } = trunk.caller;
        Fields {
            name: trunk.name,
            kind: trunk.kind,
            host: trunk.host,
            port: trunk.port,
            backups: trunk.backups,
            transport: trunk.transport,
            register: trunk.register,
            networks: trunk.networks.iter().map(ToString::to_string).collect(),
            user: trunk.user,
            secret: None,
            caller: CallerFields { number, name },
            codecs: trunk.codecs,
            srtp: trunk.srtp,
            kbps: trunk.kbps,
            max_calls: trunk.max_calls,
            check_seconds: trunk.check_seconds,
            numbers: trunk.numbers,
            notes: trunk.notes,
        }
    }

    fn read(fields: Fields, before: Option<&Self>, vault: &dyn Vault) -> Result<Self, KeptError> {
        let mut problems = Problems::new();
        let networks = parsed_all(&fields.networks, "networks", &mut problems);
        problems.into_result()?;
        let secret = match fields.secret {
            None => before.and_then(|it| it.secret.clone()),
            Some(None) => None,
            Some(Some(clear)) => Some(SealedSecret::new(vault.seal(&clear)?)),
        };
        let CallerFields { number, name } = fields.caller;
        Ok(Self {
            name: fields.name,
            kind: fields.kind,
            host: fields.host,
            port: fields.port,
            backups: fields.backups,
            transport: fields.transport,
            register: fields.register,
            networks,
            user: fields.user,
            secret,
            caller: CallerIdentity { number, name },
            codecs: fields.codecs,
            srtp: fields.srtp,
            kbps: fields.kbps,
            max_calls: fields.max_calls,
            check_seconds: fields.check_seconds,
            numbers: fields.numbers,
            notes: fields.notes,
        })
    }

    fn has_secret(&self) -> bool {
        self.secret.is_some()
    }
}
