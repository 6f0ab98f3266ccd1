//! E-mail addresses, as far as they are put into invitations.

/// Whether this is an address that can be written into any header as it stands: a dot-atom of ASCII
/// and a domain (RFC 5321 section 4.1.2 without quoted local parts and address literals, which also
/// hold blanks and brackets). A domain in another script is given in its ASCII form.
pub fn is_email(text: &str) -> bool {
    // RFC 5321 section 4.5.3.1: 64 and 255; with `@`, 254 fit a path.
    if text.len() > 254 {
        return false;
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |text: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
        !text.is_empty() && text.bytes().all(letter)
    };
    let label = |text: &str| {
        let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&text.len()) && letters && !text.starts_with('-') && !text.ends_with('-')
    };
    local.len() <= 64 && local.split('.').all(atom) && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::is_email;

    #[test]
    fn addresses_that_fit_any_header_are_told_from_all_others() {
        for good in ["anna@example.org", "a.b+c@mail.example.org", "root@localhost", "o'neil@a.ie"]
        {
            assert!(is_email(good), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "",
            "anna",
            "@a.org",
            "anna@",
            "a b@c.org",
            "\"a b\"@c.org",
            "a@b@c.org",
            "a..b@c.org",
            ".a@c.org",
            "a@-c.org",
            "a@c..org",
            "a@[10.0.0.1]",
            "a@c.org\r\nBCC:x",
            "a@c.org,b@c.org",
            "a<b>@c.org",
            "анна@example.org",
            "a:b@c.org",
            "a;b@c.org",
            &long,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
