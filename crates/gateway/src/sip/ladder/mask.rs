//! Takes out of a SIP message what is nobody's business: credentials, media keys, PINs.

use std::borrow::Cow;

use types::split_pin;

const MASK: &str = "***";
/// Where the user of an address has ended, and so has a PIN in it.
const AFTER_PIN: [char; 10] = ['@', ';', '<', '>', ',', '"', ' ', '\t', '\r', '\n'];
/// Header lines that prove who somebody is.
const PROOFS: [&str; 3] = ["authorization", "proxy-authorization", "authentication-info"];
/// Lines of SDP that hold secrets, up to them.
const SECRETS: [&str; 4] = ["a=ice-pwd:", "a=key-mgmt:", "a=password:", "k="];

/// The message with what is secret masked. Its lengths may not be right any more.
pub(super) fn masked(text: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut out = String::with_capacity(text.len());
    let mut keys_in_body = false;
    for line in head.split_inclusive("\r\n") {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if PROOFS.contains(&name.as_str()) {
            out.push_str(&proof(line));
            continue;
        }
        let lower = line.to_ascii_lowercase();
        // One key alone, without a name (draft-kaplan-dispatch-info-dtmf-package's elder brother).
        keys_in_body |= matches!(name.as_str(), "content-type" | "c")
            && lower.contains("application/dtmf")
            && !lower.contains("dtmf-relay");
        out.push_str(&address(line));
    }
    if head.len() == text.len() {
        return out;
    }
    out.push_str("\r\n\r\n");
    if keys_in_body {
        out.push_str(MASK);
        return out;
    }
    for line in body.split_inclusive('\n') {
        out.push_str(&of_body(line));
    }
    out
}

/// The line up to its scheme.
fn proof(line: &str) -> String {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let scheme = value.trim().split(' ').next().filter(|it| !it.contains('='));
    format!("{name}: {} {MASK}\r\n", scheme.unwrap_or_default())
}

fn of_body(line: &str) -> Cow<'_, str> {
    let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
    if let Some(prefix) = SECRETS.iter().find(|it| line.starts_with(**it)) {
        return format!("{prefix}{MASK}{end}").into();
    }
    if line.trim_start().to_ascii_lowercase().starts_with("signal") {
        return format!("Signal={MASK}{end}").into();
    }
    if line.starts_with("a=crypto:")
        && let Some((before, _)) = line.split_once("inline:")
    {
        return format!("{before}inline:{MASK}{end}").into();
    }
    address(line)
}

/// Masks PINs and passwords in the addresses of a line.
fn address(line: &str) -> Cow<'_, str> {
    let mut line = without_pins(line).map_or(Cow::Borrowed(line), Cow::Owned);
    for scheme in ["sip:", "sips:"] {
        if let Some(changed) = without_password(&line, scheme) {
            line = changed.into();
        }
    }
    line
}

/// `None`: there are none.
fn without_pins(line: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, signs, after)) = split_pin(rest) {
        let (pin, others) = after.split_at(after.find(AFTER_PIN).unwrap_or(after.len()));
        out.push_str(before);
        out.push_str(signs);
        out.push_str(if pin.is_empty() { "" } else { MASK });
        rest = others;
    }
    if out.is_empty() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

/// `sip:user:password@host` (RFC 3261 section 19.1.1), of all addresses in the line; `None`: there are
/// none.
fn without_password(line: &str, scheme: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = line;
    let mut changed = false;
    while let Some((before, after)) = rest.split_once(scheme) {
        out.push_str(before);
        out.push_str(scheme);
        let end = after.find(['>', ' ', '"', ',', '\r', '\n']).unwrap_or(after.len());
        let (uri, others) = after.split_at(end);
        match uri.split_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host))) {
            Some(((user, _), host)) => {
                out.push_str(&format!("{user}:{MASK}@{host}"));
                changed = true;
            }
            None => out.push_str(uri),
        }
        rest = others;
    }
    out.push_str(rest);
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_masked_and_all_else_stays() {
        let message = "INVITE sip:board**4711@example.org SIP/2.0\r\n\
            To: \"Board\" <sip:board%2A%2A4711@example.org>;tag=1\r\n\
            From: <sip:anna:geheim@example.org>;tag=2\r\n\
            Authorization: Digest username=\"anna\", response=\"0123456789abcdef\", nonce=\"n\"\r\n\
            proxy-authorization:Digest username=\"anna\",response=\"fedcba\"\r\n\
            Content-Type: application/sdp\r\n\r\n\
            v=0\r\n\
            m=audio 4000 RTP/SAVP 8\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0c2VjcmV0|2^20\r\n\
            a=ice-ufrag:abcd\r\n\
            a=ice-pwd:verysecretverysecret\r\n\
            k=base64:c2VjcmV0\r\n";
        let out = masked(message);
        for secret in ["4711", "geheim", "0123456789", "fedcba", "c2VjcmV0", "verysecret"] {
            assert!(!out.contains(secret), "{secret}:\n{out}");
        }
        for kept in [
            "INVITE sip:board*****@example.org SIP/2.0\r\n",
            "<sip:board%2A%2A***@example.org>;tag=1\r\n",
            "<sip:anna:***@example.org>;tag=2\r\n",
            "Authorization: Digest ***\r\n",
            "proxy-authorization: Digest ***\r\n",
            "\r\n\r\nv=0\r\nm=audio 4000 RTP/SAVP 8\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\n",
            "a=ice-ufrag:abcd\r\n",
        ] {
            assert!(out.contains(kept), "{kept}:\n{out}");
        }
    }

    #[test]
    fn pins_are_masked_however_they_are_written() {
        for signs in ["**", "*%2A", "%2a*", "%2A%2a", "##", "#%23", "$$", "%24$"] {
            for pin in ["4711", "%34%37%31%31", "47-11", "4711#8150", "4711**8150"] {
                let line = |pin: &str| format!("INVITE sip:7{signs}{pin}@[::1] SIP/2.0\r\n\r\n");
                assert_eq!(masked(&line(pin)), line(MASK), "{signs} {pin}");
            }
        }
        let header = masked("To: \"##\" <sip:7**4711@a>, <sip:8%2A*4711>;x\r\n\r\n");
        assert_eq!(header, "To: \"##\" <sip:7*****@a>, <sip:8%2A****>;x\r\n\r\n");
    }

    #[test]
    fn keys_that_were_pressed_are_masked() {
        let info = |kind: &str, body: &str| {
            masked(&format!("INFO sip:a@b SIP/2.0\r\nContent-Type: {kind}\r\n\r\n{body}"))
        };
        let relay = info("application/dtmf-relay", "Signal=7\r\nDuration=160\r\n");
        assert!(relay.ends_with("\r\n\r\nSignal=***\r\nDuration=160\r\n"), "{relay}");
        assert!(info("application/dtmf", "7").ends_with("\r\n\r\n***"));
    }

    #[test]
    fn what_needs_no_mask_is_the_same() {
        let message = "OPTIONS sip:[2001:db8::1]:5060 SIP/2.0\r\nVia: SIP/2.0/UDP a:5060\r\n\r\n";
        assert_eq!(masked(message), message);
        assert_eq!(masked("no message"), "no message");
    }
}
