//! Generates the documents of the corpus: passages with answered questions, facts, lists, and filler
//! sentences.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::items::{DrawPassage, is_for_corpus};
use super::passage::{Passage, Purpose, Question, num_tokens};
use super::{SyntheticLanguage, filler, moves, recall, repeated_lists, topic};

const MAX_DOCUMENT_TOKENS: usize = 120;

/// The percentages of the kinds of documents. The remaining 3 % of the documents are filler sentences.
///
/// Half of the documents are lists. When only a tenth of the documents were lists, models of the bundled
/// base's size did not learn to copy within 100M tokens. Models that could not copy did not learn the recall
/// task either.
const RECALL_PERCENT: u32 = 18;
const MOVES_PERCENT: u32 = 14;
const FACTS_PERCENT: u32 = 10;
const TOPIC_PERCENT: u32 = 5;
const LISTS_PERCENT: u32 = 50;

/// The probability that a document begins with a filler sentence.
const OPENING_PROBABILITY: f64 = 0.15;

/// Generates a random document of `language`.
pub(super) fn generate_document(language: &SyntheticLanguage, rng: &mut ChaCha8Rng) -> String {
    let mut sentences = Vec::new();
    if rng.random_bool(OPENING_PROBABILITY) {
        sentences.push(filler::draw_sentence(rng));
    }
    sentences.extend(generate_body(language, rng));
    join_within_limit(sentences)
}

fn generate_body(language: &SyntheticLanguage, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut percent = rng.random_range(0..100);
    let passages: [(DrawPassage, u32); 3] = [
        (recall::draw_passage, RECALL_PERCENT),
        (moves::draw_passage, MOVES_PERCENT),
        (topic::draw_passage, TOPIC_PERCENT),
    ];
    for (draw, share) in passages {
        if percent < share {
            return sentences_of(draw_corpus_passage(draw, rng));
        }
        percent -= share;
    }
    if percent < FACTS_PERCENT {
        language.facts().sample_sentences(rng)
    } else if percent < FACTS_PERCENT + LISTS_PERCENT {
        repeated_lists::draw_sentences(rng)
    } else {
        (0..rng.random_range(2..=4)).map(|_| filler::draw_sentence(rng)).collect()
    }
}

fn draw_corpus_passage(draw: DrawPassage, rng: &mut ChaCha8Rng) -> Passage {
    loop {
        let passage = draw(rng, Purpose::Corpus);
        if is_for_corpus(&passage) {
            return passage;
        }
    }
}

/// Returns the sentences of a passage, and after them every question with its answer.
fn sentences_of(passage: Passage) -> Vec<String> {
    let answers = passage.questions.iter().map(Question::with_answer);
    passage.corpus_sentences.into_iter().chain(answers).collect()
}

/// Joins texts up to the maximum length of a document. The last questions of a long passage are dropped.
fn join_within_limit(texts: Vec<String>) -> String {
    let mut document = String::new();
    let mut length = 0;
    for text in texts {
        length += num_tokens(&text);
        if length > MAX_DOCUMENT_TOKENS {
            break;
        }
        if !document.is_empty() {
            document.push(' ');
        }
        document.push_str(&text);
    }
    document
}
