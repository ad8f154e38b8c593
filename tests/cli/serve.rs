//! `dtr serve`: its start, its end, and what it refuses.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::dtr_server::DtrServer;
use crate::project::repository_root;
use crate::temp_folder::TempFolder;

/// Posts a JSON object to the server. Returns the reply with its head.
fn post(server: &DtrServer, path: &str, token: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: dtr\r\nConnection: close\r\nAuthorization: Bearer {token}");
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_server_continues_prompts_until_sigterm() {
    let base = repository_root().join("models/mini");
    let prompt = "the lamp is in the";
    let expected = DtrCommand::new("generate").arg(&base).arg(prompt).args(["--max-tokens", "9", "--json"]);
    let server =
        DtrServer::start(&base, |command| command.args(["--name", "base"]).env("DTR_SERVE_TOKEN", "secret"));
    let request = json!({ "model": "base", "prompt": prompt, "max_tokens": 9, "temperature": 0 });
    let reply = post(&server, "/v1/completions", "secret", &request);
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    let reply: Value = serde_json::from_str(body).unwrap();
    assert_eq!(reply["choices"][0]["text"], expected.success().json()["text"]);
    assert!(post(&server, "/v1/completions", "other", &request).starts_with("HTTP/1.1 401"));
    server.stop().assert_code(0);
}

#[test]
fn what_cannot_be_served_is_refused() {
    let serve = |arguments: &[&str]| {
        let command = DtrCommand::new("serve").arg(repository_root().join("models/mini")).args(arguments);
        command.without_env("DTR_SERVE_TOKEN")
    };
    let message = serve(&["--host", "0.0.0.0"]).exit(2).message();
    assert!(message.contains("cannot listen at 0.0.0.0 without a token"), "{message}");
    let message = serve(&["--port", "0"]).env("DTR_SERVE_TOKEN", "two words").exit(2).message();
    assert!(message.contains("cannot use the value of `DTR_SERVE_TOKEN`"), "{message}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = serve(&["--port", &port]).finish();
    assert_ne!(message.code(), Some(0));
    assert!(message.message().contains("cannot listen at"), "{}", message.message());
    let folder = TempFolder::new();
    let message = DtrCommand::new("serve").arg(folder.root()).args(["--port", "0"]).finish();
    assert_ne!(message.code(), Some(0));
    assert!(message.message().contains("config.json"), "{}", message.message());
}
