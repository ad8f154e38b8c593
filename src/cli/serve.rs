//! `dtr serve DIR`: serves a base or an exported hybrid over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::model_args::ModelArgs;
use dtr_core::error::{Error, Result};
use dtr_model::ChatTemplate;
use dtr_serve::engine::EngineLimits;
use dtr_serve::http::{AccessToken, ServedModel, Server};

/// The environment variable with the token that clients must send.
const TOKEN_VARIABLE: &str = "DTR_SERVE_TOKEN";

/// Serve a base or an exported hybrid over HTTP, in the form of OpenAI's interfaces.
///
/// Ctrl-C or SIGTERM ends the server after it has finished the running texts. A second Ctrl-C ends it at once.
///
/// If the environment variable `DTR_SERVE_TOKEN` is set, clients must send its value as their API key.
#[derive(Args)]
pub struct ServeCommand {
    #[command(flatten)]
    model: ModelArgs,
    /// Name by which clients select the model; by default the name of the directory.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address to listen at. An address that other machines can reach needs `DTR_SERVE_TOKEN`.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen at; 0 selects a free port.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Number of prompts that run at once.
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    rows: u16,
    /// Number of prompts that can wait. Further requests get the status 503.
    #[arg(long, value_name = "COUNT", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Size of the prefix cache in MiB; 0 turns the cache off.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    prefix_cache: u32,
}

impl ServeCommand {
    pub(super) fn run(self) -> Result<u8> {
        let token = self.read_token()?;
        let name = self.model_name()?;
        let limits = EngineLimits {
            rows: usize::from(self.rows),
            queue: usize::from(self.queue),
            prefix_cache_bytes: u64::from(self.prefix_cache) << 20,
        };
        // An address that is taken is found before the model is read.
        let server = Server::bind(SocketAddr::new(self.host, self.port), token)?;
        let model = self.model.read()?;
        let template = self.read_chat_template()?;
        let model = ServedModel::start(name, &self.model.directory, model, template, limits)?;
        eprintln!("serving `{}` at http://{}", model.id, server.address());
        server.run(model)?;
        Ok(0)
    }

    /// Returns the token that clients must send.
    fn read_token(&self) -> Result<Option<AccessToken>> {
        let token = match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => Some(AccessToken::new(&text).ok_or_else(|| {
                Error::manifest(format!("cannot use the value of `{TOKEN_VARIABLE}`"))
                    .hint("write a token of visible ASCII characters without spaces")
            })?),
            Err(_) => None,
        };
        if token.is_none() && !self.host.is_loopback() {
            let message = format!("cannot listen at {} without a token", self.host);
            let hint = format!("set `{TOKEN_VARIABLE}`, or leave out `--host` to serve this machine only");
            return Err(Error::manifest(message).hint(hint));
        }
        Ok(token)
    }

    /// Returns the name by which clients select the model.
    fn model_name(&self) -> Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let path = self.model.directory.canonicalize();
        let path = path.map_err(|cause| Error::io("open", &self.model.directory, cause))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(name.unwrap_or_else(|| "model".to_owned()))
    }

    /// Returns the model's chat template, if it has one.
    fn read_chat_template(&self) -> Result<Option<ChatTemplate>> {
        if !ChatTemplate::exists(&self.model.directory)? {
            return Ok(None);
        }
        ChatTemplate::read(&self.model.directory, jiff::ZonedDateTime::now().datetime()).map(Some)
    }
}
