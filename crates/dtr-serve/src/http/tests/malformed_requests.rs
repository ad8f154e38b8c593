//! Tests that no request makes the server fail: mutations of valid requests get a reply or a client's error.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{PROMPT, get, read_reply, send, shared_server};

/// The number of mutated requests of each kind.
const NUM_MUTATIONS: usize = 300;

fn requests() -> Vec<(&'static str, Value)> {
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    vec![
        (
            "/v1/completions",
            json!({ "model": "mini", "prompt": [PROMPT], "max_tokens": 2, "logprobs": 1, "echo": true,
                "stop": ["x"], "seed": 1, "n": 1, "temperature": 0.5, "top_p": 0.5 }),
        ),
        (
            "/v1/chat/completions",
            json!({ "model": "mini", "messages": messages, "max_tokens": 2, "logprobs": true,
                "top_logprobs": 1, "stream": true, "stream_options": { "include_usage": true } }),
        ),
        ("/tokenize", json!({ "prompt": PROMPT, "add_special_tokens": false })),
        ("/detokenize", json!({ "tokens": [1, 2, 3] })),
    ]
}

/// Returns values that a field does not expect.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}\u{ffff}\u{1f9d1}"),
        json!("a".repeat(10_000)),
        json!([]),
        json!([[]]),
        json!([null, 1, "a", {}]),
        json!([579, 4_294_967_296_u64]),
        json!({}),
        json!({ "a": { "b": [1] } }),
    ]
}

#[test]
fn odd_values_in_fields_get_a_client_error_or_a_reply() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (requests, values) = (requests(), odd_values());
    for _ in 0..NUM_MUTATIONS {
        let (path, mut request) = requests.choose(&mut rng).unwrap().clone();
        let names: Vec<String> = request.as_object().unwrap().keys().cloned().collect();
        for _ in 0..rng.random_range(1..3) {
            request[names.choose(&mut rng).unwrap()] = values.choose(&mut rng).unwrap().clone();
        }
        let (status, _, reply) = send(shared_server(), "POST", path, request.to_string().as_bytes());
        assert!(status < 500, "{status} for {path} {request:.300}: {reply}");
    }
    assert_eq!(get("/health").0, 200);
}

#[test]
fn damaged_bodies_get_a_client_error_or_a_reply() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let requests = requests();
    for _ in 0..NUM_MUTATIONS {
        let (path, request) = requests.choose(&mut rng).unwrap();
        let body = damage(request.to_string().into_bytes(), &mut rng);
        let (status, _, reply) = send(shared_server(), "POST", path, &body);
        assert!(status < 500, "{status} for {path} {:?}: {reply}", String::from_utf8_lossy(&body));
    }
    assert_eq!(get("/health").0, 200);
}

#[test]
fn damaged_heads_do_not_stop_the_server() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let body = requests()[0].1.to_string();
    let head = format!("POST /v1/completions HTTP/1.1\r\nHost: dtr\r\nContent-Length: {}\r\n", body.len());
    for _ in 0..NUM_MUTATIONS {
        let mut bytes = damage(head.clone().into_bytes(), &mut rng);
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes.extend_from_slice(body.as_bytes());
        let mut stream = TcpStream::connect(shared_server()).unwrap();
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut reply = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut reply);
        assert!(!reply.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&reply));
    }
    assert_eq!(get("/health").0, 200);
}

/// Changes, removes or repeats some bytes.
fn damage(mut bytes: Vec<u8>, rng: &mut impl Rng) -> Vec<u8> {
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..4) {
            0 => bytes[at] = rng.random(),
            1 => drop(bytes.drain(at..(at + 5).min(bytes.len()))),
            2 => bytes.insert(at, b"{}[]\",:0-"[rng.random_range(0..9)]),
            _ => bytes.extend_from_within(at..),
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    bytes
}

#[test]
fn a_body_that_is_not_sent_is_not_waited_for_by_others() {
    let mut stalled = TcpStream::connect(shared_server()).unwrap();
    stalled.write_all(b"POST /tokenize HTTP/1.1\r\nHost: dtr\r\nContent-Length: 100\r\n\r\n{").unwrap();
    assert_eq!(get("/health").0, 200);
    stalled.shutdown(Shutdown::Write).unwrap();
    // A request that ends too early has an error or no reply at all.
    let mut reply = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stalled, &mut reply);
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&reply));
    let _ = read_reply;
}
