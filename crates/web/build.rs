//! Lets the crate compile before the page is built: without `dist/index.html` it writes a page
//! that says what to run. A built page is never overwritten.

use std::{fs, io, path::Path};

const PLACEHOLDER: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <title>Plenum</title>\n<h1>The page is not built</h1>\n\
    <p>Run <code>make web</code>, then build the program again.</p>\n</html>\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=dist");
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let index = dist.join("index.html");
    if !index.exists() {
        fs::create_dir_all(&dist)?;
        fs::write(index, PLACEHOLDER)?;
    }
    Ok(())
}
