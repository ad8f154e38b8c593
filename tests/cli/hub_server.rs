//! A local server with the protocol of huggingface.co, which serves files from memory and can inject faults.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::Digest;

use crate::hub_uploads::{Uploads, respond_to_upload};

/// The commit of every repository on this server.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Minimum size of a large file. The server redirects requests for large files to another address.
pub const MIN_LARGE_FILE_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InjectedFault {
    None,
    /// For the next `times` requests of large files, the server closes the connection after `after_bytes`
    /// bytes.
    Disconnect {
        times: usize,
        after_bytes: usize,
    },
    /// The server changes one byte of each large file.
    AlteredByte,
    /// The server shortens large files. The header `Content-Length` states the shortened length.
    Truncated,
}

/// The files of each repository. The key is the repository's path in URLs, such as `datasets/lab/rows`.
pub type Repositories = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
pub struct ServerState {
    pub repositories: Repositories,
    pub uploads: Uploads,
    /// A repository, and the token that it requires.
    gated: Option<(String, String)>,
    fault: Option<InjectedFault>,
    /// The first byte of each request for the rest of a large file, in the order of the requests.
    range_starts: Vec<usize>,
    num_requests: usize,
}

/// A running server, which answers until the process ends.
pub struct HubServer {
    pub endpoint: String,
    state: Arc<Mutex<ServerState>>,
}

impl HubServer {
    pub fn start(repositories: Repositories) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(ServerState { repositories, ..ServerState::default() }));
        let (server_state, server_endpoint) = (state.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, endpoint) = (server_state.clone(), server_endpoint.clone());
                std::thread::spawn(move || handle_connection(stream, &state, &endpoint));
            }
        });
        Self { endpoint, state }
    }

    pub fn set_fault(&self, fault: InjectedFault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    pub fn require_token(&self, repo: &str, token: &str) {
        self.state.lock().unwrap().gated = Some((repo.to_owned(), token.to_owned()));
    }

    /// Returns the first byte of each byte range that clients requested from large files since the last call.
    ///
    /// Ranges with a last byte are left out, because clients request such ranges only to find the size of a
    /// file.
    pub fn take_range_starts(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().range_starts)
    }

    /// Lets clients with this token upload files.
    pub fn allow_uploads(&self, token: &str) {
        self.state.lock().unwrap().uploads.token = token.to_owned();
    }

    /// Returns the files of a repository.
    pub fn files(&self, repo: &str) -> BTreeMap<String, Vec<u8>> {
        self.state.lock().unwrap().repositories[repo].clone()
    }

    pub fn num_requests(&self) -> usize {
        self.state.lock().unwrap().num_requests
    }
}

pub struct Request {
    /// Whether the client changes something.
    is_upload: bool,
    pub body: Vec<u8>,
    /// Whether the client wants the headers only.
    head_only: bool,
    pub path: String,
    pub token: Option<String>,
    /// The first byte that the client wants, and the last byte if the request names a last byte.
    range: Option<(usize, Option<usize>)>,
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ');
    let method = words.next()?;
    let mut request = Request {
        is_upload: matches!(method, "POST" | "PUT"),
        body: Vec::new(),
        head_only: method == "HEAD",
        path: words.next()?.to_owned(),
        token: None,
        range: None,
    };
    for line in reader.by_ref().lines() {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => request.body = vec![0; value.parse().ok()?],
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
            "range" => {
                let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((first.parse().ok()?, last.parse().ok()));
            }
            _ => {}
        }
    }
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn handle_connection(mut stream: TcpStream, state: &Mutex<ServerState>, endpoint: &str) {
    let Some(request) = read_request(&stream) else { return };
    let (head, body, sent) = respond(&request, &mut state.lock().unwrap(), endpoint);
    // Writing fails if the client has closed the connection.
    let _ = stream.write_all(
        format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(),
    );
    if !request.head_only {
        let _ = stream.write_all(&body[..sent]);
    }
}

/// Returns the status line with headers, the body, and the number of bytes of the body to send.
fn respond(request: &Request, state: &mut ServerState, endpoint: &str) -> (String, Vec<u8>, usize) {
    state.num_requests += 1;
    if request.is_upload {
        let (status, json) = respond_to_upload(request, state, endpoint);
        let body = json.to_string().into_bytes();
        let sent = body.len();
        return (format!("HTTP/1.1 {status}\r\nContent-Type: application/json"), body, sent);
    }
    let plain = |status: &str| (format!("HTTP/1.1 {status}"), Vec::new(), 0);
    if let Some(digest) = request.path.strip_prefix("/large/") {
        return respond_with_large_file(request, state, digest);
    }
    let (repo, resource) = match request.path.strip_prefix("/api/") {
        Some(path) => match path.split_once("/revision/") {
            Some((repo, revision)) => {
                (repo.trim_start_matches("models/").to_owned(), Resource::Commit(revision))
            }
            None => return plain("404 Not Found"),
        },
        None => match request.path[1..].split_once("/resolve/") {
            Some((repo, file_path)) => (repo.to_owned(), Resource::File(file_path)),
            None => return plain("404 Not Found"),
        },
    };
    if let Some((gated, token)) = &state.gated
        && *gated == repo
        && request.token.as_ref() != Some(token)
    {
        return plain(if request.token.is_some() { "403 Forbidden" } else { "401 Unauthorized" });
    }
    let Some(files) = state.repositories.get(&repo) else { return plain("404 Not Found") };
    match resource {
        Resource::Commit(revision) if is_known_revision(revision) => {
            let siblings: Vec<_> =
                files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let body = serde_json::json!({ "id": repo, "sha": COMMIT, "siblings": siblings })
                .to_string()
                .into_bytes();
            let sent = body.len();
            ("HTTP/1.1 200 OK\r\nContent-Type: application/json".to_owned(), body, sent)
        }
        Resource::Commit(_) => plain("404 Not Found"),
        Resource::File(file_path) => match file_path.split_once('/') {
            Some((revision, name)) if is_known_revision(revision) && files.contains_key(name) => {
                respond_with_file(request, &files[name], endpoint)
            }
            _ => plain("404 Not Found"),
        },
    }
}

/// A resource of a repository in a URL: the commit of a revision, or a file at a revision.
enum Resource<'a> {
    Commit(&'a str),
    File(&'a str),
}

fn is_known_revision(revision: &str) -> bool {
    revision == "main" || revision == COMMIT
}

fn respond_with_file(request: &Request, bytes: &[u8], endpoint: &str) -> (String, Vec<u8>, usize) {
    if bytes.len() >= MIN_LARGE_FILE_BYTES {
        let digest = hex(&sha2::Sha256::digest(bytes));
        // The redirect leads to another host, as on the hub.
        let endpoint = endpoint.replace("127.0.0.1", "localhost");
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {endpoint}/large/{digest}\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{digest}\"\r\nX-Linked-Size: {}",
            bytes.len()
        );
        return (head, Vec::new(), 0);
    }
    let mut blob = format!("blob {}\0", bytes.len()).into_bytes();
    blob.extend(bytes);
    let headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"", hex(&sha1::Sha1::digest(&blob)));
    let (head, body) = requested_range(request, bytes, &headers);
    let sent = body.len();
    (head, body, sent)
}

fn respond_with_large_file(
    request: &Request,
    state: &mut ServerState,
    digest: &str,
) -> (String, Vec<u8>, usize) {
    let all = state.repositories.values().flat_map(BTreeMap::values);
    let mut bytes = all.clone().find(|bytes| hex(&sha2::Sha256::digest(bytes)) == digest).unwrap().clone();
    match state.fault {
        Some(InjectedFault::AlteredByte) => bytes[MIN_LARGE_FILE_BYTES / 2] ^= 1,
        Some(InjectedFault::Truncated) => bytes.truncate(MIN_LARGE_FILE_BYTES / 2),
        _ => {}
    }
    let (head, body) = requested_range(request, &bytes, "Accept-Ranges: bytes");
    let mut sent = body.len();
    if let Some((start, None)) = request.range {
        state.range_starts.push(start);
        if let Some(InjectedFault::Disconnect { times: times @ 1.., after_bytes }) = &mut state.fault {
            (*times, sent) = (*times - 1, sent.min(*after_bytes));
        }
    }
    (head, body, sent)
}

/// Returns the status line with headers, and the body. The body is the requested range of `bytes`, or all of
/// `bytes` if the request has no range.
fn requested_range(request: &Request, bytes: &[u8], headers: &str) -> (String, Vec<u8>) {
    let Some((first, last)) = request.range else {
        return (format!("HTTP/1.1 200 OK\r\n{headers}"), bytes.to_vec());
    };
    let end = last.map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
    let first = first.min(end);
    let range = format!("bytes {first}-{}/{}", end.max(1) - 1, bytes.len());
    (
        format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\n{headers}"),
        bytes[first..end].to_vec(),
    )
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
