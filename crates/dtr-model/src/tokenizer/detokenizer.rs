//! Incremental decoding: a character may consist of several tokens, and the text of a token can depend on the
//! tokens before it.

use tokenizers::tokenizer::step_decode_stream;

use super::Tokenizer;
use dtr_core::error::{Error, Result};

/// Decodes the tokens after a prompt one by one.
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    /// Token ids that are still needed: the ids decoded last, as context, then the pending ids.
    ids: Vec<u32>,
    /// The text of the decoded ids.
    prefix: String,
    /// The number of decoded ids.
    prefix_len: usize,
}

impl<'a> Detokenizer<'a> {
    /// Creates a detokenizer for the tokens after `prompt`. The text of `prompt` itself is not returned.
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
    /// Fails when the token changes the text of earlier tokens.
    pub fn push(&mut self, token: u32) -> Result<String> {
        let tokenizer = self.tokenizer.inner();
        step_decode_stream(
            tokenizer,
            vec![token],
            true,
            &mut self.ids,
            &mut self.prefix,
            &mut self.prefix_len,
        )
        .map(Option::unwrap_or_default)
        .map_err(|cause| Error::failed(format!("cannot decode token {token}: {cause}")))
    }

    /// Returns the pending text at the end: an incomplete character becomes U+FFFD.
    ///
    /// # Errors
    /// Fails when the pending tokens cannot be decoded.
    pub fn finish(&self) -> Result<String> {
        let text = self.tokenizer.decode(&self.ids)?;
        Ok(text.strip_prefix(&self.prefix).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::decoders::byte_level::ByteLevel;
    use tokenizers::models::bpe::{BpeBuilder, Vocab};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel as Bytes;

    use super::*;

    /// Returns a tokenizer in which every byte is a token.
    fn byte_tokenizer() -> Tokenizer {
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
        let tokenizer = byte_tokenizer();
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
        let tokenizer = byte_tokenizer();
        let ids = tokenizer.encode("ab水", false).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, &ids[..1]).unwrap();
        assert_eq!(detokenizer.push(ids[1]).unwrap(), "b");
        assert_eq!(detokenizer.push(ids[2]).unwrap(), "");
        assert_eq!(detokenizer.finish().unwrap(), "\u{fffd}");
    }

    #[test]
    fn the_text_of_the_prompt_is_not_returned() {
        let tokenizer = byte_tokenizer();
        for prompt in ["ab\u{fffd}", "", "ab"] {
            let ids = tokenizer.encode(prompt, false).unwrap();
            let mut detokenizer = Detokenizer::new(&tokenizer, &ids).unwrap();
            assert_eq!(detokenizer.finish().unwrap(), "", "{prompt}");
            assert_eq!(detokenizer.push(tokenizer.encode("c", false).unwrap()[0]).unwrap(), "c", "{prompt}");
            assert_eq!(detokenizer.finish().unwrap(), "", "{prompt}");
        }
    }

    #[test]
    fn words_keep_the_space_before_them() {
        let tokenizer = crate::testing::tokenizer();
        let ids = tokenizer.encode("where is the lamp? in the kitchen.", true).unwrap();
        let mut detokenizer = Detokenizer::new(&tokenizer, &ids[..5]).unwrap();
        let text: String = ids[5..].iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        assert_eq!(text, "? in the kitchen.");
    }
}
