//! The result of a fine-tuning.

use serde::{Deserialize, Serialize};

/// The losses of a fine-tuning. The trained parameters are stored separately, as an artifact of the cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneResult {
    /// The number of layers of the base.
    pub num_layers: u32,
    /// The replaced layers, ascending. Empty for the base.
    pub layers: Vec<u32>,
    /// How many numbers the optimizer updated.
    pub num_parameters: u64,
    /// The number of items that were trained on.
    pub num_items: u64,
    /// The number of held-out items.
    pub num_held_out: u64,
    /// The number of items whose prompt was too long and lost its first tokens.
    pub num_truncated: u64,
    /// The number of optimizer steps.
    pub steps: u64,
    /// The number of tokens of prompts and completions that were trained on, in all epochs.
    pub tokens: u64,
    /// The number of tokens of completions that were trained on, in all epochs.
    pub completion_tokens: u64,
    /// The loss on the held-out items before the first step, in nats per token of the completions.
    pub initial_loss: f64,
    /// The epoch after which the held-out loss was lowest, counted from 1. 0 if the loss was lowest before the
    /// training. The trained parameters are those after this epoch.
    pub best_epoch: u32,
    /// The losses of each epoch.
    pub epochs: Vec<EpochPoint>,
}

impl FinetuneResult {
    /// Returns the held-out loss of the parameters that were kept, in nats per token of the completions.
    pub fn best_loss(&self) -> f64 {
        let kept = self.epochs.iter().find(|epoch| epoch.epoch == self.best_epoch);
        kept.map_or(self.initial_loss, |epoch| epoch.held_out_loss)
    }
}

/// The losses of an epoch, in nats per token of the completions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochPoint {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// The mean loss of the steps of the epoch.
    pub training_loss: f64,
    /// The loss on the held-out items after the epoch.
    pub held_out_loss: f64,
}
