//! The annotated example: every section and key with its documentation, and its default or, where
//! there is none, an example.

use std::fmt::Write;

use super::section::{Key, Section};
use super::sections::{
    Data, History, Http, KeyEntry, Log, MeetingEntry, RemoteControl, Rtp, Sfu, Sip, SipTls, Webhook,
};
use super::setting::{Shape, to_toml};

const HEAD: &str = "\
# Plenum's configuration, every key of it with its default or an example.
#
# Lines that begin with \"#\" and a letter or bracket can be put to use by taking the \"#\" away.
# Every key can be overridden by an environment variable PLENUM_<SECTION>_<KEY>, such as
# PLENUM_HTTP_LISTEN; of sections that repeat, entries are numbered: PLENUM_MEETING_1_GUEST_PIN.
# This file is generated from the program's own definitions: change them, not it.
";

/// The text of `plenum.example.toml`.
pub fn example() -> String {
    let mut out = HEAD.to_owned();
    single::<Data>(&mut out);
    single::<Http>(&mut out);
    single::<Sfu>(&mut out);
    single::<Sip>(&mut out);
    single::<RemoteControl>(&mut out);
    single::<Rtp>(&mut out);
    single::<Webhook>(&mut out);
    single::<History>(&mut out);
    single::<Log>(&mut out);
    repeated::<KeyEntry>(&mut out);
    repeated::<SipTls>(&mut out);
    repeated::<MeetingEntry>(&mut out);
    out
}

fn single<S: Section>(out: &mut String) {
    document(out, S::DOC);
    // Writing into a String cannot fail.
    let _ = writeln!(out, "[{}]", S::NAME);
    S::keys().iter().for_each(|key| key_lines(out, key));
}

fn repeated<S: Section>(out: &mut String) {
    document(out, S::DOC);
    let _ = writeln!(out, "#[[{}]]", S::NAME);
    S::keys().iter().for_each(|key| key_lines(out, key));
}

fn document(out: &mut String, doc: &[&str]) {
    out.push('\n');
    comment(out, doc);
}

fn comment(out: &mut String, doc: &[&str]) {
    for line in doc {
        let _ = writeln!(out, "# {}", line.trim());
    }
}

fn key_lines(out: &mut String, key: &Key) {
    comment(out, key.doc);
    let shown = match (&key.example, key.shape) {
        (Some(example), Shape::Text) if !example.starts_with('"') => format!("\"{example}\""),
        (Some(example), _) => (*example).to_owned(),
        (None, shape) => to_toml(shape, &key.default),
    };
    let default = match (key.example.is_some(), key.default.is_empty()) {
        (true, false) => format!("  # default: {}", to_toml(key.shape, &key.default)),
        _ => String::new(),
    };
    let _ = writeln!(out, "#{} = {shown}{default}", key.name);
}
