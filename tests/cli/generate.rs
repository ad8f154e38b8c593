//! `dtr generate`: prompts, sampling and chat templates.

use std::path::PathBuf;

use serde_json::json;

use crate::dtr_command::DtrCommand;
use crate::project::repository_root;
use crate::temp_folder::TempFolder;

fn bundled_base() -> PathBuf {
    repository_root().join("models/mini")
}

fn generate(prompt: &str) -> DtrCommand {
    DtrCommand::new("generate").arg(bundled_base()).arg(prompt)
}

/// Prompts, and the continuations that transformers 5.17 generates greedily in f32.
const TRANSFORMERS_TEXTS: [(&str, &str); 3] = [
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
fn greedy_text_equals_that_of_transformers() {
    for (prompt, continuation) in TRANSFORMERS_TEXTS {
        let output = generate(prompt).args(["--max-tokens", "60"]).success();
        assert_eq!(output.stdout(), format!("{continuation}\n"));
        let stderr = output.stderr();
        assert!(stderr.starts_with("60 tokens after a prompt of"), "{stderr}");
    }
}

#[test]
fn the_prompts_of_a_file_are_continued_in_batches() {
    let folder = TempFolder::new();
    let lines = TRANSFORMERS_TEXTS.iter().enumerate();
    let lines = lines.map(|(id, (prompt, _))| json!({ "prompt": prompt, "id": [id] }).to_string() + "\n");
    // Only the third text contains the stop string, so this text ends earlier than the other texts.
    folder.write("prompts.jsonl", lines.collect::<String>() + "\n");
    let stop = "what does yvonne";
    for rows in ["1", "2", "8"] {
        let output = DtrCommand::new("generate").arg(bundled_base()).arg("--prompts");
        let output = output.arg(folder.path("prompts.jsonl")).args(["--rows", rows]);
        let output = output.args(["--max-tokens", "60", "--stop", stop]).success();
        let texts: Vec<serde_json::Value> =
            output.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(texts.len(), 3);
        for (id, (text, (prompt, continuation))) in texts.iter().zip(TRANSFORMERS_TEXTS).enumerate() {
            let expected = continuation.split(stop).next().unwrap();
            assert_eq!((&text["prompt"], &text["text"]), (&prompt.into(), &expected.into()), "{rows}");
            assert_eq!(text["id"], json!([id]));
            let reason = if id == 2 { "stop-string" } else { "max-tokens" };
            assert_eq!(text["stop_reason"], reason);
        }
        assert!(output.stderr().contains("tokens after 3 prompts"), "{}", output.stderr());
    }
}

#[test]
fn a_file_of_prompts_with_a_wrong_line_is_refused() {
    let folder = TempFolder::new();
    folder.write("prompts.jsonl", "{\"prompt\": \"a\"}\n\n{\"question\": \"b\"}\n");
    let command =
        || DtrCommand::new("generate").arg(bundled_base()).arg("--prompts").arg(folder.path("prompts.jsonl"));
    command().exit(2).stderr_contains("cannot read line 3 of");
    command().arg("hello").exit(2).stderr_contains("cannot be used with");
    DtrCommand::new("generate").arg(bundled_base()).exit(2).stderr_contains("required");
}

#[test]
fn a_prompt_is_read_from_standard_input_and_a_stop_string_ends_the_text() {
    let stopped = generate("-").args(["--stop", "the mirror lies"]).stdin("the lamp is in the\n").json();
    let expected =
        json!({ "prompt_tokens": 6, "tokens": 5, "text": " stable. ", "stop_reason": "stop-string" });
    assert_eq!(stopped, expected);
}

#[test]
fn generation_ends_at_the_end_of_the_context() {
    let full = generate("the lamp is in the").args(["--max-tokens", "500"]).json();
    assert_eq!((&full["tokens"], &full["stop_reason"]), (&122.into(), &"context-full".into()));
}

#[test]
fn a_seed_gives_the_same_text_again() {
    let sample = |seed: &str| {
        let arguments = ["--temperature", "1", "--top-p", "0.95", "--seed", seed];
        generate("the lamp").args(arguments).success().stdout()
    };
    assert_eq!(sample("5"), sample("5"));
    assert_ne!(sample("5"), sample("6"));
}

#[test]
fn a_chat_needs_a_template_and_renders_it() {
    generate("hello").arg("--chat").exit(2).stderr_contains("has no chat template");

    let model = TempFolder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(bundled_base().join(name), model.path(name)).unwrap();
    }
    let template = "{{ bos_token }}{% for message in messages %}{{ message.content }} {% endfor %}where is";
    model.write("chat_template.jinja", template);
    model.write("tokenizer_config.json", r#"{ "bos_token": "<bos>" }"#);
    let chat = DtrCommand::new("generate").arg(model.root()).args(["the lamp?", "--chat"]);
    let chat = chat.args(["--system", "the lamp is in the study."]).json();
    assert_eq!(chat, generate("the lamp is in the study. the lamp? where is").json());
}

/// The expected text is the continuation that transformers 5.17 generates with the output head in the weights
/// file.
#[test]
fn a_stored_head_is_used_although_the_config_ties_it() {
    let model = TempFolder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(bundled_base().join(name), model.path(name)).unwrap();
    }
    let config = std::fs::read_to_string(model.path("config.json")).unwrap();
    let tied = config.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    assert_ne!(config, tied);
    model.write("config.json", tied);
    let prompt = "the lamp is in the study. the mirror is in the garden. where is the lamp? in the";
    let output =
        DtrCommand::new("generate").arg(model.root()).arg(prompt).args(["--max-tokens", "6"]).success();
    assert_eq!(output.stdout(), " study. moritz puts the lamp\n");
}
