//! Tests of chats.

use async_openai::types::chat::{
    ChatCompletionRequestMessage, ChatCompletionRequestSystemMessageArgs,
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequestArgs, FinishReason, Role,
};
use futures_util::StreamExt;
use serde_json::json;

use super::streams::client;
use super::{PROMPT, expected_text, post};

/// Returns messages that the chat template renders as [`PROMPT`].
fn messages() -> Vec<ChatCompletionRequestMessage> {
    let (system, user) = PROMPT.split_once(". ").unwrap();
    let system = ChatCompletionRequestSystemMessageArgs::default().content(format!("{system}.")).build();
    let user = ChatCompletionRequestUserMessageArgs::default().content(user).build();
    vec![system.unwrap().into(), user.unwrap().into()]
}

fn request() -> CreateChatCompletionRequestArgs {
    let mut request = CreateChatCompletionRequestArgs::default();
    request.model("mini").messages(messages()).max_completion_tokens(12_u32).temperature(0.0);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_continues_the_rendered_messages() {
    let (prompt, text) = expected_text(12, &[]);
    let request = request().logprobs(true).top_logprobs(2).build().unwrap();
    let reply = client().chat().create(request).await.unwrap();
    let choice = &reply.choices[0];
    assert_eq!(choice.message.content.as_deref(), Some(text.as_str()));
    assert_eq!(choice.message.role, Role::Assistant);
    assert_eq!(choice.finish_reason, Some(FinishReason::Length));
    assert_eq!(reply.usage.unwrap().prompt_tokens as usize, prompt.len());
    let tokens = choice.logprobs.as_ref().unwrap().content.as_ref().unwrap();
    assert_eq!(tokens.len(), 12);
    // A greedy token is the first of the most likely ones.
    assert!(
        tokens
            .iter()
            .all(|token| { token.top_logprobs.len() == 2 && token.top_logprobs[0].logprob == token.logprob })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pieces_of_a_streamed_answer_are_the_answer() {
    let (_, text) = expected_text(12, &[]);
    let mut stream = client().chat().create_stream(request().build().unwrap()).await.unwrap();
    let (mut found, mut roles, mut reasons) = (String::new(), Vec::new(), Vec::new());
    while let Some(chunk) = stream.next().await {
        for choice in chunk.unwrap().choices {
            found += choice.delta.content.as_deref().unwrap_or_default();
            roles.extend(choice.delta.role);
            reasons.extend(choice.finish_reason);
        }
    }
    assert_eq!((found, roles, reasons), (text, vec![Role::Assistant], vec![FinishReason::Length]));
}

#[test]
fn what_a_chat_cannot_do_is_refused() {
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    for (name, value) in [
        ("tools", json!([{ "type": "function", "function": { "name": "f" } }])),
        ("response_format", json!({ "type": "json_object" })),
        ("messages", json!([])),
        ("messages", json!([{ "role": "user", "content": [{ "type": "image_url" }] }])),
        ("top_logprobs", json!(3)),
        ("echo", json!(true)),
        ("stream_options", json!({ "include_usage": true })),
    ] {
        let mut request = json!({ "model": "mini", "messages": messages, "max_tokens": 1 });
        request[name] = value.clone();
        let (status, error) = post("/v1/chat/completions", &request);
        assert_eq!((status, &error["error"]["param"]), (400, &json!(name)), "{value}");
    }
}
