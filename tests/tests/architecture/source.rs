//! A Rust source file, and which lines of it are tests.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::layers;
use crate::workspace::Workspace;

/// A parsed file of a crate of ours.
pub struct Source {
    /// From the repository's root.
    pub path: String,
    /// The crate that it belongs to.
    pub krate: String,
    pub text: String,
    pub syntax: syn::File,
    /// Lines, from 1, that exist in tests only.
    tests: Vec<RangeInclusive<usize>>,
}

/// A token with its place, groups flattened into their brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

impl Source {
    /// `path` from the root decides which crate it is; `text` must be valid Rust.
    pub fn parse(path: &str, text: &str) -> Result<Self, syn::Error> {
        let syntax = syn::parse_file(text)?;
        let mut finder = TestFinder::default();
        finder.visit_file(&syntax);
        Ok(Self {
            path: path.to_owned(),
            krate: crate_of(path).to_owned(),
            text: text.to_owned(),
            syntax,
            tests: finder.ranges,
        })
    }

    /// The layer of its crate; a file outside every crate counts as the topmost.
    pub fn layer(&self) -> u8 {
        layers::layer(&self.krate).unwrap_or(u8::MAX)
    }

    /// Whether this is a crate's own code (`src/`), not its integration tests or examples.
    pub fn is_product(&self) -> bool {
        self.path.starts_with("crates/") && self.path.contains("/src/")
    }

    /// Whether a test harness alone builds this file.
    pub fn is_integration_test(&self) -> bool {
        let inside = self.path.strip_prefix(&format!("crates/{}/", self.krate));
        inside
            .or_else(|| self.path.split_once('/').map(|(_, rest)| rest))
            .is_some_and(|path| path.starts_with("tests/"))
    }

    pub fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// Lines that are not tests.
    pub fn lines(&self) -> usize {
        (1..=self.text.lines().count()).filter(|line| !self.is_test_line(*line)).count()
    }

    /// Tokens outside tests; comments are none, and doc comments are literals.
    pub fn tokens(&self) -> Vec<Token> {
        let stream: TokenStream = self.text.parse().unwrap_or_default();
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        tokens.retain(|token| !self.is_test_line(token.line));
        tokens
    }

    /// Lines where these tokens follow each other: `["Instant", ":", ":", "now"]`.
    pub fn find(&self, sequence: &[&str]) -> Vec<usize> {
        let tokens = self.tokens();
        let windows = tokens.windows(sequence.len());
        let hits =
            windows.filter(|w| w.iter().zip(sequence).all(|(token, text)| token.text == *text));
        hits.map(|window| window[0].line).collect()
    }
}

/// Every Rust file of the workspace but those that only tests include.
pub fn all(workspace: &Workspace) -> Vec<Source> {
    let files: Vec<_> = workspace.files().into_iter().filter(|f| f.ends_with(".rs")).collect();
    let mut sources: Vec<_> = files
        .iter()
        .map(|path| {
            let text = workspace.read(path).unwrap_or_default();
            Source::parse(path, &text).unwrap_or_else(|e| panic!("{path} is no valid Rust: {e}"))
        })
        .collect();
    let only_tests: BTreeSet<_> = sources.iter().flat_map(test_modules).collect();
    sources.retain(|source| {
        let is_below = |module: &String| {
            source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"))
        };
        !only_tests.iter().any(is_below)
    });
    sources
}

/// Where the files of `#[cfg(test)] mod name;` are, without their `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let folder = if ["lib", "main", "mod"].contains(&name) { folder } else { stem };
    let modules = source.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(m) if m.content.is_none() && is_test_only(&m.attrs) => Some(m),
        _ => None,
    });
    modules.map(|module| format!("{folder}/{}", module.ident)).collect()
}

fn crate_of(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                into.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), into);
                let line = group.span_close().start().line;
                into.push(Token { text: close.to_owned(), line });
            }
            other => into.push(Token { text: other.to_string(), line }),
        }
    }
}

/// Whether attributes make an item exist in tests only: `cfg(test)`, `cfg(all(test, …))`, or a
/// test function of any harness.
pub fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.segments.last().is_some_and(|segment| segment.ident == "test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string().replace(' ', "");
        path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

#[derive(Default)]
struct TestFinder {
    ranges: Vec<RangeInclusive<usize>>,
}

impl TestFinder {
    fn note(&mut self, attributes: &[syn::Attribute], item: &impl Spanned) -> bool {
        let is_test = is_test_only(attributes);
        if is_test {
            let first = attributes.iter().map(|a| a.span().start().line).min();
            let span = item.span();
            let start = first.unwrap_or(usize::MAX).min(span.start().line);
            self.ranges.push(start..=span.end().line);
        }
        is_test
    }
}

impl<'ast> Visit<'ast> for TestFinder {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Const(i) => &i.attrs,
            syn::Item::Enum(i) => &i.attrs,
            syn::Item::Fn(i) => &i.attrs,
            syn::Item::Impl(i) => &i.attrs,
            syn::Item::Macro(i) => &i.attrs,
            syn::Item::Mod(i) => &i.attrs,
            syn::Item::Static(i) => &i.attrs,
            syn::Item::Struct(i) => &i.attrs,
            syn::Item::Trait(i) => &i.attrs,
            syn::Item::Type(i) => &i.attrs,
            syn::Item::Use(i) => &i.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !self.note(attributes, item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !self.note(&item.attrs, item) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"//! Instant::now in a comment is nothing.
fn product() {
    let text = "Instant::now";
    clock(std::time::Instant::now());
}

/// Of a test.
#[cfg(test)]
mod tests {
    #[test]
    fn now() {
        Instant::now();
    }
}
"#;

    #[test]
    fn tokens_in_tests_and_comments_do_not_count() {
        let source = Source::parse("crates/rtp/src/lib.rs", SAMPLE).unwrap();
        assert_eq!(source.find(&["Instant", ":", ":", "now"]), [4]);
        assert_eq!((source.krate.as_str(), source.layer()), ("rtp", 1));
        assert_eq!(source.lines(), 6);
        assert!(source.is_test_line(7) && source.is_test_line(14));
    }

    #[test]
    fn the_test_kit_is_no_test_but_its_users_are() {
        let is = |path| Source::parse(path, "").unwrap().is_integration_test();
        assert!(is("crates/sdp/tests/devices.rs") && is("tests/tests/peers/main.rs"));
        assert!(!is("tests/src/world.rs") && !is("crates/sdp/src/tests/x.rs"));
    }

    #[test]
    fn only_conditions_that_need_a_test_are_test_code() {
        let is = |text: &str| is_test_only(&syn::parse_str::<syn::ItemFn>(text).unwrap().attrs);
        assert!(is("#[cfg(test)] fn f() {}"));
        assert!(is("#[cfg(all(test, unix))] fn f() {}"));
        assert!(is("#[tokio::test] async fn f() {}"));
        assert!(!is("#[cfg(not(test))] fn f() {}"));
        assert!(!is("#[cfg(any(test, feature = \"kit\"))] fn f() {}"));
    }

    #[test]
    fn the_files_of_a_test_module_are_found() {
        let text = "#[cfg(test)] mod tests;\nmod other;";
        let of = |path| test_modules(&Source::parse(path, text).unwrap());
        assert_eq!(of("crates/rtp/src/lib.rs"), ["crates/rtp/src/tests"]);
        assert_eq!(of("crates/rtp/src/jitter.rs"), ["crates/rtp/src/jitter/tests"]);
    }
}
