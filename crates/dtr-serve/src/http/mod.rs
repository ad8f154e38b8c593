//! The HTTP interface of a model, in the form of OpenAI's interfaces for completions and chats.

mod access_token;
mod app;
mod chat;
mod completions;
mod connections;
mod errors;
mod log_probs_json;
mod metrics;
mod reply;
mod reply_form;
mod request_fields;
mod router;
mod running_texts;
mod served_model;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod text_settings;
mod tokens;

pub use access_token::AccessToken;
pub use served_model::ServedModel;
pub use server::Server;
