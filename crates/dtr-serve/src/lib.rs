//! An HTTP server with OpenAI's interface for generated text and its log-probabilities.
