//! The API holds what its description promises: schemathesis asks for everything that the
//! description allows, and for what it does not, and looks at each answer.

use std::process::Command;

use serde_json::json;
use tests::admin::{Page, ask};
use tests::server::Server;
use tests::story::{Story, workspace};

/// What of each answer is looked at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method,negative_data_rejection";
/// Streams and polls that last, and what would end what the run itself goes by.
const LEFT_OUT: [&str; 3] = ["follow_events", "end_token", "reset_password"];
/// Runs schemathesis with this token, or signing in with guesses; what it complains of.
fn complaints(story: &Story, server: &Server, name: &str, token: Option<&str>) -> Option<String> {
    let mut command = Command::new("python3");
    command
        .args(["-m", "schemathesis.cli", "run", "--no-color"])
        // The same requests in every run.
        .args(["--generation-deterministic", "--no-shrink"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "12"])
        .args(["--checks", CHECKS, "--warnings", "off", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--output-truncate", "false", "--request-timeout", "20"])
        // Wrong ones from this address would have right ones wait.
        .args(["--generation-with-security-parameters", "false"])
        .args(LEFT_OUT.map(|it| format!("--exclude-operation-id={it}")))
        .args(token.map(|it| format!("--header={it}")))
        // As wrong ones, guesses would.
        .args(token.map(|_| "--exclude-operation-id=sign_in"))
        .arg(format!("{}/api/v1/openapi.json", server.origin))
        .current_dir(&story.artefacts)
        .env("PYTHONPATH", workspace().join(".tools/python"));
    let output = command.output().expect("python3 starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::write(story.file(&format!("{name}.txt")), &told).expect("what it tells");
    let complaint = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{name}: {told}\n{complaint}"))
}

#[test]
fn every_answer_is_as_the_description_says() {
    let story = Story::begin_beside_others("every_answer_is_as_the_description_says");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let rights = admin.ask("GET", "/api/v1/session", None).body["rights"].clone();
    let new = json!({ "name": "schemathesis", "scopes": rights });
    let made = admin.ask("POST", "/api/v1/tokens", Some(&new));
    assert_eq!(made.status, 201, "{made:?}");
    let token = format!("Authorization: Bearer {}", made.body["secret"].as_str().expect("a token"));

    let known = complaints(&story, &server, "administrator", Some(&token));
    let after = ask(&server, "GET", "/api/v1/session", &format!("{token}\r\n"), None);
    assert_eq!(after.body["rights"], rights, "the run lost its own rights: {after:?}");
    let nobody = complaints(&story, &server, "nobody", None);
    let complaints: Vec<String> = [known, nobody].into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    server.stop();
}
