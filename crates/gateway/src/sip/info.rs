//! What INFO carries: key frame requests (RFC 5168) and touch tones.

use super::Tone;

/// The body that asks a peer for a key frame (RFC 5168 section 7.1).
pub(super) const PICTURE_FAST_UPDATE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n\
    <media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder>\
    </vc_primitive></media_control>\r\n";

/// The type of that body.
pub(super) const MEDIA_CONTROL: &str = "application/media_control+xml";

/// What a 415 says that we take.
pub(super) const ACCEPTED: &str =
    "application/media_control+xml, application/dtmf-relay, application/dtmf";

/// The longest tone that is believed, in milliseconds.
const MAX_TONE_MS: u16 = 5000;

/// The duration of a tone that does not say, in milliseconds.
const DEFAULT_TONE_MS: u16 = 160;

/// What an INFO means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Info {
    PictureFastUpdate,
    Dtmf(Tone),
    /// A known type that asks for nothing we know, or no body at all: answered 200.
    Other,
    /// Answered 415.
    Unsupported,
}

/// Reads an INFO. Never fails: what is damaged is [`Info::Other`].
pub(super) fn parse(content_type: Option<&str>, body: &[u8]) -> Info {
    if body.is_empty() {
        return Info::Other;
    }
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let text = String::from_utf8_lossy(body);
    if media_type.eq_ignore_ascii_case(MEDIA_CONTROL) {
        if asks_for_picture(&text) { Info::PictureFastUpdate } else { Info::Other }
    } else if media_type.eq_ignore_ascii_case("application/dtmf-relay") {
        relay(&text).map_or(Info::Other, Info::Dtmf)
    } else if media_type.eq_ignore_ascii_case("application/dtmf") {
        digit(text.trim())
            .map_or(Info::Other, |digit| Info::Dtmf(Tone { digit, duration_ms: DEFAULT_TONE_MS }))
    } else {
        Info::Unsupported
    }
}

/// Whether an element of that name stands in the text, whatever its namespace prefix. No XML
/// parser: the devices' documents differ in everything but this name.
fn asks_for_picture(text: &str) -> bool {
    text.split('<').skip(1).any(|element| {
        let name = element
            .split(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))
            .next()
            .unwrap_or_default();
        name.rsplit(':').next() == Some("picture_fast_update")
    })
}

fn relay(text: &str) -> Option<Tone> {
    let mut tone = None;
    let mut duration_ms = DEFAULT_TONE_MS;
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        if name.trim().eq_ignore_ascii_case("signal") {
            tone = digit(value.trim());
        } else if name.trim().eq_ignore_ascii_case("duration") {
            duration_ms = value.trim().parse().unwrap_or(DEFAULT_TONE_MS).min(MAX_TONE_MS);
        }
    }
    Some(Tone { digit: tone?, duration_ms })
}

fn digit(text: &str) -> Option<char> {
    let text = match text {
        "10" => "*",
        "11" => "#",
        other => other,
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(c @ ('0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d')), None) => {
            Some(c.to_ascii_uppercase())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(text: &str) -> Info {
        parse(Some("application/media_control+xml; charset=utf-8"), text.as_bytes())
    }

    #[test]
    fn key_frame_requests_as_vendors_write_them() {
        assert_eq!(xml(PICTURE_FAST_UPDATE), Info::PictureFastUpdate);
        let spread = " <media_control>\n  <vc_primitive>\n   <to_encoder>\n    \
            <picture_fast_update>\n    </picture_fast_update>";
        assert_eq!(xml(spread), Info::PictureFastUpdate);
        assert_eq!(xml("<a:picture_fast_update a='1'/>"), Info::PictureFastUpdate);
        assert_eq!(xml("<media_control><general_error>no</general_error>"), Info::Other);
        assert_eq!(xml("picture_fast_update"), Info::Other);
        assert_eq!(xml("<<<<>/"), Info::Other);
    }

    #[test]
    fn touch_tones_in_both_types() {
        let relay = |text: &str| parse(Some("Application/DTMF-Relay"), text.as_bytes());
        let tone = |digit, duration_ms| Info::Dtmf(Tone { digit, duration_ms });
        assert_eq!(relay("Signal=5\r\nDuration=160\r\n"), tone('5', 160));
        assert_eq!(relay("signal = # \nduration= 65000"), tone('#', 5000));
        assert_eq!(relay("Signal=11"), tone('#', 160));
        assert_eq!(relay("Signal=55"), Info::Other);
        assert_eq!(parse(Some("application/dtmf"), b"b\r\n"), tone('B', 160));
    }

    #[test]
    fn anything_else_is_refused_and_nothing_at_all_is_fine() {
        assert_eq!(parse(Some("application/x-other"), b"1"), Info::Unsupported);
        assert_eq!(parse(None, b"1"), Info::Unsupported);
        assert_eq!(parse(None, b""), Info::Other);
    }
}
