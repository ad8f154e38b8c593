//! Tests of clients that go, that do not read, that have no token, and of the server's end.

use std::net::TcpStream;

use serde_json::json;

use super::{PROMPT, TestServer, expected_text, open, post_to, read_reply, send};

/// Returns the number of `name` in `/metrics`.
fn metric(server: &TestServer, name: &str) -> u64 {
    let (status, _, body) = send(server.address, "GET", "/metrics", b"");
    assert_eq!(status, 200);
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    body.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {body}"))
}

/// Opens a stream of `num_texts` long texts.
fn open_stream(server: &TestServer, num_texts: usize) -> TcpStream {
    let request =
        json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 100, "n": num_texts, "stream": true });
    open(server.address, "POST", "/v1/completions", "", request.to_string().as_bytes())
}

/// Waits until the server has begun to reply.
fn wait_for_a_reply(stream: &TcpStream) {
    assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
}

#[test]
fn a_client_that_goes_frees_its_rows() {
    let server = TestServer::start(1, 32, None);
    let stream = open_stream(&server, 32);
    wait_for_a_reply(&stream);
    drop(stream);
    while metric(&server, "dtr_running_prompts") + metric(&server, "dtr_queued_prompts") > 0 {
        std::thread::yield_now();
    }
    let num_tokens = metric(&server, "dtr_new_tokens_total");
    assert!(num_tokens < 32 * 100, "all {num_tokens} tokens were generated for nobody");
}

#[test]
fn a_client_that_does_not_read_delays_nobody() {
    let server = TestServer::start(4, 32, None);
    let stalled: Vec<TcpStream> = (0..8).map(|_| open_stream(&server, 2)).collect();
    let (_, text) = expected_text(20, &[]);
    let request = json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 20, "temperature": 0 });
    for _ in 0..4 {
        assert_eq!(post_to(server.address, "/v1/completions", &request).1["choices"][0]["text"], text);
    }
    drop(stalled);
}

#[test]
fn a_full_queue_is_reported() {
    let server = TestServer::start(1, 2, None);
    let streams: Vec<TcpStream> = (0..8).map(|_| open_stream(&server, 2)).collect();
    let statuses: Vec<u16> = streams.into_iter().map(|stream| read_reply(stream).0).collect();
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
}

#[test]
fn all_paths_except_health_need_the_token() {
    let server = TestServer::start(1, 1, Some("secret"));
    let status = |path: &str, headers: &str| read_reply(open(server.address, "GET", path, headers, b"")).0;
    for path in ["/v1/models", "/metrics", "/tokenizer_info", "/v1/other"] {
        assert_eq!(status(path, ""), 401, "{path}");
        assert_eq!(status(path, "Authorization: Bearer secre\r\n"), 401, "{path}");
        assert_eq!(status(path, "Authorization: Basic secret\r\n"), 401, "{path}");
    }
    assert_eq!(status("/v1/models", "authorization: bearer secret\r\n"), 200);
    assert_eq!(status("/health", ""), 200);
}

#[test]
fn the_server_finishes_its_streams_before_it_ends() {
    let mut server = TestServer::start(2, 32, None);
    let stream = open_stream(&server, 32);
    wait_for_a_reply(&stream);
    server.shut_down();
    let (status, _, body) = read_reply(stream);
    assert_eq!(status, 200);
    assert!(body.contains("data: [DONE]"), "{body}");
    assert_eq!(body.matches("\"finish_reason\":\"length\"").count(), 32);
    server.join();
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn metrics_count_requests_and_tokens() {
    let server = TestServer::start(2, 2, None);
    let request = json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 7, "temperature": 0 });
    let (_, reply) = post_to(server.address, "/v1/completions", &request);
    post_to(server.address, "/v1/completions", &json!({}));
    // The engine writes its numbers after the step that replied.
    while metric(&server, "dtr_running_prompts") > 0 {
        std::thread::yield_now();
    }
    assert_eq!(metric(&server, "dtr_new_tokens_total"), 7);
    assert_eq!(Some(metric(&server, "dtr_prompt_tokens_total")), reply["usage"]["prompt_tokens"].as_u64());
    let labels = |status| format!("dtr_requests_total{{path=\"/v1/completions\",status=\"{status}\"}}");
    assert_eq!((metric(&server, &labels(200)), metric(&server, &labels(400))), (1, 1));
    assert_eq!(metric(&server, "dtr_first_token_seconds_count"), 1);
}
