//! Many clients at once.

use std::time::{Duration, Instant};

use async_openai::types::completions::{CreateCompletionRequest, CreateCompletionRequestArgs};
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::streams::client_of;
use super::{PROMPT, TestServer, expected_text};
use dtr_core::system_info::resident_bytes;

const NUM_CLIENTS: usize = 200;
const MAX_TOKENS: u32 = 20;

fn request() -> CreateCompletionRequest {
    let mut request = CreateCompletionRequestArgs::default();
    request.model("mini").prompt(PROMPT).max_tokens(MAX_TOKENS).temperature(0.0).stream(true);
    request.build().unwrap()
}

/// Reads streams of `server` with [`NUM_CLIENTS`] clients until `is_over`. Each client reads one stream after
/// another. Returns the number of streams.
async fn read_streams(server: &TestServer, expected: &str, is_over: impl Fn() -> bool) -> usize {
    let read = async || {
        let client = client_of(server.address);
        let mut num_streams = 0;
        loop {
            let mut stream = client.completions().create_stream(request()).await.unwrap();
            let mut text = String::new();
            while let Some(chunk) = stream.next().await {
                chunk.unwrap().choices.iter().for_each(|choice| text += &choice.text);
            }
            assert_eq!(text, expected);
            num_streams += 1;
            if is_over() {
                return num_streams;
            }
        }
    };
    join_all((0..NUM_CLIENTS).map(|_| read())).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_at_once_get_their_texts() {
    let (_, expected) = expected_text(MAX_TOKENS as usize, &[]);
    let server = TestServer::start(32, 512, None);
    assert_eq!(read_streams(&server, &expected, || true).await, NUM_CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; `just serve-test` runs it"]
async fn two_hundred_streams_for_a_minute_need_a_bounded_memory() {
    let (_, expected) = expected_text(MAX_TOKENS as usize, &[]);
    let server = TestServer::start(32, 512, None);
    read_streams(&server, &expected, || true).await;
    let before = resident_bytes().unwrap();
    let start = Instant::now();
    let num_streams = read_streams(&server, &expected, || start.elapsed() > Duration::from_secs(60)).await;
    let after = resident_bytes().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{num_streams} streams in {seconds:.1} s; {before} bytes of memory before, {after} after");
    assert!(after < before + (64 << 20), "{before} bytes before, {after} after");
}
