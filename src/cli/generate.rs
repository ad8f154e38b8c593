//! `dtr generate DIR PROMPT`: text that goes on from a prompt.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{DeviceArgs, print_json};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::seed::Seed;
use dtr_model::generate::{GeneratedText, GenerationConfig, StopReason, generate};
use dtr_model::{ChatTemplate, LoadedModel, read_eos_token_ids};

/// Continue a prompt with a base or an exported hybrid.
///
/// The text goes to standard output as it comes, and why it ended to standard error.
#[derive(Args)]
pub struct Generate {
    /// The model's directory: a base, or a hybrid that `dtr export` wrote.
    directory: PathBuf,
    /// The text to go on from; `-` reads it from standard input.
    #[arg(allow_hyphen_values = true)]
    prompt: String,
    /// Take the prompt for a user's message and put it in the model's chat template.
    #[arg(long)]
    chat: bool,
    /// The system's message before it.
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// The most tokens to generate.
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    max_tokens: usize,
    /// How freely tokens are drawn; 0 takes the likeliest each time.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, value_parser = temperature)]
    temperature: f64,
    /// Draw from the fewest tokens whose probabilities add up to this.
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = top_p)]
    top_p: f64,
    /// End before this text; may be repeated.
    #[arg(long = "stop", value_name = "TEXT")]
    stops: Vec<String>,
    /// The seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print counts, text and the reason for its end as JSON, when all is there.
    #[arg(long)]
    json: bool,
}

fn temperature(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (number >= 0.0 && number.is_finite()).then_some(number).ok_or("it is 0 or more".to_owned())
}

fn top_p(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (number > 0.0 && number <= 1.0).then_some(number).ok_or("it is above 0 and at most 1".to_owned())
}

impl Generate {
    pub(super) fn run(self) -> Result<u8> {
        let prompt = self.text()?;
        let ends = read_eos_token_ids(&self.directory)?;
        let model = LoadedModel::read(&self.directory, &self.device.device.open_first()?)?;
        // A chat template writes the special tokens itself.
        let prompt = model.tokenizer.encode(&prompt, !self.chat)?;
        let settings = GenerationConfig {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_strings: self.stops,
            eos_token_ids: ends,
            seed: Seed(self.seed),
        };
        let mut silent = |_: &str| Ok(());
        let tell: &mut dyn FnMut(&str) -> Result<()> = if self.json { &mut silent } else { &mut print };
        let generated = generate(&model.hybrid(), &model.tokenizer, &prompt, &settings, tell)?;
        if self.json {
            print_json(&generated);
        } else {
            print("\n")?;
            eprintln!("{}", said(&generated, model.decoder.config.max_positions));
        }
        Ok(0)
    }

    /// The text that the model is to go on from.
    fn text(&self) -> Result<String> {
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

/// Standard input; the end of its last line is no part of the prompt.
fn read_input() -> Result<String> {
    let mut text = String::new();
    let input = Path::new("standard input");
    std::io::stdin().read_to_string(&mut text).map_err(|cause| Error::io("read", input, cause))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Prints a piece at once. When nobody reads any more, that is the end.
fn print(piece: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(|cause| match cause.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::new(ErrorKind::Interrupted, "nobody reads standard output any more")
        }
        _ => Error::io("write", Path::new("standard output"), cause),
    })
}

/// How much was generated, and why it ended.
fn said(generated: &GeneratedText, room: usize) -> String {
    let why = match generated.stop_reason {
        StopReason::EndOfText => "the model ended its text".to_owned(),
        StopReason::StopString => "a stop string came".to_owned(),
        StopReason::MaxTokens => "that is as many as were asked for (`--max-tokens`)".to_owned(),
        StopReason::ContextFull => format!("the model's context of {room} tokens is full"),
    };
    format!("{} tokens after a prompt of {}: {why}", generated.tokens, generated.prompt_tokens)
}
