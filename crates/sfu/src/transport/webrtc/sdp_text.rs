//! What str0m cannot say in an SDP body, read from and written into the text.
//!
//! As an answerer str0m takes `a=msid` from the remote or at random; LiveKit's clients find tracks
//! by it. So every answer is rewritten section by section.

use std::fmt::Write;

use types::{MediaKind, VideoCodec};

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
    /// Left as str0m wrote it, but for what the publisher's encoders are asked.
    Publishes {
        /// Of Opus.
        audio: AudioHints,
        /// Which codec of a picture the client wants to send.
        codec: Option<VideoCodec>,
    },
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
                Rewriting::Publishes { audio, .. } if line.starts_with("m=audio ") => {
                    push_line(out, &last(line, red.filter(|_| !audio.redundancy)));
                }
                Rewriting::Publishes { codec, .. } if line.starts_with("m=video ") => {
                    push_line(out, &first(line, codec.and_then(|it| self.format_of(it))));
                }
                Rewriting::Publishes { audio, .. } => write_publishing(line, opus, *audio, out),
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

    fn payload_type(&self, codec: &'static str) -> Option<&str> {
        self.payload_types(codec).next()
    }

    fn payload_types(&self, codec: &'static str) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(move |line| {
            let (pt, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            name.split('/').next()?.eq_ignore_ascii_case(codec).then_some(pt)
        })
    }

    /// In which format a client is to send a codec. VP8 is not asked for: who can send it offers it
    /// first, or has another first on purpose, as old clients do that name no codec.
    fn format_of(&self, codec: VideoCodec) -> Option<&str> {
        match codec {
            VideoCodec::Vp8 => None,
            VideoCodec::Vp9 => self.payload_type("VP9"),
            VideoCodec::Av1 => self.payload_type("AV1"),
            VideoCodec::H264 => {
                self.payload_types("H264").min_by_key(|pt| self.unfitness_for_rooms(pt))
            }
        }
    }

    /// Room systems read constrained baseline; browsers send mode 1 best, which needs no small
    /// slices.
    fn unfitness_for_rooms(&self, pt: &str) -> u8 {
        let parameters = self.lines.iter().find_map(|line| {
            let (of, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
            (of == pt).then(|| parameters.to_ascii_lowercase())
        });
        let parameters = parameters.unwrap_or_default();
        let baseline = parameters.contains("profile-level-id=42e0")
            || parameters.contains("profile-level-id=42c0");
        let mode_1 = parameters.contains("packetization-mode=1");
        u8::from(!baseline) * 2 + u8::from(!mode_1)
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

/// Words of an `m=` line before the formats.
const BEFORE_FORMATS: usize = 3;

/// A client sends the first format that it knows; the unwanted one comes last.
fn last(line: &str, unwanted: Option<&str>) -> String {
    let Some(unwanted) = unwanted else { return line.to_owned() };
    let words = line.split(' ').enumerate();
    let wanted = words.filter(|(at, word)| *at < BEFORE_FORMATS || *word != unwanted);
    wanted.map(|it| it.1).chain([unwanted]).collect::<Vec<_>>().join(" ")
}

/// A client sends the first format that it knows: this one.
fn first(line: &str, wanted: Option<&str>) -> String {
    let Some(wanted) = wanted else { return line.to_owned() };
    let head = line.split(' ').take(BEFORE_FORMATS);
    let others = line.split(' ').skip(BEFORE_FORMATS).filter(|it| *it != wanted);
    head.chain([wanted]).chain(others).collect::<Vec<_>>().join(" ")
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
            let publishes = Rewriting::Publishes { audio: hints, codec: None };
            split(body).unwrap()[1].write(&publishes, &mut out);
            out.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(first_line(false), "m=audio 9 UDP/TLS/RTP/SAVPF 111 63");
        assert_eq!(first_line(true), "m=audio 9 UDP/TLS/RTP/SAVPF 63 111");
    }

    #[test]
    fn the_codec_that_the_publisher_wants_comes_first() {
        let body = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104 98\r\na=mid:1\r\n\
            a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
            a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42001f\r\n\
            a=rtpmap:103 H264/90000\r\na=fmtp:103 packetization-mode=0;profile-level-id=42e01f\r\n\
            a=rtpmap:104 H264/90000\r\na=fmtp:104 packetization-mode=1;profile-level-id=42e01f\r\n\
            a=rtpmap:98 VP9/90000\r\n";
        let formats = |codec| {
            let publishes = Rewriting::Publishes { audio: AudioHints::default(), codec };
            let mut out = String::new();
            split(body).unwrap()[1].write(&publishes, &mut out);
            let line = out.lines().next().unwrap_or_default();
            line.strip_prefix("m=video 9 UDP/TLS/RTP/SAVPF ").unwrap().to_owned()
        };
        for untouched in [None, Some(VideoCodec::Vp8), Some(VideoCodec::Av1)] {
            assert_eq!(formats(untouched), "96 97 102 103 104 98", "{untouched:?}");
        }
        // Constrained baseline in mode 1, for all that room systems can take of it.
        assert_eq!(formats(Some(VideoCodec::H264)), "104 96 97 102 103 98");
        assert_eq!(formats(Some(VideoCodec::Vp9)), "98 96 97 102 103 104");
    }

    #[test]
    fn the_publishers_encoder_is_asked_for_dtx_and_stereo() {
        let mut out = String::new();
        let audio = AudioHints { dtx: true, stereo: true, redundancy: true };
        split(BODY).unwrap()[1].write(&Rewriting::Publishes { audio, codec: None }, &mut out);
        assert!(out.contains("useinbandfec=1;usedtx=1;stereo=1\r\n"), "{out}");
    }
}
