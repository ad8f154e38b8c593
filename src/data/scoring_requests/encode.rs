//! Tokenizes the choices of an item.

use super::TargetToken;
use super::prompt_encoder::PromptEncoder;
use crate::data::Item;
use dtr_core::error::{Error, Result};
use dtr_model::Tokenizer;

/// The token row of one choice, and the row's targets.
pub(super) struct EncodedChoice {
    pub row: Vec<u32>,
    pub targets: Vec<TargetToken>,
    pub is_truncated: bool,
}

/// Tokenizes the choices of `item`, which has the index `index` among the task's items.
///
/// # Errors
/// Fails if a prompt has no tokens, or if a choice adds no tokens to its prompt. Fails if a choice has more
/// than `max_row_tokens` tokens.
pub(super) fn encode_item(
    tokenizer: &Tokenizer,
    index: usize,
    item: &Item,
    max_row_tokens: usize,
) -> Result<Vec<EncodedChoice>> {
    let mut prompt = PromptEncoder::default();
    let mut encoded = Vec::with_capacity(item.choices.len());
    for choice in 0..item.choices.len() {
        prompt = prompt.reuse_or_measure(tokenizer, item.prompt_for_choice(choice))?;
        let tokens = prompt.encode_choice(tokenizer, item, choice)?;
        let (prompt_len, last) = (prompt.num_tokens, tokens.len() - 1);
        let num_cut = num_cut_tokens(item, choice, tokens.len(), prompt_len, max_row_tokens)?;
        let target = |at: usize| TargetToken {
            position: at - 1 - num_cut,
            token: tokens[at],
            item: index,
            choice,
            is_first: at == prompt_len,
        };
        encoded.push(EncodedChoice {
            row: tokens[num_cut..last].to_vec(),
            targets: (prompt_len..=last).map(target).collect(),
            is_truncated: num_cut > 0,
        });
    }
    Ok(encoded)
}

/// Returns the tokens of an item's prompt and its correct choice, and the number of tokens of the prompt.
///
/// # Errors
/// Fails if the prompt has no tokens, or if the choice adds no tokens to the prompt.
pub(in crate::data) fn encode_training_choice(
    tokenizer: &Tokenizer,
    item: &Item,
) -> Result<(Vec<u32>, usize)> {
    let choice = item.label;
    let prompt = PromptEncoder::default().reuse_or_measure(tokenizer, item.prompt_for_choice(choice))?;
    let tokens = prompt.encode_choice(tokenizer, item, choice)?;
    num_cut_tokens(item, choice, tokens.len(), prompt.num_tokens, usize::MAX)?;
    Ok((tokens, prompt.num_tokens))
}

/// Returns how many tokens must be cut from the start of a row, so that at most `max_row_tokens` tokens
/// remain. The row holds the tokens of a prompt and a choice, without the last token.
///
/// # Errors
/// Fails if the prompt has no tokens, if the choice adds no tokens to the prompt, or if all tokens of the
/// prompt would be cut.
fn num_cut_tokens(
    item: &Item,
    choice: usize,
    num_tokens: usize,
    num_prompt_tokens: usize,
    max_row_tokens: usize,
) -> Result<usize> {
    let id = &item.id;
    if num_prompt_tokens == 0 {
        return Err(Error::failed(format!("the prompt of item `{id}` has no tokens")));
    }
    if num_tokens <= num_prompt_tokens {
        return Err(Error::failed(format!("choice {choice} of item `{id}` adds no tokens to its prompt")));
    }
    let num_cut = (num_tokens - 1).saturating_sub(max_row_tokens);
    if num_cut >= num_prompt_tokens {
        return Err(Error::failed(format!(
            "choice {choice} of item `{id}` has {} tokens, more than the limit of {max_row_tokens}",
            num_tokens - num_prompt_tokens
        )));
    }
    Ok(num_cut)
}
