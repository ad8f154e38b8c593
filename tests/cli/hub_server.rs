//! A local server with the protocol of huggingface.co, which serves files from memory and can inject faults.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::Digest;

/// The commit of every repository here.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The server redirects requests for files of at least this many bytes to another address.
const LARGE: usize = 64 << 10;

/// A fault that the server injects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// No fault.
    None,
    /// The connection breaks after `after` bytes, in the next `times` answers with large files.
    Cut { times: usize, after: usize },
    /// One byte of each large file differs.
    Altered,
    /// Large files end early, and the announced length is that of the shortened file.
    Truncated,
}

/// The files of repositories by their path in URLs, such as `lab/mini` or `datasets/lab/rows`.
pub type Repositories = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
struct State {
    repositories: Repositories,
    /// A repository, and the token that it requires.
    gated: Option<(String, String)>,
    fault: Option<Fault>,
    /// The first bytes of the ranges that clients requested of large files, in order.
    starts: Vec<usize>,
    requests: usize,
}

/// A running server, which answers until the process ends.
pub struct HubServer {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    pub fn start(repositories: Repositories) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { repositories, ..State::default() }));
        let (shared, own) = (state.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, endpoint) = (shared.clone(), own.clone());
                std::thread::spawn(move || answer(stream, &state, &endpoint));
            }
        });
        Self { endpoint, state }
    }

    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    pub fn require_token(&self, repo: &str, token: &str) {
        self.state.lock().unwrap().gated = Some((repo.to_owned(), token.to_owned()));
    }

    /// Returns the first bytes of the ranges that clients requested of large files since the last call.
    ///
    /// Ranges with an end, by which clients ask for the size, are left out.
    pub fn take_starts(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().starts)
    }

    pub fn num_requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

struct Request {
    /// Whether the client wants the headers only.
    head_only: bool,
    path: String,
    token: Option<String>,
    /// The first byte that the client wants, and the last one if it names one.
    range: Option<(usize, Option<usize>)>,
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let head_only = words.next()? == "HEAD";
    let mut request = Request { head_only, path: words.next()?.to_owned(), token: None, range: None };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
            "range" => {
                let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((first.parse().ok()?, last.parse().ok()));
            }
            _ => {}
        }
    }
    Some(request)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, endpoint: &str) {
    let Some(request) = read(&stream) else { return };
    let (head, body, sent) = respond(&request, &mut state.lock().unwrap(), endpoint);
    // The client may have closed the connection.
    let _ = stream.write_all(
        format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(),
    );
    if !request.head_only {
        let _ = stream.write_all(&body[..sent]);
    }
}

/// Returns status and headers, the body, and the number of its bytes to send.
fn respond(request: &Request, state: &mut State, endpoint: &str) -> (String, Vec<u8>, usize) {
    state.requests += 1;
    let plain = |status: &str| (format!("HTTP/1.1 {status}"), Vec::new(), 0);
    if let Some(digest) = request.path.strip_prefix("/large/") {
        return large(request, state, digest);
    }
    let (repo, rest) = match request.path.strip_prefix("/api/") {
        Some(path) => match path.split_once("/revision/") {
            Some((repo, revision)) => (repo.trim_start_matches("models/").to_owned(), Rest::Info(revision)),
            None => return plain("404 Not Lookup"),
        },
        None => match request.path[1..].split_once("/resolve/") {
            Some((repo, rest)) => (repo.to_owned(), Rest::File(rest)),
            None => return plain("404 Not Lookup"),
        },
    };
    if let Some((gated, token)) = &state.gated
        && *gated == repo
        && request.token.as_ref() != Some(token)
    {
        return plain(if request.token.is_some() { "403 Forbidden" } else { "401 Unauthorized" });
    }
    let Some(files) = state.repositories.get(&repo) else { return plain("404 Not Lookup") };
    match rest {
        Rest::Info(revision) if is_known(revision) => {
            let siblings: Vec<_> =
                files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let body = serde_json::json!({ "id": repo, "sha": COMMIT, "siblings": siblings })
                .to_string()
                .into_bytes();
            let sent = body.len();
            ("HTTP/1.1 200 OK\r\nContent-Type: application/json".to_owned(), body, sent)
        }
        Rest::Info(_) => plain("404 Not Lookup"),
        Rest::File(rest) => match rest.split_once('/') {
            Some((revision, name)) if is_known(revision) && files.contains_key(name) => {
                file(request, &files[name], endpoint)
            }
            _ => plain("404 Not Lookup"),
        },
    }
}

/// The part of a URL that follows the repository.
enum Rest<'a> {
    Info(&'a str),
    File(&'a str),
}

fn is_known(revision: &str) -> bool {
    revision == "main" || revision == COMMIT
}

fn file(request: &Request, bytes: &[u8], endpoint: &str) -> (String, Vec<u8>, usize) {
    if bytes.len() >= LARGE {
        let digest = hex(&sha2::Sha256::digest(bytes));
        // The redirect leads to another host, as on the hub.
        let endpoint = endpoint.replace("127.0.0.1", "localhost");
        let head = format!(
            "HTTP/1.1 302 Lookup\r\nLocation: {endpoint}/large/{digest}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{digest}\"\r\nX-Linked-Size: {}",
            bytes.len()
        );
        return (head, Vec::new(), 0);
    }
    let mut named = format!("blob {}\0", bytes.len()).into_bytes();
    named.extend(bytes);
    let more = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"", hex(&sha1::Sha1::digest(&named)));
    let (head, body) = part(request, bytes, &more);
    let sent = body.len();
    (head, body, sent)
}

fn large(request: &Request, state: &mut State, digest: &str) -> (String, Vec<u8>, usize) {
    let all = state.repositories.values().flat_map(BTreeMap::values);
    let mut bytes = all.clone().find(|bytes| hex(&sha2::Sha256::digest(bytes)) == digest).unwrap().clone();
    match state.fault {
        Some(Fault::Altered) => bytes[LARGE / 2] ^= 1,
        Some(Fault::Truncated) => bytes.truncate(LARGE / 2),
        _ => {}
    }
    let (head, body) = part(request, &bytes, "Accept-Ranges: bytes");
    let mut sent = body.len();
    if let Some((start, None)) = request.range {
        state.starts.push(start);
        if let Some(Fault::Cut { times: times @ 1.., after }) = &mut state.fault {
            (*times, sent) = (*times - 1, sent.min(*after));
        }
    }
    (head, body, sent)
}

/// Returns the requested range of `bytes` as a 206 answer, or all of them.
fn part(request: &Request, bytes: &[u8], more: &str) -> (String, Vec<u8>) {
    let Some((first, last)) = request.range else {
        return (format!("HTTP/1.1 200 OK\r\n{more}"), bytes.to_vec());
    };
    let end = last.map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
    let first = first.min(end);
    let range = format!("bytes {first}-{}/{}", end.max(1) - 1, bytes.len());
    (format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\n{more}"), bytes[first..end].to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
