//! Content lines (RFC 5545 section 3.1) out of texts that anybody may have written.
//!
//! Every text is written by one of the functions here, and none of them lets a line break, a control
//! character or a delimiter through: whatever a meeting or a person is called, it stays within its
//! own value.

use crate::problem::breaks_line;

/// Octets of a line, without its end.
const LINE: usize = 75;

/// Lines of a calendar.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A line whose value needs no escaping: a word, a time, a rule.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.fold(&format!("{name}:{value}"));
    }

    /// A line whose value is a text (section 3.3.11).
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.fold(&format!("{name}:{}", escaped(value)));
    }

    /// A line whose value is an address of a resource (section 3.3.13).
    pub(super) fn uri(&mut self, name: &str, value: &str) {
        self.fold(&format!("{name}:{}", encoded(value)));
    }

    /// All lines.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// No octet of a character is parted from the others: some readers decode before they unfold.
    fn fold(&mut self, line: &str) {
        let mut octets = 0;
        for c in line.chars().filter(|c| !breaks_line(*c)) {
            if octets + c.len_utf8() > LINE {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(c);
            octets += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// The value of a parameter, in quotes. Quotes cannot be written within (RFC 6868's way to write them
/// is not read by all), so they become apostrophes; a caret is doubled, or who reads RFC 6868 would
/// take `^n` for a line break.
pub(super) fn quoted(text: &str) -> String {
    let mut value = String::from("\"");
    for c in one_line(text).chars() {
        match c {
            '"' => value.push('\''),
            '^' => value.push_str("^^"),
            _ => value.push(c),
        }
    }
    value.push('"');
    value
}

/// A text of one line: line breaks become blanks; other control characters, and those that turn the
/// direction of writing and so show a name that is not there, go.
pub(super) fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let blank = |c: char| matches!(c, '\n' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let text = text.replace("\r\n", "\n");
    let text = text.chars().map(|c| if blank(c) { ' ' } else { c });
    text.filter(|c| !breaks_line(*c) && !turns(*c)).collect()
}

fn escaped(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => written.extend(['\\', c]),
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => written.push_str("\\n"),
            _ => written.push(c),
        }
    }
    written
}

/// Percent-encodes what may not stand in a URI (RFC 3986), so that nothing can end it.
pub(super) fn encoded(uri: &str) -> String {
    let mut written = String::with_capacity(uri.len());
    for byte in uri.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_characters() {
        let text = "совет директоров, 会議, 🎥 ".repeat(20);
        let mut lines = Lines::default();
        lines.text("DESCRIPTION", &text);
        lines.plain("X", &"y".repeat(72));
        lines.plain("X", &"y".repeat(73));
        lines.plain("X", &"y".repeat(74));
        let written = lines.finish();
        assert!(written.ends_with("\r\n"));
        assert!(written.split("\r\n").all(|it| it.len() <= 75), "{written}");
        let whole = written.replace("\r\n ", "");
        assert_eq!(whole.lines().next().unwrap(), format!("DESCRIPTION:{}", escaped(&text)));
        assert_eq!(whole.lines().last().unwrap().len(), 76);
    }

    #[test]
    fn no_text_leaves_its_value() {
        for (text, written) in [
            ("a;b,c\\d", "a\\;b\\,c\\\\d"),
            ("a\r\nATTACH:x", "a\\nATTACH:x"),
            ("a\rb\nc\u{85}d\u{2028}e", "a\\nb\\nc\\nd\\ne"),
        ] {
            assert_eq!(escaped(text), written);
        }
        assert_eq!(quoted("a\"b\r\nc:;\u{0}\u{202e}d^n"), "\"a'b c:;d^^n\"");
        assert_eq!(
            encoded("https://a.org/м?x=1;y\r\nX:\"1\""),
            "https://a.org/%D0%BC?x=1;y%0D%0AX:%221%22"
        );
        let mut lines = Lines::default();
        lines.plain("A", "b\r\nC:d\u{2029}\u{0}");
        assert_eq!(lines.finish(), "A:bC:d\r\n");
    }
}
