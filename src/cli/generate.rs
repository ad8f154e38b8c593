//! `dtr generate DIR PROMPT`: generates text from a prompt.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{DeviceArgs, print_json};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::seed::Seed;
use dtr_model::generate::{GeneratedText, GenerationConfig, StopReason, generate};
use dtr_model::{ChatTemplate, LoadedModel, read_eos_token_ids, unused_tensors_note};

/// Continue a prompt with a base or an exported hybrid.
///
/// Streams the text to standard output, and prints the stop reason to standard error.
#[derive(Args)]
pub struct GenerateCommand {
    /// Directory of a base or of a hybrid that `dtr export` wrote, or a GGUF file.
    directory: PathBuf,
    /// Prompt; `-` reads the prompt from standard input.
    #[arg(allow_hyphen_values = true)]
    prompt: String,
    /// Format the prompt as a user message with the model's chat template.
    #[arg(long)]
    chat: bool,
    /// System message of the chat.
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Maximum number of tokens to generate.
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    max_tokens: usize,
    /// Sampling temperature; 0 always selects the most likely token.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, value_parser = parse_temperature)]
    temperature: f64,
    /// Sample from the smallest set of most likely tokens whose total probability is at least this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = parse_top_p)]
    top_p: f64,
    /// Stop string: generation ends before this text; may be repeated.
    #[arg(long = "stop", value_name = "TEXT")]
    stops: Vec<String>,
    /// Seed of the random sampling.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the token counts, the text and the stop reason as JSON after the generation.
    #[arg(long)]
    json: bool,
}

fn parse_temperature(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (number >= 0.0 && number.is_finite())
        .then_some(number)
        .ok_or("expected a number of at least 0".to_owned())
}

fn parse_top_p(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (number > 0.0 && number <= 1.0)
        .then_some(number)
        .ok_or("expected a number above 0 and at most 1".to_owned())
}

impl GenerateCommand {
    pub(super) fn run(self) -> Result<u8> {
        let prompt = self.read_prompt()?;
        let eos_token_ids = read_eos_token_ids(&self.directory)?;
        let model = LoadedModel::read(&self.directory, &self.device.device.open_all_return_first()?)?;
        if let Some(note) = unused_tensors_note(&self.directory, &model.unused_tensors) {
            eprintln!("{note}");
        }
        let prompt = match self.chat {
            // A chat template adds the special tokens itself.
            true => model.tokenizer.encode(&prompt, false)?,
            false => model.tokenizer.encode_prompt(&prompt)?,
        };
        let config = GenerationConfig {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_strings: self.stops,
            eos_token_ids,
            seed: Seed(self.seed),
        };
        let mut silent = |_: &str| Ok(());
        let on_text: &mut dyn FnMut(&str) -> Result<()> = if self.json { &mut silent } else { &mut print };
        let generated = generate(&model.hybrid(), &model.tokenizer, &prompt, &config, on_text)?;
        if self.json {
            print_json(&generated);
        } else {
            print("\n")?;
            eprintln!("{}", stop_message(&generated, model.decoder.config.max_positions));
        }
        Ok(0)
    }

    /// Returns the prompt as text. If `--chat` is set, formats it with the chat template.
    fn read_prompt(&self) -> Result<String> {
        let prompt = match self.prompt.as_str() {
            "-" => read_input()?,
            text => text.to_owned(),
        };
        if !self.chat {
            return Ok(prompt);
        }
        let message = |role: &str, text: &str| serde_json::json!({ "role": role, "content": text });
        let mut messages: Vec<_> = self.system.iter().map(|text| message("system", text)).collect();
        messages.push(message("user", &prompt));
        ChatTemplate::read(&self.directory, jiff::ZonedDateTime::now().datetime())?
            .render(&messages.into(), true)
    }
}

/// Reads the prompt from standard input. Removes one line break at the end.
fn read_input() -> Result<String> {
    let mut text = String::new();
    let input = Path::new("standard input");
    std::io::stdin().read_to_string(&mut text).map_err(|cause| Error::io("read", input, cause))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Prints a piece of text and flushes it. If the reader has closed standard output, fails with
/// [`ErrorKind::Interrupted`].
fn print(piece: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(|cause| match cause.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::new(ErrorKind::Interrupted, "the reader of standard output has closed it")
        }
        _ => Error::io("write", Path::new("standard output"), cause),
    })
}

fn stop_message(generated: &GeneratedText, context_length: usize) -> String {
    let reason = match generated.stop_reason {
        StopReason::EndOfText => "the model ended its text".to_owned(),
        StopReason::StopString => "the text reached a stop string".to_owned(),
        StopReason::MaxTokens => "the text reached the limit `--max-tokens`".to_owned(),
        StopReason::ContextFull => format!("the model's context of {context_length} tokens is full"),
    };
    format!("{} tokens after a prompt of {}: {reason}", generated.tokens, generated.prompt_tokens)
}
