//! One declaration a section: its keys with their documentation, type, default and range. The
//! structs, the reader, the environment's names and `plenum.example.toml` all come from it, so
//! that they cannot disagree.

use super::setting::Shape;

/// A key as the example file and the error messages need it.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub doc: &'static [&'static str],
    /// How it stands in TOML.
    pub shape: Shape,
    /// What holds where nothing is said; empty: not set.
    pub default: Vec<String>,
    /// What the example shows where the default is not set or would teach little.
    pub example: Option<&'static str>,
}

/// A section of the file.
pub trait Section: Sized {
    /// Its name, without brackets.
    const NAME: &'static str;
    /// Its documentation, line by line.
    const DOC: &'static [&'static str];

    /// What holds where nothing is said, with `--dev` or without.
    fn base(dev: bool) -> Self;

    /// Its keys, in the order of their declaration.
    fn keys() -> Vec<Key>;

    /// Gives `key` a value; the error says what is allowed. `None`: there is no such key.
    fn set(&mut self, key: &str, words: &[String]) -> Option<Result<(), String>>;
}

/// Refuses what is no number of `range`; the message names the range whatever was wrong.
pub fn within<T: PartialOrd + std::fmt::Display>(
    read: Result<T, String>,
    words: &[String],
    range: std::ops::RangeInclusive<T>,
) -> Result<T, String> {
    read.ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let (start, end) = (range.start(), range.end());
        format!("{}: give a whole number from {start} to {end}", words.join(","))
    })
}

/// `key: Type [range] = default [, dev dev_default] [, example "…"];`
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        [$section:literal] pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty $([$range:expr])? = $default:expr
                    $(, dev $dev:expr)? $(, example $example:literal)?;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl $crate::config::section::Section for $name {
            const NAME: &'static str = $section;
            const DOC: &'static [&'static str] = &[$($section_doc),+];

            #[allow(clippy::needless_update, reason = "a section may have a single key")]
            fn base(dev: bool) -> Self {
                let base = Self { $($key: $default,)+ };
                $($(let base = if dev { Self { $key: $dev, ..base } } else { base };)?)+
                // A section whose keys are the same with --dev does not ask.
                let _ = dev;
                base
            }

            fn keys() -> Vec<$crate::config::section::Key> {
                let base = <Self as $crate::config::section::Section>::base(false);
                vec![$($crate::config::section::Key {
                    name: stringify!($key),
                    doc: &[$($doc),+],
                    shape: <$type as $crate::config::setting::Setting>::SHAPE,
                    default: $crate::config::setting::Setting::words(&base.$key),
                    example: section!(@example $($example)?),
                }),+]
            }

            fn set(&mut self, key: &str, words: &[String]) -> Option<Result<(), String>> {
                let read = match key {
                    $(stringify!($key) => {
                        let read = <$type as $crate::config::setting::Setting>::read(words);
                        $(let read = $crate::config::section::within(read, words, $range);)?
                        read.map(|value| self.$key = value)
                    })+
                    _ => return None,
                };
                Some(read)
            }
        }
    };
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
}

pub(super) use section;
