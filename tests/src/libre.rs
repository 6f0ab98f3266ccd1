//! What the kit builds on libre, the library below baresip.

use std::path::Path;
use std::process::Command;

/// Builds one of the sources in `tests/libre`.
///
/// # Panics
/// When there is no compiler, or no libre.
pub fn build(source: &str, flags: &[&str], program: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("libre").join(source);
    let built = Command::new("cc")
        .args(["-Wall", "-Wextra", "-I/usr/include/re"])
        .args(["-DHAVE_INTTYPES_H", "-DHAVE_STDBOOL_H"])
        .args(flags)
        .arg(&source)
        .arg("-o")
        .arg(program)
        .arg("-lre")
        .status()
        .expect("a C compiler, which scripts/setup.sh --test installs");
    assert!(built.success(), "{} cannot be built: is libre-dev there?", source.display());
}
