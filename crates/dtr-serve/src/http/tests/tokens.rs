//! Tests of the tokenizer's paths.

use serde_json::json;

use super::{CHAT_TEMPLATE, PROMPT, get, post, read_model};

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
        "chat_template": CHAT_TEMPLATE,
    });
    assert_eq!(get("/tokenizer_info").1, names, "the bundled base names no special token");
    assert_eq!(get("/v1/models").1["data"][0]["id"], "mini");
    assert_eq!(get("/v1/models/mini").0, 200);
    assert_eq!(get("/v1/models/other").0, 404);
    assert_eq!(get("/health").0, 200);
}
