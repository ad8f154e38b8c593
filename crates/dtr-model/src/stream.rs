//! Text of tokens that come one by one: a letter may be spread over several, and what a token reads as can
//! depend on those before it.

use tokenizers::tokenizer::step_decode_stream;

use super::tokenizer::Tokenizer;
use dtr_core::error::{Error, Result};

/// The text that goes on from the tokens of a prompt.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens whose text is still needed: the last ones told of, then those that are not yet.
    ids: Vec<u32>,
    /// The text of those told of.
    told: String,
    num_told: usize,
}

impl<'a> TextStream<'a> {
    /// The stream after `prompt`, whose own text is not told.
    pub fn after(tokenizer: &'a Tokenizer, prompt: &[u32]) -> Result<Self> {
        let told = tokenizer.decode(prompt)?;
        Ok(Self { tokenizer, ids: prompt.to_vec(), told, num_told: prompt.len() })
    }

    /// The text that `token` makes whole, without special tokens; empty while a letter is in the making.
    ///
    /// # Errors
    /// When the tokenizer reads earlier tokens otherwise once this one follows.
    pub fn push(&mut self, token: u32) -> Result<String> {
        let tokenizer = self.tokenizer.inner();
        step_decode_stream(tokenizer, vec![token], true, &mut self.ids, &mut self.told, &mut self.num_told)
            .map(Option::unwrap_or_default)
            .map_err(|cause| Error::failed(format!("token {token} cannot be told as text: {cause}")))
    }

    /// What is left when no token follows: the beginning of a letter, shown as one that is unknown.
    pub fn finish(&self) -> Result<String> {
        let whole = self.tokenizer.decode(&self.ids)?;
        Ok(whole.strip_prefix(&self.told).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::decoders::byte_level::ByteLevel;
    use tokenizers::models::bpe::{BpeBuilder, Vocab};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel as Bytes;

    use super::*;

    /// Every byte is a token.
    fn bytes() -> Tokenizer {
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
    fn letters_of_several_tokens_come_whole() {
        let tokenizer = bytes();
        let ids = tokenizer.encode("naïve 水 🙂", false).unwrap();
        let mut stream = TextStream::after(&tokenizer, &tokenizer.encode("so ", false).unwrap()).unwrap();
        let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(pieces.concat(), "naïve 水 🙂");
        assert_eq!(pieces[2..4], ["", "ï"]);
        assert_eq!(pieces[pieces.len() - 4..], ["", "", "", "🙂"]);
        assert_eq!(stream.finish().unwrap(), "");
    }

    #[test]
    fn half_a_letter_at_the_end_is_not_lost() {
        let tokenizer = bytes();
        let ids = tokenizer.encode("ab水", false).unwrap();
        let mut stream = TextStream::after(&tokenizer, &ids[..1]).unwrap();
        assert_eq!(stream.push(ids[1]).unwrap(), "b");
        assert_eq!(stream.push(ids[2]).unwrap(), "");
        assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    }

    #[test]
    fn a_prompt_is_not_told_whatever_it_ends_with() {
        let tokenizer = bytes();
        for prompt in ["ab\u{fffd}", "", "ab"] {
            let ids = tokenizer.encode(prompt, false).unwrap();
            let mut stream = TextStream::after(&tokenizer, &ids).unwrap();
            assert_eq!(stream.finish().unwrap(), "", "{prompt}");
            assert_eq!(stream.push(tokenizer.encode("c", false).unwrap()[0]).unwrap(), "c", "{prompt}");
            assert_eq!(stream.finish().unwrap(), "", "{prompt}");
        }
    }

    #[test]
    fn whole_words_keep_the_blank_before_them() {
        let tokenizer = crate::testing::tokenizer();
        let ids = tokenizer.encode("where is the lamp? in the kitchen.", true).unwrap();
        let mut stream = TextStream::after(&tokenizer, &ids[..5]).unwrap();
        let text: String = ids[5..].iter().map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(text, "? in the kitchen.");
    }
}
