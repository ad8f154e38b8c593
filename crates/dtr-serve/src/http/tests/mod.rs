//! Tests of replies over TCP connections, with the bundled base.

mod chats;
mod clients;
mod completions;
mod load;
mod malformed_requests;
mod streams;
mod tokens;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::access_token::AccessToken;
use super::app::App;
use super::connections::serve_connections;
use super::router::router;
use super::served_model::ServedModel;
use crate::engine::EngineLimits;
use dtr_core::seed::Seed;
use dtr_model::generate::{GenerationConfig, generate};
use dtr_model::{ChatTemplate, LoadedModel};

/// A chat template that begins with the start token and joins the messages with spaces.
const CHAT_TEMPLATE: &str = "<bos>{% for message in messages %}{{ message.content }}{% if not loop.last %} \
                             {% endif %}{% endfor %}";
const PROMPT: &str = "the lamp is in the study. where is the lamp?";

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini")
}

fn read_model() -> LoadedModel {
    LoadedModel::read(&directory(), &Device::flex()).unwrap()
}

/// A server on a thread, which ends when this object is dropped.
struct TestServer {
    address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TestServer {
    fn start(rows: usize, queue: usize, token: Option<&str>) -> Self {
        let limits = EngineLimits { rows, queue, prefix_cache_bytes: 1 << 28 };
        let now = jiff::civil::date(2026, 1, 31).at(12, 0, 0, 0);
        let template = ChatTemplate::new(CHAT_TEMPLATE, BTreeMap::new(), now).unwrap();
        let id = "mini".to_owned();
        let model = ServedModel::start(id, &directory(), read_model(), Some(template), limits).unwrap();
        let router = router(App::new(Arc::new(model)), token.map(|token| AccessToken::new(token).unwrap()));
        let (sender, receiver) = std::sync::mpsc::channel();
        let (shutdown, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                serve_connections(listener, router, async { drop(ended.await) }).await;
            });
        });
        Self { address: receiver.recv().unwrap(), shutdown: Some(shutdown), thread: Some(thread) }
    }

    /// Asks the server to end.
    fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    /// Waits until the server has ended.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shut_down();
        self.join();
    }
}

/// Returns the address of a server that tests share.
fn shared_server() -> SocketAddr {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| TestServer::start(4, 16, None)).address
}

/// Opens a connection and sends a request.
fn open(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: dtr\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server may reply to a request that is too large before it has read the whole body.
    let _ = stream.write_all(body);
    stream
}

/// Reads the rest of a reply. Returns the status, the headers and the body.
fn read_reply(mut stream: TcpStream) -> (u16, String, String) {
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Sends a request. Returns the status, the headers and the body.
fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, String, String) {
    read_reply(open(address, method, path, "", body))
}

/// Posts a JSON object. Returns the status and the JSON reply.
fn post_to(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, reply) = send(address, "POST", path, body.to_string().as_bytes());
    (status, serde_json::from_str(&reply).unwrap())
}

fn post(path: &str, body: &Value) -> (u16, Value) {
    post_to(shared_server(), path, body)
}

fn get(path: &str) -> (u16, Value) {
    let (status, _, reply) = send(shared_server(), "GET", path, b"");
    (status, serde_json::from_str(&reply).unwrap())
}

/// Returns the tokens of [`PROMPT`] and the greedy text after it, from the program's own generator.
fn expected_text(max_tokens: usize, stop_strings: &[&str]) -> (Vec<u32>, String) {
    let model = read_model();
    let config = GenerationConfig {
        max_tokens,
        temperature: 0.0,
        top_p: 1.0,
        stop_strings: stop_strings.iter().map(ToString::to_string).collect(),
        eos_token_ids: dtr_model::read_eos_token_ids(&directory()).unwrap(),
        seed: Seed(0),
    };
    let prompt = model.tokenizer.encode_prompt(PROMPT).unwrap();
    let generated = generate(&model.hybrid(), &model.tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
    (prompt, generated.text)
}
