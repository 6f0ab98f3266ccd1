//! How a value is read from words and written as TOML.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use conference::access::{DialPattern, Pin};
use fetch::{Address, AddressError};
use gateway::Code;
use gateway::sip::Hop;
use types::LegLayout;

/// The kind of TOML value that a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// `true` or `false`.
    Flag,
    /// An array of strings; in an environment variable, words between commas.
    List,
}

impl Shape {
    /// For error messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "an integer",
            Self::Flag => "true or false",
            Self::List => "a list of strings",
        }
    }
}

/// A value of the configuration: a single word, or a list of them.
pub trait Setting: Sized {
    /// How it stands in TOML.
    const SHAPE: Shape;

    /// Reads the value; the error says what is allowed.
    fn read(words: &[String]) -> Result<Self, String>;

    /// Writes the value; no word at all for one that is not set.
    fn words(&self) -> Vec<String>;
}

/// Written as TOML.
pub fn to_toml(shape: Shape, words: &[String]) -> String {
    let quoted = |word: &String| toml::Value::String(word.clone()).to_string();
    match shape {
        Shape::List => format!("[{}]", words.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Shape::Text => words.first().map(quoted).unwrap_or_default(),
        Shape::Number | Shape::Flag => words.concat(),
    }
}

fn single<T: FromStr>(words: &[String], allowed: &str) -> Result<T, String> {
    let [word] = words else { return Err(format!("not one value: give {allowed}")) };
    word.trim().parse().map_err(|_| format!("{word:?}: give {allowed}"))
}

macro_rules! by_from_str {
    ($($type:ty: $shape:ident, $allowed:literal;)*) => {$(
        impl Setting for $type {
            const SHAPE: Shape = Shape::$shape;

            fn read(words: &[String]) -> Result<Self, String> {
                single(words, $allowed)
            }

            fn words(&self) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    )*};
}

by_from_str! {
    SocketAddr: Text, "an IP address and a port, such as \"0.0.0.0:7880\" or \"[::]:7880\"";
    Code: Text, "\"off\", or 2 to 6 of 0 to 9, * and # that begin with * or #";
    Address: Text, "http://host or https://host";
    u16: Number, "a whole number from 0 to 65535";
    u32: Number, "a whole number from 0 to 4294967295";
    bool: Flag, "true or false";
}

impl Setting for PathBuf {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        match words {
            [word] if !word.is_empty() => Ok(Self::from(word)),
            _ => Err("empty: give a path".to_owned()),
        }
    }

    fn words(&self) -> Vec<String> {
        vec![self.display().to_string()]
    }
}

/// Text that is not empty.
impl Setting for String {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        match words {
            [word] if !word.trim().is_empty() => Ok(word.clone()),
            _ => Err("empty: give a text".to_owned()),
        }
    }

    fn words(&self) -> Vec<String> {
        if self.is_empty() { Vec::new() } else { vec![self.clone()] }
    }
}

impl<T: Setting> Setting for Option<T> {
    const SHAPE: Shape = T::SHAPE;

    fn read(words: &[String]) -> Result<Self, String> {
        T::read(words).map(Some)
    }

    fn words(&self) -> Vec<String> {
        self.as_ref().map(Setting::words).unwrap_or_default()
    }
}

/// A PIN is written nowhere, not even in a message.
impl Setting for Pin {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        let pin = words.first().and_then(|word| word.parse().ok());
        pin.ok_or_else(|| "no PIN: give 4 to 10 digits, in quotes".to_owned())
    }

    fn words(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Text that is shown in no message and no log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` for a secret; the line break at the end of a file is not part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(****)")
    }
}

impl Setting for Secret {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        match words {
            [word] if !word.is_empty() => Ok(Self::new(word)),
            _ => Err("empty: give a text".to_owned()),
        }
    }

    fn words(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A listener that may be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Does not listen.
    Off,
    /// Listens here.
    At(SocketAddr),
}

impl Listen {
    /// The address, if it listens.
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl Setting for Listen {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        if matches!(words, [word] if word == "off") {
            return Ok(Self::Off);
        }
        single(words, "\"off\" or an IP address and a port, such as \"0.0.0.0:5060\"").map(Self::At)
    }

    fn words(&self) -> Vec<String> {
        vec![self.address().map_or_else(|| "off".to_owned(), |address| address.to_string())]
    }
}

fn list<T: FromStr>(
    words: &[String],
    allowed: impl Fn(T::Err) -> String,
) -> Result<Vec<T>, String> {
    let read = |word: &String| {
        word.trim().parse().map_err(|error| format!("wrong at {word:?}: {}", allowed(error)))
    };
    words.iter().map(read).collect()
}

fn list_words<T: Display>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

impl Setting for Vec<IpAddr> {
    const SHAPE: Shape = Shape::List;

    fn read(words: &[String]) -> Result<Self, String> {
        let addresses = list(words, |_| "give IP addresses".to_owned())?;
        let unusable = |ip: &&IpAddr| ip.is_unspecified() || ip.is_multicast();
        match addresses.iter().find(unusable) {
            Some(ip) => Err(format!("wrong at \"{ip}\": nobody can send there")),
            None => Ok(addresses),
        }
    }

    fn words(&self) -> Vec<String> {
        list_words(self)
    }
}

impl Setting for Vec<SocketAddr> {
    const SHAPE: Shape = Shape::List;

    fn read(words: &[String]) -> Result<Self, String> {
        list(words, |_| "give an IP address and a port, such as 10.0.0.53:53".to_owned())
    }

    fn words(&self) -> Vec<String> {
        list_words(self)
    }
}

impl Setting for Vec<DialPattern> {
    const SHAPE: Shape = Shape::List;

    fn read(words: &[String]) -> Result<Self, String> {
        list(words, |error| format!("{error}"))
    }

    fn words(&self) -> Vec<String> {
        list_words(self)
    }
}

impl Setting for Vec<Address> {
    const SHAPE: Shape = Shape::List;

    fn read(words: &[String]) -> Result<Self, String> {
        list(words, |error: AddressError| error.to_string())
    }

    fn words(&self) -> Vec<String> {
        list_words(self)
    }
}

/// An enum whose values are words, and its [`Setting`].
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$value_doc:meta])* $value:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$value_doc])* $value,)+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$value => $word,)+ })
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(format!("give {}", [$(concat!("\"", $word, "\"")),+].join(" or "))),
                }
            }
        }
    };
}

words! {
    /// How log lines are written.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// Whether a room system's media must be encrypted.
    pub enum Srtp {
        /// Encrypted where the room system can.
        Allowed = "allowed",
        /// Calls without encryption are refused.
        Required = "required",
    }
}

words! {
    /// What guests of a meeting are.
    pub enum GuestRole {
        /// They may publish everything.
        Presenter = "presenter",
        /// They share no screen.
        Attendee = "attendee",
    }
}

impl From<GuestRole> for room::Role {
    fn from(role: GuestRole) -> Self {
        match role {
            GuestRole::Presenter => Self::Presenter,
            GuestRole::Attendee => Self::Attendee,
        }
    }
}

words! {
    /// What tokens of a key may grant beyond rights over a room that exists.
    pub enum Right {
        /// Create rooms.
        CreateRooms = "create_rooms",
        /// Dial out.
        SipCall = "sip_call",
    }
}

macro_rules! single_word {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            const SHAPE: Shape = Shape::Text;

            fn read(words: &[String]) -> Result<Self, String> {
                let word = words.first().map(String::as_str).unwrap_or_default();
                word.parse().map_err(|allowed| format!("{word:?}: {allowed}"))
            }

            fn words(&self) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    )*};
}

single_word!(GuestRole LogFormat Srtp LegLayout PictureSize OutboundProxy);

impl Setting for Vec<Right> {
    const SHAPE: Shape = Shape::List;

    fn read(words: &[String]) -> Result<Self, String> {
        list(words, |allowed| allowed)
    }

    fn words(&self) -> Vec<String> {
        list_words(self)
    }
}

/// A proxy that calls go over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundProxy {
    text: String,
    /// Where it is.
    pub hop: Hop,
}

impl Display for OutboundProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for OutboundProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hop = Hop::read(text).map_err(|_| {
            "give a host, \"host:port\", or \"sip:host;transport=tcp\" (\"tls\")".to_owned()
        })?;
        Ok(Self { text: text.to_owned(), hop })
    }
}

/// A picture's size in pixels, as `1280x720`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl PictureSize {
    /// SQCIF, which every room system knows.
    const SMALLEST: Self = Self { width: 128, height: 96 };
    const LARGEST: Self = Self { width: 1920, height: 1080 };
}

impl Display for PictureSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for PictureSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = (Self::SMALLEST, Self::LARGEST);
        let side = |text: &str, least, most| {
            let side: u16 = text.parse().ok()?;
            ((least..=most).contains(&side) && side.is_multiple_of(2)).then_some(side)
        };
        let read = || {
            let (width, height) = text.split_once('x')?;
            let width = side(width, least.width, most.width)?;
            let height = side(height, least.height, most.height)?;
            Some(Self { width, height })
        };
        read().ok_or_else(|| {
            format!("give width and height, even numbers from \"{least}\" to \"{most}\"")
        })
    }
}

/// What `[log] filter` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Setting for LogFilter {
    const SHAPE: Shape = Shape::Text;

    fn read(words: &[String]) -> Result<Self, String> {
        let text = words.first().map(String::as_str).unwrap_or_default();
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?}: give a level or `target=level` between commas")),
        }
    }

    fn words(&self) -> Vec<String> {
        vec![self.0.clone()]
    }
}
