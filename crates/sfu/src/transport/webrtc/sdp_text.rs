//! What str0m cannot say in an SDP body, read from and written into the text.
//!
//! As an answerer str0m takes `a=msid` from the remote or at random; LiveKit's clients find tracks
//! by it. So every answer is rewritten section by section.

use std::fmt::Write;

use types::MediaKind;

use crate::command::{AudioHints, TrackLabel};

/// More than any client sends: a meeting of hundreds has two sections a participant.
const MAX_SECTIONS: usize = 2000;

/// One `m=` section of a body, or the lines before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    lines: Vec<String>,
}

/// What a client's section is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionRole {
    /// `a=mid`.
    pub mid: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// The client sends on it.
    pub sends: bool,
    /// The client receives on it.
    pub receives: bool,
    /// The client's id of the track it sends: the second part of `a=msid`.
    pub cid: Option<String>,
}

/// How an answered section is to be rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewriting {
    /// Left as str0m wrote it, but for what the publisher's Opus encoder is asked.
    Publishes(AudioHints),
    /// Carries this track to the client.
    Carries(TrackLabel),
    /// Carries nothing now.
    Spare,
}

/// Splits a body. `None` if it has too many sections.
pub fn split(sdp: &str) -> Option<Vec<Section>> {
    let mut sections = vec![Section { lines: Vec::new() }];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            if sections.len() > MAX_SECTIONS {
                return None;
            }
            sections.push(Section { lines: Vec::new() });
        }
        if let Some(section) = sections.last_mut() {
            section.lines.push(line.trim_end().to_owned());
        }
    }
    Some(sections)
}

impl Section {
    fn value(&self, prefix: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(prefix))
    }

    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|it| it == line)
    }

    /// `a=mid`.
    pub fn mid(&self) -> Option<&str> {
        self.value("a=mid:")
    }

    /// The section's role, if it is one for sound or picture.
    pub fn role(&self) -> Option<SectionRole> {
        let first = self.lines.first()?;
        let kind = if first.starts_with("m=audio") {
            MediaKind::Audio
        } else if first.starts_with("m=video") {
            MediaKind::Video
        } else {
            return None;
        };
        let rejected = first.split(' ').nth(1) == Some("0") && !self.has("a=bundle-only");
        let (send, receive, none) =
            (self.has("a=sendonly"), self.has("a=recvonly"), self.has("a=inactive"));
        Some(SectionRole {
            mid: self.mid()?.to_owned(),
            kind,
            sends: !rejected && !receive && !none,
            receives: !rejected && !send && !none,
            cid: self.value("a=msid:").and_then(|msid| msid.split(' ').nth(1)).map(str::to_owned),
        })
    }

    /// Appends the section, rewritten, to `out`.
    pub fn write(&self, rewriting: &Rewriting, out: &mut String) {
        let (opus, red) = (self.payload_type("opus"), self.payload_type("red"));
        for line in &self.lines {
            match rewriting {
                Rewriting::Publishes(hints) if line.starts_with("m=audio ") => {
                    push_line(out, &by_preference(line, red.filter(|_| !hints.redundancy)));
                }
                Rewriting::Publishes(hints) => write_publishing(line, opus, *hints, out),
                Rewriting::Carries(label) => write_carrying(line, label, out),
                Rewriting::Spare => write_spare(line, out),
            }
        }
    }

    /// Appends the section as it is.
    pub fn write_plain(&self, out: &mut String) {
        for line in &self.lines {
            push_line(out, line);
        }
    }

    fn payload_type(&self, codec: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (pt, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            name.split('/').next()?.eq_ignore_ascii_case(codec).then_some(pt)
        })
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

/// A client sends the first format that it knows; the unwanted one comes last.
fn by_preference(line: &str, unwanted: Option<&str>) -> String {
    let Some(unwanted) = unwanted else { return line.to_owned() };
    // The first three words are not formats.
    let words = line.split(' ').enumerate();
    let wanted = words.filter(|(at, word)| *at < 3 || *word != unwanted).map(|it| it.1);
    wanted.chain([unwanted]).collect::<Vec<_>>().join(" ")
}

fn write_publishing(line: &str, opus: Option<&str>, hints: AudioHints, out: &mut String) {
    let is_opus_fmtp = opus.is_some_and(|pt| {
        line.strip_prefix("a=fmtp:")
            .and_then(|rest| rest.split_once(' '))
            .is_some_and(|it| it.0 == pt)
    });
    if !is_opus_fmtp {
        return push_line(out, line);
    }
    out.push_str(line);
    if hints.dtx && !line.contains("usedtx") {
        out.push_str(";usedtx=1");
    }
    if hints.stereo && !line.contains("stereo=") {
        out.push_str(";stereo=1");
    }
    out.push_str("\r\n");
}

fn write_carrying(line: &str, label: &TrackLabel, out: &mut String) {
    let (stream, track) = (label.stream(), &label.track);
    // Writing to a String cannot fail.
    if line.starts_with("a=msid:") {
        let _ = write!(out, "a=msid:{stream} {track}\r\n");
    } else if let Some((ssrc, _)) =
        line.split_once(" msid:").filter(|_| line.starts_with("a=ssrc:"))
    {
        let _ = write!(out, "{ssrc} msid:{stream} {track}\r\n");
    } else {
        push_line(out, line);
    }
}

fn write_spare(line: &str, out: &mut String) {
    if line == "a=sendonly" || line == "a=sendrecv" {
        push_line(out, "a=inactive");
    } else if !line.starts_with("a=msid:") && !line.starts_with("a=ssrc") {
        push_line(out, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n\
        a=msid:S cid-1\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=msid:x y\r\n\
        a=ssrc:7 cname:c\r\na=ssrc:7 msid:x y\r\nm=application 9 UDP/DTLS/SCTP w\r\na=mid:2\r\n";

    #[test]
    fn sections_tell_what_they_are_for() {
        let sections = split(BODY).unwrap();
        assert_eq!(sections.len(), 4);
        assert_eq!(sections[0].role(), None);
        let audio = sections[1].role().unwrap();
        assert_eq!((audio.mid.as_str(), audio.kind), ("0", MediaKind::Audio));
        assert_eq!((audio.sends, audio.receives), (true, false));
        assert_eq!(audio.cid.as_deref(), Some("cid-1"));
        assert_eq!(sections[3].role(), None);
        assert_eq!(sections[3].mid(), Some("2"));
    }

    #[test]
    fn a_carrying_section_names_its_track() {
        let label = TrackLabel { publisher: "PA_1".into(), track: "TR_1".into(), group: None };
        let mut out = String::new();
        split(BODY).unwrap()[2].write(&Rewriting::Carries(label.clone()), &mut out);
        assert!(out.contains("a=msid:PA_1|TR_1 TR_1\r\n"), "{out}");
        assert!(out.contains("a=ssrc:7 msid:PA_1|TR_1 TR_1\r\n"), "{out}");
        assert!(out.contains("a=ssrc:7 cname:c\r\n"), "{out}");

        let label = TrackLabel { group: Some("camera"), ..label };
        out.clear();
        split(BODY).unwrap()[2].write(&Rewriting::Carries(label), &mut out);
        assert!(out.contains("a=msid:PA_1|camera TR_1\r\n"), "{out}");
    }

    #[test]
    fn a_spare_section_is_inactive_and_names_nothing() {
        let mut out = String::new();
        split(BODY).unwrap()[2].write(&Rewriting::Spare, &mut out);
        assert!(out.contains("a=inactive\r\n") && !out.contains("ssrc") && !out.contains("msid"));
    }

    #[test]
    fn redundancy_that_is_not_wanted_comes_last() {
        let body = "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:0\r\na=rtpmap:63 red/48000/2\r\n\
            a=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\n";
        let first_line = |redundancy| {
            let hints = AudioHints { redundancy, ..AudioHints::default() };
            let mut out = String::new();
            split(body).unwrap()[1].write(&Rewriting::Publishes(hints), &mut out);
            out.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(first_line(false), "m=audio 9 UDP/TLS/RTP/SAVPF 111 63");
        assert_eq!(first_line(true), "m=audio 9 UDP/TLS/RTP/SAVPF 63 111");
    }

    #[test]
    fn the_publishers_encoder_is_asked_for_dtx_and_stereo() {
        let mut out = String::new();
        let hints = AudioHints { dtx: true, stereo: true, redundancy: true };
        split(BODY).unwrap()[1].write(&Rewriting::Publishes(hints), &mut out);
        assert!(out.contains("useinbandfec=1;usedtx=1;stereo=1\r\n"), "{out}");
    }
}
