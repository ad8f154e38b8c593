//! Decodes tokens one by one. A character may consist of several tokens, and the text of a token can depend
//! on the tokens before it.
//!
//! Bytes that are not valid UTF-8 become U+FFFD, as when transformers decodes all tokens at once.

use super::Tokenizer;
use dtr_core::error::Result;

/// The character that stands for bytes that are not valid UTF-8, or not complete yet.
const REPLACEMENT: char = '\u{fffd}';

/// A decoder that converts the tokens after a prompt to text, one by one.
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    /// Token ids: a context, followed by the ids whose text has not been returned yet. At first, the context
    /// is the prompt. Later, it holds the ids whose text was returned most recently.
    ids: Vec<u32>,
    /// The text of the context at the beginning of `ids`.
    prefix: String,
    /// The number of ids in the context.
    prefix_len: usize,
}

impl<'a> Detokenizer<'a> {
    /// Creates a detokenizer for the tokens after `prompt`. [`Detokenizer::push`] does not return the text of
    /// `prompt` itself.
    ///
    /// # Errors
    /// Fails when the prompt cannot be decoded.
    pub fn new(tokenizer: &'a Tokenizer, prompt: &[u32]) -> Result<Self> {
        let prefix = tokenizer.decode(prompt)?;
        Ok(Self { tokenizer, ids: prompt.to_vec(), prefix, prefix_len: prompt.len() })
    }

    /// Adds `token` and returns the text that it completes, without special tokens. The text is empty while a
    /// character is incomplete.
    ///
    /// # Errors
    /// Fails when the tokenizer's decoder refuses the tokens.
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.ids.push(token);
        let text = self.tokenizer.decode(&self.ids)?;
        if text == self.prefix || text.ends_with(REPLACEMENT) || self.tokenizer.is_byte(token) {
            return Ok(String::new());
        }
        let piece = self.new_text(&text).to_owned();
        self.ids.drain(..self.prefix_len);
        self.prefix_len = self.ids.len();
        self.prefix = self.tokenizer.decode(&self.ids)?;
        Ok(piece)
    }

    /// Returns the text that [`Detokenizer::push`] has not returned yet. Call this function after the last
    /// token was pushed. An incomplete character becomes U+FFFD.
    ///
    /// # Errors
    /// Fails when the tokenizer's decoder refuses the tokens.
    pub fn finish(&self) -> Result<String> {
        let text = self.tokenizer.decode(&self.ids)?;
        Ok(self.new_text(&text).to_owned())
    }

    /// Returns the part of `text` after the prefix. If a token changed the text of earlier tokens, the part
    /// begins at the first character that changed.
    fn new_text<'t>(&self, text: &'t str) -> &'t str {
        let mut start = 0;
        for (new, old) in text.chars().zip(self.prefix.chars()) {
            if new != old {
                break;
            }
            start += new.len_utf8();
        }
        &text[start..]
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::decoders::byte_level::ByteLevel;
    use tokenizers::models::bpe::{BpeBuilder, Vocab};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel as Bytes;

    use serde_json::{Value, json};

    use super::*;

    /// Returns a tokenizer in which every byte is a token.
    fn byte_level_tokenizer() -> Tokenizer {
        let mut alphabet: Vec<char> = Bytes::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let vocabulary: Vocab = alphabet.iter().map(char::to_string).zip(0..).collect();
        let model = BpeBuilder::new().vocab_and_merges(vocabulary, Vec::new()).build().unwrap();
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(Bytes::default().add_prefix_space(false)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        Tokenizer::from(tokenizer)
    }

    #[test]
    fn a_character_of_several_tokens_is_returned_once() {
        let tokenizer = byte_level_tokenizer();
        let ids = tokenizer.encode("naïve 水 🙂", false).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, &tokenizer.encode("so ", false).unwrap()).unwrap();
        let pieces: Vec<String> = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        assert_eq!(pieces.concat(), "naïve 水 🙂");
        assert_eq!(pieces[2..4], ["", "ï"]);
        assert_eq!(pieces[pieces.len() - 4..], ["", "", "", "🙂"]);
        assert_eq!(detokenizer.finish().unwrap(), "");
    }

    #[test]
    fn an_incomplete_character_at_the_end_is_returned() {
        let tokenizer = byte_level_tokenizer();
        let ids = tokenizer.encode("ab水", false).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, &ids[..1]).unwrap();
        assert_eq!(detokenizer.push(ids[1]).unwrap(), "b");
        assert_eq!(detokenizer.push(ids[2]).unwrap(), "");
        assert_eq!(detokenizer.finish().unwrap(), "\u{fffd}");
    }

    #[test]
    fn the_text_of_the_prompt_is_not_returned() {
        let tokenizer = byte_level_tokenizer();
        for prompt in ["ab\u{fffd}", "", "ab"] {
            let ids = tokenizer.encode(prompt, false).unwrap();
            let mut detokenizer = Detokenizer::new(&tokenizer, &ids).unwrap();
            assert_eq!(detokenizer.finish().unwrap(), "", "{prompt}");
            assert_eq!(detokenizer.push(tokenizer.encode("c", false).unwrap()[0]).unwrap(), "c", "{prompt}");
            assert_eq!(detokenizer.finish().unwrap(), "", "{prompt}");
        }
    }

    /// Returns a tokenizer of words and single bytes, like a SentencePiece tokenizer with byte fallback.
    fn byte_fallback_tokenizer() -> Tokenizer {
        let words =
            ["<unk>", "<bos>", "▁old", "▁study", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0xC3>", "<0xA9>"];
        let words: serde_json::Map<_, _> =
            words.iter().map(ToString::to_string).zip((0..).map(Value::from)).collect();
        let bos = json!({ "id": 1, "content": "<bos>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        let decoders = json!([
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ]);
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [bos], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null,
            "decoder": { "type": "Sequence", "decoders": decoders },
            "model": { "type": "WordLevel", "vocab": words, "unk_token": "<unk>" },
        });
        Tokenizer::from(tokenizer.to_string().parse::<tokenizers::Tokenizer>().unwrap())
    }

    /// The expected texts come from transformers 5.17: `tokenizer.decode(prompt + ids)` without its beginning
    /// `tokenizer.decode(prompt)`.
    #[test]
    fn bytes_that_are_not_utf_8_become_replacement_characters() {
        let tokenizer = byte_fallback_tokenizer();
        let (old, study, grin, e_acute) = (2, 3, [4, 5, 6, 7], [8, 9]);
        let check = |prompt: &[u32], ids: &[u32], expected: &str| {
            let mut stream = Detokenizer::new(&tokenizer, prompt).unwrap();
            let mut text: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
            text += &stream.finish().unwrap();
            assert_eq!(text, expected, "{ids:?} after {prompt:?}");
        };
        for prompt in [&[1_u32][..], &[1, study], &[1, study, 4], &[1, study, 4, 4]] {
            let space = if prompt.len() == 1 { "" } else { " " };
            check(prompt, &[old, 4, 4, old], &format!("{space}old\u{fffd}\u{fffd} old"));
            check(prompt, &[old, 4], &format!("{space}old\u{fffd}"));
        }
        check(&[1, study], &[4, 4, old], "\u{fffd}\u{fffd} old");
        check(&[1, study, 4], &[4, old], "\u{fffd} old");
        check(&[1, study], &[&grin[..], &[old]].concat(), "😀 old");
        check(&[1, study], &[&e_acute[..], &grin].concat(), "é😀");
        check(&[1, study], &[&e_acute[..], &[4, old, old]].concat(), "\u{fffd}\u{fffd}\u{fffd} old old");
        // The last token of the prompt is the first byte of the character.
        check(&[1, study, 8], &[9, old], "é old");
        // Token 999 is not in the vocabulary.
        check(&[1, study], &[old, 999, old], " old old");
    }

    #[test]
    fn words_keep_the_space_before_them() {
        let tokenizer = crate::testing::bundled_tokenizer();
        let ids = tokenizer.encode("where is the lamp? in the kitchen.", true).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, &ids[..5]).unwrap();
        let text: String = ids[5..].iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        assert_eq!(text, "? in the kitchen.");
    }
}
