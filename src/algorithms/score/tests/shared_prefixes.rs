//! Tests that log-likelihoods do not change when rows share the computation of their common prefix.

use std::path::Path;

use std::collections::BTreeSet;

use super::*;
use crate::data::scoring_requests::PrefixGroup;

/// The maximum number of tokens of a row. Some rows of [`items_with_shared_prefixes`] are longer and are
/// therefore truncated.
const MAX_ROW_TOKENS: usize = 96;

/// A very long choice. The scorer runs this choice apart from shorter choices, because padding the shorter
/// choices to the same length would cost too much.
const LONG: &str = "what nobody remembers of the days before the flood";

/// Returns a byte-level BPE tokenizer, which splits most choices into several tokens.
pub(super) fn byte_level_tokenizer() -> Tokenizer {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Tokenizer::read(&root.join("tests/fixtures/tasks/model/tokenizer.json")).unwrap()
}

fn item(id: String, prompt: &str, choices: &[&str], label: usize) -> Item {
    let choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
    Item { id, prompt: prompt.to_owned(), prompts: Vec::new(), choices, label }
}

/// Returns items of several kinds and lengths. The rows of most items share a prefix.
pub(super) fn items_with_shared_prefixes() -> Vec<Item> {
    let mut items = Vec::new();
    for (round, subject) in ["a stone", "the old river", "my brother's second horse"].iter().enumerate() {
        let about = |kind: &str| format!("Question: {kind}, what is {subject}?\nAnswer:");
        let mut add = |kind: &str, prompt: &str, choices: &[&str]| {
            items.push(item(format!("{kind} {round}"), prompt, choices, round % choices.len()));
        };
        let long = |kind: &str| format!("{LONG}, {LONG}, {}", about(kind));
        add("lengths", &about("lengths"), &["wet", LONG, "blue and heavy", "gone"]);
        add("lengths again", &about("lengths"), &["gone", "blue and light", "a blue one"]);
        add("a prefix", &about("a prefix"), &["zzz", "zzzz", "zzzzzzzz"]);
        add("identical", &about("identical"), &["nothing at all", "nothing at all", "all of it"]);
        add("single", &about("single"), &["only this"]);
        add("letters", &about("letters"), &["A", "B", "C"]);
        add("a letter and a word", &about("both"), &["A", "A word"]);
        add("short", "It", &["is so", "was not"]);
        add("truncated", &long("truncated"), &["wet", LONG, "blue"]);
        add("truncated alike", &long("alike"), &["ZXQ", "QZX"]);
        let own = |first: &str| format!("{} Did {first} know it? They say", about("own"));
        let prompts = vec![own("Anna"), own("a man of the village")];
        items.push(Item { prompts, ..item(format!("own {round}"), "", &["it slept", "it slept"], 0) });
        let prompts = vec![format!("Yes, {}", about("apart")), format!("No, {}", about("apart"))];
        items.push(Item { prompts, ..item(format!("apart {round}"), "", &["it slept", "it slept"], 1) });
    }
    items
}

pub(super) fn requests_with_shared_prefixes() -> ScoringRequests {
    ScoringRequests::new(&byte_level_tokenizer(), items_with_shared_prefixes(), Metric::Acc, MAX_ROW_TOKENS)
        .unwrap()
}

/// Returns the log-likelihoods of all choices, computed row by row.
fn plain(hybrid: &Hybrid<'_>, requests: &ScoringRequests) -> Vec<Vec<f64>> {
    let mut scored = requests.zero_log_likelihoods();
    for (row, ids) in requests.rows().iter().enumerate() {
        let hidden_td = hybrid.forward_hidden(std::slice::from_ref(ids), None, None).squeeze_dim::<2>(0);
        let logits = burn::tensor::activation::log_softmax(hybrid.logits(hidden_td), 1);
        for target in requests.targets(row) {
            let value = logits
                .clone()
                .slice([target.position..=target.position, target.token as usize..=target.token as usize]);
            scored[target.item][target.choice] += f64::from(value.into_scalar::<f32>());
        }
    }
    scored
}

#[test]
fn rows_with_a_long_common_prefix_share_it() {
    let requests = requests_with_shared_prefixes();
    let groups: Vec<&PrefixGroup> = requests.passes(4096).concat();
    let kind = |group: &&PrefixGroup| {
        let item = requests.targets(group.rows[0])[0].item;
        requests.items()[item].id.trim_end_matches([' ', '0', '1', '2']).to_owned()
    };
    let kinds = |is_alone: bool| -> BTreeSet<String> {
        groups
            .iter()
            .copied()
            .filter(|group| group.is_single_row() == is_alone)
            .map(|group| kind(&group))
            .collect()
    };
    let alone = ["apart", "letters", "short", "single", "truncated"];
    let shared = [
        "a letter and a word",
        "a prefix",
        "identical",
        "lengths",
        "lengths again",
        "own",
        "truncated alike",
    ];
    assert_eq!(kinds(true), alone.map(str::to_owned).into());
    assert_eq!(kinds(false), shared.map(str::to_owned).into());
    assert_eq!(requests.num_truncated_items(), 5);
}

#[test]
fn sharing_prefixes_changes_no_bit_of_a_score() {
    let (tokenizer, requests) = (byte_level_tokenizer(), requests_with_shared_prefixes());
    let base = base(&tokenizer);
    for variant in variants() {
        let twins = twins(&variant, &base);
        for mask in [Mask::empty(), (0..4).collect(), Mask::empty().with_layer(1).with_layer(2)] {
            let expected = plain(&Hybrid::new(&base, &twins, &mask), &requests);
            for tokens in [1, 300, 4096] {
                let mut scorer =
                    Scorer::from_passes(vec![requests.passes(tokens)], &base, Some(&twins), &requests);
                let scored = scorer.score(&Mask::empty(), &mask).unwrap().items;
                for (score, expected) in scored.iter().zip(&expected) {
                    assert_eq!(
                        score.log_likelihoods(),
                        *expected,
                        "{}: {variant:?} {mask:?} {tokens}",
                        score.id()
                    );
                }
            }
        }
    }
}

#[test]
fn a_shared_prefix_is_computed_once() {
    let (tokenizer, requests) = (byte_level_tokenizer(), requests_with_shared_prefixes());
    let base = base(&tokenizer);
    // Each pass has one group, so that only suffixes are padded.
    let mut scorer = Scorer::from_passes(vec![requests.passes(1)], &base, None, &requests);
    let tokens = scorer.score(&Mask::empty(), &Mask::empty()).unwrap().tokens as usize;
    let rows: usize = requests.rows().iter().map(Vec::len).sum();
    assert!(requests.num_tokens() * 4 < rows * 3, "{} of {rows}", requests.num_tokens());
    assert!((requests.num_tokens()..requests.num_tokens() * 11 / 10).contains(&tokens), "{tokens}");
}
