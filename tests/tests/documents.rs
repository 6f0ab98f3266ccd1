//! The commands of the documents, run as whoever reads them would.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use tests::admin::PASSWORD;
use tests::server::{Server, program};
use tests::story::Story;

/// What a reader's shell knows beside the commands: of what never ends a little is seen.
const SHELL: &str = "set -eu
plenum() {
    case \"$1 ${2:-}\" in
        'live watch') timeout 2 plenum \"$@\" || [ $? -eq 124 ] ;;
        *) command plenum \"$@\" ;;
    esac
}
";

/// What a reader of any document has done before, as the first document says.
const SIGN_IN: &str = "plenum sign-in admin";

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The lines of a document's `sh` blocks, in their order.
fn commands(document: &str) -> Vec<&str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in document.lines() {
        match line {
            "```sh" => inside = true,
            _ if line.starts_with("```") => inside = false,
            _ if inside => commands.push(line),
            _ => {}
        }
    }
    commands
}

/// Runs a document's commands in a folder with the configuration of a running server, signed in as
/// its administrator.
fn run(name: &str) {
    let story = Story::begin(&format!("document_{name}"));
    let server = Server::start(&story);
    let (_, first) = server.first.clone().expect("a first administrator");
    let folder = story.file("reader");
    fs::create_dir_all(&folder).expect("the reader's folder");
    let configuration = |data: &Path| {
        let (data, http) = (data.display(), server.http);
        format!(
            "[data]\ndir = \"{data}\"\n[http]\nlisten = \"{http}\"\ntls_listen = \"off\"\n\
             [sfu]\nannounced_addresses = [\"192.0.2.1\"]\n"
        )
    };
    for (file, data) in [("plenum.toml", story.file("data")), ("new.toml", folder.join("new"))] {
        fs::write(folder.join(file), configuration(&data)).expect("a configuration");
    }
    let document = fs::read_to_string(documents().join(format!("{name}.md"))).expect("a document");
    let mut commands = commands(&document);
    if !commands.contains(&SIGN_IN) {
        commands.insert(0, SIGN_IN);
    }
    let script = format!("{SHELL}{}\n", commands.join("\n"));
    let bin = program().parent().expect("its folder").to_owned();
    let path = env::join_paths(
        [bin].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("bash")
        .args(["-x", "-c", &script])
        .current_dir(&folder)
        .env("PATH", path.expect("a path"))
        .env("HOME", &folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("PLENUM_API_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let typed = format!("{first}\n{PASSWORD}\n");
    shell.stdin.take().expect("its input").write_all(typed.as_bytes()).expect("it reads");
    let output = shell.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}.md: {told}\n{printed}");
    println!("{name}.md: {} commands", told.lines().filter(|it| it.starts_with("+ ")).count());
    server.stop();
}

#[test]
fn every_document_with_commands_is_run() {
    let mut names: Vec<String> = fs::read_dir(documents())
        .expect("the documents")
        .filter_map(|it| it.expect("a file").file_name().into_string().ok())
        .filter_map(|it| it.strip_suffix(".md").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        run(&name);
    }
}
