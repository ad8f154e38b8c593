//! `dtr generate DIR PROMPT`: generates text from a prompt, or from each prompt of a file.

mod prompt_file;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use self::prompt_file::{OrderedLines, read_prompt_lines, text_fields};
use super::model_args::ModelArgs;
use super::print_json;
use crate::data::{ChatMessages, encode_prompt};
use dtr_core::error::{Error, ErrorKind, Result};
use dtr_core::seed::Seed;
use dtr_model::generate::{GeneratedText, GenerationConfig, StopReason, generate, generate_all};
use dtr_model::{ChatTemplate, LoadedModel, read_eos_token_ids};

/// Continue a prompt, or each prompt of a file, with a base or an exported hybrid.
///
/// Streams the text of a prompt to standard output, and prints the stop reason to standard error. With
/// `--prompts`, writes one JSON object for each prompt, in the order of the file.
#[derive(Args)]
pub struct GenerateCommand {
    #[command(flatten)]
    model: ModelArgs,
    /// Prompt; `-` reads the prompt from standard input.
    #[arg(allow_hyphen_values = true, required_unless_present = "prompts")]
    prompt: Option<String>,
    /// JSON Lines file of objects with a text `prompt`. Each object is written to standard output with its
    /// text and its other fields.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "json"])]
    prompts: Option<PathBuf>,
    /// Number of prompts of `--prompts` that are continued at once.
    #[arg(long, value_name = "COUNT", default_value_t = 8, requires = "prompts", value_parser = parse_rows)]
    rows: usize,
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
    /// Print the token counts, the text and the stop reason as JSON after the generation.
    #[arg(long)]
    json: bool,
}

fn parse_rows(text: &str) -> std::result::Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
    (1..=4096).contains(&number).then_some(number).ok_or("expected a number from 1 to 4096".to_owned())
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
        let format = PromptFormat::read(&self)?;
        let lines = self.prompts.as_deref().map(read_prompt_lines).transpose()?;
        let prompt = self.prompt.as_deref().map(|prompt| format.render(&read_prompt(prompt)?)).transpose()?;
        let eos_token_ids = read_eos_token_ids(&self.model.directory)?;
        let model = self.model.read()?;
        let config = GenerationConfig {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_strings: self.stops,
            eos_token_ids,
            seed: Seed(self.seed),
        };
        if let Some(lines) = lines {
            let ids = lines.iter().map(|line| format.encode(&model, &format.render(line.prompt())?));
            let ids = ids.collect::<Result<Vec<_>>>()?;
            continue_all(&model, &ids, &config, self.rows, OrderedLines::new(lines))?;
        }
        if let Some(prompt) = prompt {
            continue_one(&model, &format.encode(&model, &prompt)?, &config, self.json)?;
        }
        Ok(0)
    }
}

/// The format of prompts: plain text, or the user's message of a chat.
struct PromptFormat {
    /// The chat template, and the system message.
    chat: Option<(ChatTemplate, Option<String>)>,
}

impl PromptFormat {
    fn read(command: &GenerateCommand) -> Result<Self> {
        let template = || ChatTemplate::read(&command.model.directory, jiff::ZonedDateTime::now().datetime());
        let template = command.chat.then(template).transpose()?;
        Ok(Self { chat: template.map(|template| (template, command.system.clone())) })
    }

    /// Returns the text that the model continues. Without a chat template, this text is `prompt`. With a chat
    /// template, the text is a chat in which `prompt` is the user's message.
    fn render(&self, prompt: &str) -> Result<String> {
        let Some((template, system)) = &self.chat else { return Ok(prompt.to_owned()) };
        ChatMessages::new(system.clone(), Vec::new(), prompt.to_owned()).render(template)
    }

    /// Returns the tokens of a rendered prompt.
    fn encode(&self, model: &LoadedModel, rendered: &str) -> Result<Vec<u32>> {
        encode_prompt(&model.tokenizer, rendered, self.chat.is_some())
    }
}

/// Continues a prompt. Streams the generated text, or prints this text as JSON at the end.
fn continue_one(model: &LoadedModel, prompt: &[u32], config: &GenerationConfig, json: bool) -> Result<()> {
    let mut silent = |_: &str| Ok(());
    let on_text: &mut dyn FnMut(&str) -> Result<()> = if json { &mut silent } else { &mut print };
    let generated = generate(&model.hybrid(), &model.tokenizer, prompt, config, on_text)?;
    if json {
        print_json(&text_fields(&generated));
    } else {
        print("\n")?;
        eprintln!("{}", stop_message(&generated, model.decoder.config.max_positions));
    }
    Ok(())
}

/// Continues all prompts, and writes a JSON line for each prompt.
fn continue_all(
    model: &LoadedModel,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    rows: usize,
    mut lines: OrderedLines,
) -> Result<()> {
    let start = Instant::now();
    let mut num_tokens = 0;
    generate_all(&model.hybrid(), &model.tokenizer, prompts, config, rows, &mut |line, generated| {
        num_tokens += generated.tokens.len();
        print(&lines.add(line, &generated))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{num_tokens} tokens after {} prompts in {seconds:.1} s", prompts.len());
    Ok(())
}

/// Returns the prompt. The prompt `-` stands for the text of standard input.
fn read_prompt(prompt: &str) -> Result<String> {
    match prompt {
        "-" => read_input(),
        text => Ok(text.to_owned()),
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

/// Prints a piece of text and flushes standard output. If the reader has closed standard output, fails with
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
    format!("{} tokens after a prompt of {}: {reason}", generated.tokens.len(), generated.prompt_tokens)
}
