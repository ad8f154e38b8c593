//! Tests of streamed replies with the client `async-openai`.

use std::net::SocketAddr;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{ChatCompletionStreamOptions, CompletionFinishReason};
use async_openai::types::completions::{CreateCompletionRequest, CreateCompletionRequestArgs};
use futures_util::StreamExt;
use serde_json::json;

use super::{PROMPT, expected_text, open, post, read_reply, shared_server};

/// Returns a client of the shared server.
pub fn client() -> Client<OpenAIConfig> {
    client_of(shared_server())
}

/// Returns a client of the server at `address`.
pub fn client_of(address: SocketAddr) -> Client<OpenAIConfig> {
    let base = format!("http://{address}/v1");
    Client::with_config(OpenAIConfig::new().with_api_base(base).with_api_key("none"))
}

fn request() -> CreateCompletionRequestArgs {
    let mut request = CreateCompletionRequestArgs::default();
    request.model("mini").prompt(PROMPT).max_tokens(20_u32).temperature(0.0);
    request
}

/// What a client read of a stream: the texts, the reasons of their ends, and the numbers of tokens.
type StreamedTexts = (Vec<String>, Vec<CompletionFinishReason>, Option<(u32, u32)>);

async fn read_stream(request: CreateCompletionRequest, num_texts: usize) -> StreamedTexts {
    let mut stream = client().completions().create_stream(request).await.unwrap();
    let (mut texts, mut reasons, mut usage) = (vec![String::new(); num_texts], Vec::new(), None);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.unwrap();
        usage = chunk.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
        for choice in chunk.choices {
            texts[choice.index as usize] += &choice.text;
            reasons.extend(choice.finish_reason);
        }
    }
    (texts, reasons, usage)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pieces_of_a_stream_are_the_whole_text() {
    let (prompt, text) = expected_text(20, &[]);
    let (texts, reasons, usage) = read_stream(request().stream(true).n(2).build().unwrap(), 2).await;
    assert_eq!(texts, [text.clone(), text.clone()]);
    assert_eq!(reasons, [CompletionFinishReason::Length; 2]);
    assert_eq!(usage, None);
    let options = ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
    let request = request().stream(true).stream_options(options).build().unwrap();
    let (texts, _, usage) = read_stream(request, 1).await;
    assert_eq!((texts, usage), (vec![text], Some((u32::try_from(prompt.len()).unwrap(), 20))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_before_a_stop_string() {
    let (_, whole) = expected_text(20, &[]);
    // The stop string begins inside a token, so a part of the token must be held back.
    let stop: String = whole.chars().skip(3).take(4).collect();
    let (_, text) = expected_text(20, &[&stop]);
    let request = request().stream(true).stop(stop).build().unwrap();
    let (texts, reasons, _) = read_stream(request, 1).await;
    assert_eq!((texts, reasons), (vec![text], vec![CompletionFinishReason::Stop]));
}

#[test]
fn the_log_probabilities_of_a_stream_are_those_of_a_whole_reply() {
    let mut request = json!({ "model": "mini", "prompt": PROMPT, "max_tokens": 9, "temperature": 0,
        "logprobs": 2, "echo": true });
    let (_, whole) = post("/v1/completions", &request);
    let whole = &whole["choices"][0]["logprobs"];
    request["stream"] = json!(true);
    let body = request.to_string();
    let (status, head, body) =
        read_reply(open(shared_server(), "POST", "/v1/completions", "", body.as_bytes()));
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    // The body has the chunked transfer encoding, whose lines with sizes do not begin with `data:`.
    let events: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    let chunks: Vec<serde_json::Value> =
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let list = |chunk: &serde_json::Value| {
            chunk["choices"][0]["logprobs"][name].as_array().cloned().unwrap_or_default()
        };
        assert_eq!(json!(chunks.iter().flat_map(list).collect::<Vec<_>>()), whole[name], "{name}");
    }
}
