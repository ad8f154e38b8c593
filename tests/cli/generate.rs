//! Text through the door: what a user types and what comes back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn mini() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini")
}

/// `dtr generate` with some input.
fn generate(model: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dtr"))
        .arg("generate")
        .arg(model)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `generate` of transformers 5.17 says after these prompts in f32, the likeliest token each time.
const THEIRS: [(&str, &str); 3] = [
    (
        "the lamp is in the",
        " stable. the mirror lies in the workshop. the flute lies in the courtyard. the box is in the bathroom. dora leaves the \
         lamp in the stable. where is the lamp? in the stable. dora walks to the stable. where is the lamp? in the stable. dora \
         leaves the mirror in",
    ),
    (
        "where is the lamp ?",
        " in the study. the mirror lies in the stable. the flute lies in the workshop. the box is in the courtyard. pia leaves \
         the mirror in the bathroom. where is the mirror? in the bathroom. pia walks to the museum. where is the flute? in the \
         workshop. pia walks to",
    ),
    (
        "the red lamp",
        " is with dmitri. the orange fan is with martha. the crimson basket is with yvonne. the crimson basket is with yvonne. \
         dmitri has the red lamp. the orange fan is with martha. what colour is the basket? crimson. what does dmitri have? the \
         lamp. what does yvonne have? the",
    ),
];

#[test]
fn the_likeliest_text_is_that_of_transformers() {
    for (prompt, theirs) in THEIRS {
        let output = generate(&mini(), &[prompt, "--max-tokens", "60"], "");
        assert_eq!(text(&output.stdout), format!("{theirs}\n"));
        assert!(text(&output.stderr).starts_with("60 tokens after a prompt of"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_prompt_comes_from_standard_input_and_its_text_ends_where_it_is_told_to() {
    let output = generate(&mini(), &["-", "--json", "--stop", "the mirror lies"], "the lamp is in the\n");
    let expected = serde_json::json!({
        "prompt_tokens": 6, "tokens": 5, "text": " stable. ", "stop_reason": "stop-string",
    });
    assert_eq!(json(&output), expected);
    let full = json(&generate(&mini(), &["the lamp is in the", "--json", "--max-tokens", "500"], ""));
    assert_eq!((&full["tokens"], &full["stop_reason"]), (&122.into(), &"context-full".into()));
}

#[test]
fn a_seed_gives_the_same_text_again() {
    let of = |seed: &str| {
        let arguments = ["the lamp", "--temperature", "1", "--top-p", "0.95", "--seed", seed];
        text(&generate(&mini(), &arguments, "").stdout)
    };
    assert_eq!(of("5"), of("5"));
    assert_ne!(of("5"), of("6"));
}

#[test]
fn a_chat_needs_a_template_and_takes_it() {
    let refused = generate(&mini(), &["hello", "--chat"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("has no chat template"), "{}", text(&refused.stderr));

    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(mini().join(name), folder.path().join(name)).unwrap();
    }
    let template = "{{ bos_token }}{% for message in messages %}{{ message.content }} {% endfor %}where is";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{ "bos_token": "<bos>" }"#).unwrap();
    let chat = ["the lamp?", "--chat", "--system", "the lamp is in the study.", "--json"];
    let plain = ["the lamp is in the study. the lamp? where is", "--json"];
    assert_eq!(json(&generate(folder.path(), &chat, "")), json(&generate(&mini(), &plain, "")));
}
