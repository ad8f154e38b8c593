//! Documents: passages with their questions answered, facts, and free sentences between them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::items::{Draw, is_for_corpus};
use super::passage::{Passage, Purpose, Question, num_tokens};
use super::{SyntheticLanguage, lists, moves, narrative, recall, topic};

/// The longest document, in tokens.
const MAX_TOKENS: usize = 120;

/// Of a hundred documents, how many hold what. Lists are half of them: with a tenth, models of the
/// bundled base's size did not learn to copy within 100M tokens, and no binding without copying.
const NUM_RECALL: u32 = 18;
const NUM_MOVES: u32 = 14;
const NUM_FACTS: u32 = 10;
const NUM_TOPIC: u32 = 5;
const NUM_LISTS: u32 = 50;

/// The share of documents that open with a free sentence.
const OPENED: f64 = 0.15;

/// Draws a document of `world`.
pub(super) fn draw(world: &SyntheticLanguage, rng: &mut ChaCha8Rng) -> String {
    let mut sentences = Vec::new();
    if rng.random_bool(OPENED) {
        sentences.push(narrative::draw(rng));
    }
    sentences.extend(draw_body(world, rng));
    cut(sentences)
}

fn draw_body(world: &SyntheticLanguage, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut turn = rng.random_range(0..100);
    let passages: [(Draw, u32); 3] =
        [(recall::draw, NUM_RECALL), (moves::draw, NUM_MOVES), (topic::draw, NUM_TOPIC)];
    for (draw, share) in passages {
        if turn < share {
            return tell(draw_passage(draw, rng));
        }
        turn -= share;
    }
    if turn < NUM_FACTS {
        world.facts().tell(rng)
    } else if turn < NUM_FACTS + NUM_LISTS {
        lists::draw(rng)
    } else {
        (0..rng.random_range(2..=4)).map(|_| narrative::draw(rng)).collect()
    }
}

fn draw_passage(draw: Draw, rng: &mut ChaCha8Rng) -> Passage {
    loop {
        let passage = draw(rng, Purpose::Corpus);
        if is_for_corpus(&passage) {
            return passage;
        }
    }
}

/// The statements as told, then every question with its answer.
fn tell(passage: Passage) -> Vec<String> {
    let answers = passage.questions.iter().map(Question::answered);
    passage.told.into_iter().chain(answers).collect()
}

/// Joins as many of the texts as fit, so that a long passage loses its last questions.
fn cut(texts: Vec<String>) -> String {
    let mut document = String::new();
    let mut length = 0;
    for text in texts {
        length += num_tokens(&text);
        if length > MAX_TOKENS {
            break;
        }
        if !document.is_empty() {
            document.push(' ');
        }
        document.push_str(&text);
    }
    document
}
