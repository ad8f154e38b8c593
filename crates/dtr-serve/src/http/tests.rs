//! Tests of replies over a TCP connection, with the bundled base.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::*;
use crate::engine::EngineLimits;
use dtr_core::seed::Seed;
use dtr_model::LoadedModel;
use dtr_model::generate::{GenerationConfig, generate};

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini")
}

fn read_model() -> LoadedModel {
    LoadedModel::read(&directory(), &Device::flex()).unwrap()
}

/// Returns the address of a server that all tests share.
fn shared_server() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let limits = EngineLimits { rows: 4, queue: 16, prefix_cache_bytes: 1 << 28 };
        let model = ServedModel::start("mini".to_owned(), &directory(), read_model(), None, limits).unwrap();
        start_server(model)
    })
}

/// Starts a server on a thread. The thread ends with the tests.
fn start_server(model: ServedModel) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Arc::new(model)).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// Sends a request. Returns the status, the headers and the body.
fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: dtr\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server may reply to a request that is too large before it has read the whole body.
    let _ = stream.write_all(body);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    let reply = String::from_utf8(reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Posts a JSON object. Returns the status and the JSON reply.
fn post(path: &str, body: &Value) -> (u16, Value) {
    let (status, _, reply) = send(shared_server(), "POST", path, body.to_string().as_bytes());
    (status, serde_json::from_str(&reply).unwrap())
}

fn get(path: &str) -> (u16, Value) {
    let (status, _, reply) = send(shared_server(), "GET", path, b"");
    (status, serde_json::from_str(&reply).unwrap())
}

const PROMPT: &str = "the lamp is in the study. where is the lamp?";

/// Returns the greedy text after [`PROMPT`] of the program's own generator.
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

#[test]
fn a_completion_is_the_text_of_the_generator() {
    let (prompt, text) = expected_text(20, &[]);
    let request = json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 20, "temperature": 0 });
    let (status, reply) = post("/v1/completions", &request);
    assert_eq!((status, &reply["choices"][0]["text"]), (200, &json!(text)), "{reply}");
    assert_eq!(reply["object"], "text_completion");
    assert_eq!(reply["usage"]["prompt_tokens"], prompt.len());
    let request =
        json!({ "model": "mini", "prompt": [prompt, prompt], "max_tokens": 20, "temperature": 0, "n": 2 });
    let (_, reply) = post("/v1/completions", &request);
    let texts: Vec<&Value> =
        reply["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, [&json!(text); 4]);
    assert_eq!(reply["usage"]["prompt_tokens"], 2 * prompt.len());
}

#[test]
fn a_stop_string_ends_a_completion_before_its_text() {
    let (_, whole) = expected_text(20, &[]);
    let stop: String = whole.chars().skip(3).take(4).collect();
    let (_, text) = expected_text(20, &[&stop]);
    assert!(text.len() < whole.len());
    let request =
        json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 20, "temperature": 0, "stop": [stop] });
    let (_, reply) = post("/v1/completions", &request);
    assert_eq!(reply["choices"][0]["text"], text);
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
}

/// lm-evaluation-harness reads the reply in this way.
#[test]
fn an_echo_has_the_log_probabilities_of_the_prompt_and_of_one_token() {
    let model = read_model();
    let prompt = model.tokenizer.encode_prompt(PROMPT).unwrap();
    let request = json!({ "model": "mini", "prompt": [prompt], "max_tokens": 1, "temperature": 0,
        "logprobs": 1, "echo": true, "seed": 1234 });
    let (status, reply) = post("/v1/completions", &request);
    assert_eq!(status, 200, "{reply}");
    let found = &reply["choices"][0]["logprobs"];
    let count = |name: &str| found[name].as_array().unwrap().len();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(count(name), prompt.len() + 1, "{name}");
    }
    assert_eq!(found["token_logprobs"][0], Value::Null);
    assert_eq!(found["top_logprobs"][0], Value::Null);
    let tokens = burn_logits(&model, &prompt);
    for (at, (log_prob, is_greedy)) in tokens.into_iter().enumerate() {
        let given = found["token_logprobs"][at + 1].as_f64().unwrap();
        let top = found["top_logprobs"][at + 1].as_object().unwrap();
        let highest = top.values().map(|value| value.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max);
        assert!((given - log_prob).abs() < 1e-4, "token {at}: {given} and {log_prob}");
        assert_eq!(given == highest, is_greedy, "token {at}");
    }
    let last = prompt.len();
    let text = reply["choices"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(PROMPT), "{text}");
    assert_eq!(found["text_offset"][last], PROMPT.chars().count());
}

/// Returns the log-probability of each token of the prompt after its first, and whether the token is the most
/// likely one, from one pass over the whole prompt.
fn burn_logits(model: &LoadedModel, prompt: &[u32]) -> Vec<(f64, bool)> {
    let (pass, _) = dtr_model::generate::PromptPass::first(&model.hybrid(), &[prompt]);
    let rows = pass.logits(&model.hybrid(), 0, 0..prompt.len() - 1);
    let log_prob = |(logits, &token): (&Vec<f32>, &u32)| {
        let log_sum = logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let logit = logits[token as usize];
        (f64::from(logit) - log_sum, logit == highest)
    };
    rows.iter().zip(&prompt[1..]).map(log_prob).collect()
}

#[test]
fn wrong_requests_get_the_statuses_of_openai() {
    let with = |name: &str, value: Value| {
        let mut request = json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 1 });
        request[name] = value;
        post("/v1/completions", &request)
    };
    assert_eq!(with("model", json!("other")).0, 404);
    let (status, error) = with("max_tokens", json!(1000));
    assert_eq!((status, &error["error"]["code"]), (400, &json!("context_length_exceeded")));
    for (name, value) in [
        ("top_k", json!(3)),
        ("prompt", json!([100_000])),
        ("prompt", json!([])),
        ("temperature", json!(-1)),
        ("n", json!(0)),
        ("n", json!(100)),
        ("logprobs", json!(21)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("stream", json!(true)),
        ("stream_options", json!({ "include_usage": true })),
        ("best_of", json!(2)),
    ] {
        let (status, error) = with(name, value.clone());
        assert_eq!((status, &error["error"]["param"]), (400, &json!(name)), "{value}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }
    let server = shared_server();
    assert_eq!(send(server, "POST", "/v1/completions", b"{").0, 400);
    assert_eq!(send(server, "GET", "/v1/completions", b"").0, 405);
    assert_eq!(get("/v1/engines").0, 404);
    assert_eq!(send(server, "POST", "/tokenize", &vec![b' '; (16 << 20) + 1]).0, 413);
}

#[test]
fn clients_can_use_the_tokenizer() {
    let prompt = read_model().tokenizer.encode(PROMPT, true).unwrap();
    let (_, reply) = post("/tokenize", &json!({ "prompt": PROMPT }));
    assert_eq!(reply["tokens"], json!(prompt));
    let plain = read_model().tokenizer.encode(PROMPT, false).unwrap();
    let (_, reply) = post("/tokenize", &json!({ "prompt": PROMPT, "add_special_tokens": false }));
    assert_eq!(reply["tokens"], json!(plain));
    assert_eq!(post("/detokenize", &json!({ "tokens": plain })).1, json!({ "prompt": PROMPT }));
    let prefix = read_model().tokenizer.prefix_token().unwrap();
    let names = json!({
        "bos_token": read_model().tokenizer.token_text(prefix),
        "eos_token": null,
        "pad_token": null,
        "chat_template": null,
    });
    assert_eq!(get("/tokenizer_info").1, names, "the bundled base names no special token");
    assert_eq!(get("/v1/models").1["data"][0]["id"], "mini");
    assert_eq!(get("/v1/models/mini").0, 200);
    assert_eq!(get("/v1/models/other").0, 404);
    assert_eq!(get("/health").0, 200);
}
