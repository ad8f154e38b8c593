//! Compares the texts that dtr and Hugging Face transformers render from the same chat templates. The
//! templates are in the fixtures, and in the folder that `DTR_CHATS` names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dtr_model::ChatTemplate;
use jiff::civil::DateTime;
use serde_json::Value;

use crate::skipped::report_skipped;
use crate::support::{fixture, public_folder};

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn now(expected: &Value) -> DateTime {
    expected["now"].as_str().unwrap().parse().unwrap()
}

fn tokens(model: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(model["tokens"].clone()).unwrap()
}

/// Describes each chat for which dtr and transformers render different texts.
fn differences(chat: &ChatTemplate, model: &Value, messages: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for case in model["chats"].as_array().unwrap() {
        let name = case["messages"].as_str().unwrap();
        let computed = chat.render(&messages[name], case["opens_answer"].as_bool().unwrap());
        match (&computed, case["text"].as_str()) {
            (Ok(computed), Some(expected)) if computed == expected => {}
            (Err(_), None) => {}
            _ => differences.push(format!("{name}:\n  computed {computed:?}\n  expected {case}")),
        }
    }
    differences
}

#[test]
fn templates_of_the_fixtures_give_the_same_texts_tokens_and_errors() {
    let expected = read(&fixture("chat/expected.json"));
    for (name, model) in expected["models"].as_object().unwrap() {
        let chat = ChatTemplate::read(&fixture(&format!("chat/{name}")), now(&expected)).unwrap();
        assert_eq!(*chat.special_tokens(), tokens(model), "{name}");
        let differences = differences(&chat, model, &expected["messages"]);
        assert!(differences.is_empty(), "{name}: {}", differences.join("\n"));
        println!("{name}: {} chats", model["chats"].as_array().unwrap().len());
    }
}

#[test]
fn an_error_that_a_template_raises_is_shown() {
    let expected = read(&fixture("chat/expected.json"));
    let chat = ChatTemplate::read(&fixture("chat/headers"), now(&expected)).unwrap();
    let refused = chat.render(&expected["messages"]["out of turn"], true).unwrap_err().to_string();
    assert!(refused.contains("roles must take turns, and message 2 is of user"), "{refused}");
}

#[test]
fn templates_of_a_folder_give_the_same_texts() {
    let Some(folder) = std::env::var_os("DTR_CHATS").map(PathBuf::from) else {
        return report_skipped("DTR_CHATS does not name a folder that chat.py wrote to");
    };
    let expected = read(&folder.join("expected.json"));
    let mut differing = Vec::new();
    for (name, model) in expected["models"].as_object().unwrap() {
        let template = fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let differences = match ChatTemplate::new(&template, tokens(model), now(&expected)) {
            Ok(chat) => differences(&chat, model, &expected["messages"]),
            Err(error) => vec![error.to_string()],
        };
        println!("{name}: {} of {} differ", differences.len(), model["chats"].as_array().unwrap().len());
        differing.extend(differences.into_iter().map(|line| format!("{name}, {line}")));
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_tokenizer_without_a_chat_template_is_refused() {
    let Some(folder) = public_folder("tokenizers/qwen2.5") else { return };
    let config = read(&folder.join("tokenizer_config.json"));
    match config.get("chat_template") {
        Some(_) => report_skipped("this tokenizer has a chat template"),
        None => {
            let refused = ChatTemplate::read(&folder, DateTime::default()).err().unwrap().to_string();
            assert!(refused.ends_with("has no chat template"), "{refused}");
        }
    }
}
