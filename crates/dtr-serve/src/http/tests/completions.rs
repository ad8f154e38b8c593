//! Tests of completions in one reply.

use serde_json::{Value, json};

use super::{PROMPT, expected_text, get, post, read_model, send, shared_server};
use dtr_model::LoadedModel;

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
        ("stop", json!(vec!["a"; 33])),
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
