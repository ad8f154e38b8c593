//! The tokenizer of the synthetic language, which has one token for each word. It can be saved as an ordinary
//! `tokenizer.json`.

use std::path::Path;

use dtr_model::DecoderShape;
use tokenizers::decoders::wordpiece::WordPiece;
use tokenizers::models::wordlevel::WordLevelBuilder;
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::synthetic;
use dtr_core::error::{Error, Result};

/// Special tokens. The id of a token is its index in this array.
const SPECIAL: [&str; 4] = ["<unk>", "<bos>", "<eos>", "<pad>"];

/// Punctuation marks. Each mark is one token.
const PUNCTUATION: [&str; 3] = [".", ",", "?"];

/// Returns the tokenizer for pretraining a base. If `shape` names a tokenizer, reads it. Otherwise, returns
/// the tokenizer of the synthetic language.
///
/// # Errors
/// Fails if the configured tokenizer cannot be read.
pub fn read_base_tokenizer(shape: &DecoderShape) -> Result<dtr_model::Tokenizer> {
    match &shape.tokenizer {
        Some(path) => dtr_model::Tokenizer::read(Path::new(path)),
        None => Ok(dtr_model::Tokenizer::from(synthetic_tokenizer()?)),
    }
}

/// Builds the tokenizer of the synthetic language. The tokenizer is the same for all seeds of the language.
///
/// The ids are: `<unk>` 0, `<bos>` 1, `<eos>` 2, `<pad>` 3, then punctuation, then the words in alphabetical
/// order. An encoding with special tokens begins with `<bos>`. Decoding restores the text exactly.
///
/// # Errors
/// Fails if the `tokenizers` crate rejects the configuration, which would be a bug.
pub fn synthetic_tokenizer() -> Result<Tokenizer> {
    build()
        .map_err(|cause| Error::failed(format!("cannot build the synthetic language's tokenizer: {cause}")))
}

fn build() -> tokenizers::Result<Tokenizer> {
    let words = synthetic::vocabulary();
    let tokens = SPECIAL.into_iter().chain(PUNCTUATION).chain(words).map(str::to_owned);
    let model =
        WordLevelBuilder::new().vocab(tokens.zip(0..).collect()).unk_token(SPECIAL[0].to_owned()).build()?;
    let first = TemplateProcessing::builder()
        .try_single("<bos> $A")?
        .try_pair("<bos> $A $B")?
        .special_tokens(vec![("<bos>", 1)])
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)))?;
    tokenizer.with_pre_tokenizer(Some(Whitespace));
    tokenizer.with_post_processor(Some(first));
    // This decoder joins words with spaces and attaches punctuation to the preceding word.
    tokenizer.with_decoder(Some(WordPiece::default()));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, SyntheticTaskKind};
    use dtr_core::seed::Seed;
    use synthetic::SyntheticLanguage;

    fn assert_covers(tokenizer: &Tokenizer, text: &str) {
        let encoding = tokenizer.encode(text, true).unwrap();
        assert_eq!(encoding.get_ids()[0], 1, "<bos> comes first");
        assert!(!encoding.get_ids().contains(&0), "unknown word in: {text}");
        assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), text);
    }

    #[test]
    fn every_document_encodes_and_decodes_to_itself() {
        let tokenizer = synthetic_tokenizer().unwrap();
        let language = SyntheticLanguage::new(Seed(1));
        for index in 0..5_000 {
            assert_covers(&tokenizer, &language.document(Seed(2), index));
        }
    }

    #[test]
    fn every_item_is_encodable_and_every_choice_is_one_token() {
        let tokenizer = synthetic_tokenizer().unwrap();
        for item in SyntheticLanguage::new(Seed(1)).items_of_all_tasks() {
            assert_covers(&tokenizer, &item.prompt);
            for choice in &item.choices {
                assert_eq!(tokenizer.encode(choice.as_str(), false).unwrap().len(), 1, "{choice}");
            }
        }
    }

    #[test]
    fn a_choice_adds_one_token_to_its_prompt() {
        let tokenizer = synthetic_tokenizer().unwrap();
        let language = SyntheticLanguage::new(Seed(1));
        let item = &language.items(SyntheticTaskKind::Moves, Split::Test, 1).unwrap()[0];
        let prompt = tokenizer.encode(item.prompt.as_str(), true).unwrap();
        let with_choice = tokenizer.encode(format!("{} {}", item.prompt, item.choices[0]), true).unwrap();
        assert_eq!(with_choice.get_ids()[..prompt.len()], *prompt.get_ids());
        assert_eq!(with_choice.len(), prompt.len() + 1);
    }

    #[test]
    fn the_saved_tokenizer_is_stable_and_can_be_loaded() {
        let text = synthetic_tokenizer().unwrap().to_string(true).unwrap();
        assert_eq!(synthetic_tokenizer().unwrap().to_string(true).unwrap(), text);
        let read: Tokenizer = text.parse().unwrap();
        assert_eq!(read.get_vocab_size(true), synthetic_tokenizer().unwrap().get_vocab_size(true));
        for (id, token) in SPECIAL.iter().enumerate() {
            assert_eq!(read.token_to_id(token), Some(id as u32));
        }
        assert_covers(&read, "where is the lamp? in the kitchen.");
    }

    #[test]
    fn the_vocabulary_stays_small() {
        let size = synthetic_tokenizer().unwrap().get_vocab_size(true);
        assert!((400..=620).contains(&size), "{size}");
    }
}
