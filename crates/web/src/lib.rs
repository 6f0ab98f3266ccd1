//! The meeting page, built by Vite into `dist/` and embedded in the program.
//!
//! The page is a React application in `page/`. This crate only hands out its files; the HTTP
//! server decides about caching headers and sends [`CONTENT_SECURITY_POLICY`] with each of them.
#![warn(missing_docs)]

use std::borrow::Cow;

/// The policy under which the page works: nothing from another origin, no inline script or style.
///
/// `ws:` and `wss:` are named because older browsers do not count them under `'self'`.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
    img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; \
    style-src 'self'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
    form-action 'self'";

const INDEX: &str = "index.html";

// The files are embedded in debug builds too, so that a program behaves alike in both and does
// not depend on the folder that it was built in.
#[derive(rust_embed::RustEmbed)]
#[folder = "dist/"]
struct Dist;

/// One file of the page, ready to be sent.
#[derive(Debug, Clone)]
pub struct File {
    /// The file's content, uncompressed.
    pub bytes: Cow<'static, [u8]>,
    /// The value of `Content-Type`, with the charset for text.
    pub mime: &'static str,
    /// A strong entity tag, quotes included: a hash of the content.
    pub etag: String,
    /// Whether the name carries a hash of the content, so that it may be cached for ever.
    pub immutable: bool,
}

/// The file for the path of a request (`/`, `/m/board`, `/assets/index-1a2b3c4d.js`).
///
/// Routes that the page itself resolves (`/` and `/m/{id}`) get its `index.html`. The path is
/// taken without its query. `None` is a 404.
pub fn file(path: &str) -> Option<File> {
    let name = path.strip_prefix('/').unwrap_or(path);
    let name = if is_client_route(name) { INDEX } else { name };
    let embedded = Dist::get(name)?;
    Some(File {
        bytes: embedded.data,
        mime: mime(name),
        etag: etag(&embedded.metadata.sha256_hash()),
        immutable: name.starts_with("assets/"),
    })
}

/// `m/{id}` is a single segment: a deeper path is no meeting.
fn is_client_route(name: &str) -> bool {
    match name.strip_prefix("m/") {
        Some(id) => !id.trim_end_matches('/').contains('/'),
        None => name.is_empty() || name == "m",
    }
}

/// The types that Vite's output can contain; anything else is not shown but downloaded.
fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// 16 of the hash's 32 bytes are plenty to tell two versions of a file apart.
fn etag(hash: &[u8; 32]) -> String {
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_and_a_meeting_s_link_are_the_same_document() {
        let home = file("/").unwrap();
        let meeting = file("/m/board").unwrap();
        assert_eq!(home.etag, meeting.etag);
        assert_eq!(home.mime, "text/html; charset=utf-8");
        assert!(!home.immutable, "index.html names the assets of its build");
        assert!(home.bytes.starts_with(b"<!doctype html>"));
    }

    #[test]
    fn what_is_neither_a_file_nor_a_route_is_not_found() {
        for path in ["/nothing", "/m/a/b", "/assets/", "/../Cargo.toml", "/assets/none.js"] {
            assert!(file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn every_asset_that_the_document_names_is_embedded_and_immutable() {
        let home = file("/").unwrap();
        let html = String::from_utf8_lossy(&home.bytes);
        for path in html.split('"').filter(|text| text.starts_with("/assets/")) {
            let asset = file(path).unwrap_or_else(|| panic!("{path} is not embedded"));
            assert!(asset.immutable && asset.bytes.len() > 100, "{path}");
            assert_ne!(asset.mime, "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn the_document_needs_no_inline_script_or_style() {
        let home = file("/").unwrap();
        let html = String::from_utf8_lossy(&home.bytes);
        assert!(!html.contains("<style") && !html.contains(" style="));
        assert!(!html.contains("<script>") && !html.contains("http://"));
    }

    #[test]
    fn an_entity_tag_is_quoted_and_follows_the_content() {
        let home = file("/").unwrap();
        assert_eq!(home.etag.len(), 34);
        assert!(home.etag.starts_with('"') && home.etag.ends_with('"'));
        assert_ne!(etag(&[1; 32]), etag(&[2; 32]));
    }
}
