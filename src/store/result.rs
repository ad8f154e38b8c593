//! The results of the stages. These structs are the documentation of what a record's `done` holds.
//!
//! Numbers are finite; layers count from zero at the embedding's side; losses are means.

use serde::{Deserialize, Serialize};

use super::key::Key;

/// A base model trained from nothing; its weights are an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// Parameters of the model.
    pub num_parameters: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// The training loss on the way.
    pub curve: Vec<LossPoint>,
    /// The training loss at the end, averaged over the last stretch of the curve.
    pub final_loss: f64,
}

/// A training loss, some way in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Cross entropy in nats per token.
    pub loss: f64,
}

/// The linear twins of all layers of a base, for one variant; their weights are an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistilResult {
    /// Tokens seen by every twin.
    pub tokens: u64,
    /// Optimizer steps of every twin.
    pub steps: u64,
    /// Parameters of all twins together.
    pub num_parameters: u64,
    /// How close each layer's twin came, in layer order.
    pub layers: Vec<LayerLoss>,
    /// The losses of all layers on the way.
    pub curve: Vec<LayerCurvePoint>,
}

impl DistilResult {
    /// Layers by how well their twins learnt, the best first.
    pub fn layers_by_loss(&self) -> Vec<u32> {
        let mut layers: Vec<&LayerLoss> = self.layers.iter().collect();
        layers.sort_by(|one, other| one.final_normalised().total_cmp(&other.final_normalised()));
        layers.into_iter().map(|layer| layer.layer).collect()
    }
}

/// How close a layer's twin comes to the full-attention block it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerLoss {
    /// The layer.
    pub layer: u32,
    /// Mean squared error before the first step.
    pub initial: f64,
    /// Mean squared error at the end.
    pub r#final: f64,
    /// Variance of the block's output: the error of a twin that always answers with the mean.
    pub output_variance: f64,
}

impl LayerLoss {
    /// The first error as a share of the output's variance, which makes layers comparable.
    pub fn initial_normalised(&self) -> f64 {
        self.normalised(self.initial)
    }

    /// The last error as a share of the output's variance: 0 is a perfect twin, 1 one that learned the mean.
    pub fn final_normalised(&self) -> f64 {
        self.normalised(self.r#final)
    }

    fn normalised(&self, loss: f64) -> f64 {
        // A block that answers the same everywhere has no variance; its share must be a number all the same.
        loss / self.output_variance.max(f64::MIN_POSITIVE)
    }
}

/// The losses of all layers, some way in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCurvePoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Mean squared error of each layer's twin, in layer order.
    pub losses: Vec<f64>,
}

/// The answers of one hybrid on one split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// The task's metric, from 0 to 1.
    pub score: f64,
    /// Items of the split.
    pub num_items: u64,
    /// Items answered as labelled.
    pub num_correct: u64,
    /// Items whose beginning was cut to fit the model's context.
    pub num_truncated: u64,
    /// Tokens that went through the model, pads included; what the choices of an item share counts once.
    pub tokens: u64,
    /// Every answer, in the split's order; what paired tests are made of.
    pub items: Vec<ItemScore>,
}

/// The answer to one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// The item's name in its data set.
    pub id: String,
    /// The choice that is right.
    pub label: u32,
    /// The choice that the model made.
    pub choice: u32,
    /// Log-likelihood of each choice in nats, in the item's order.
    pub log_likelihoods: Vec<f64>,
}

impl ItemScore {
    /// Whether the model's choice is the right one.
    pub fn correct(&self) -> bool {
        self.choice == self.label
    }
}

/// Which layers a search replaced, and everything it tried on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Layers of the base.
    pub num_layers: u32,
    /// Items of the validation split.
    pub validation_items: u32,
    /// The base's score on the validation split.
    pub base: f64,
    /// The validation score under which the search stopped; none when it went on to the last layer.
    pub threshold: Option<f64>,
    /// The impact score of each layer; none where the strategy has no use for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impacts: Option<Vec<f64>>,
    /// Every candidate of every round, in the order of trial.
    pub trials: Vec<Trial>,
    /// The best trial of each round.
    pub rounds: Vec<Round>,
    /// The hybrid with the highest validation score; of equals the one with more layers replaced.
    pub best: Chosen,
    /// The last accepted hybrid: the most layers replaced without falling under the threshold.
    pub opt: Chosen,
    /// The base on the test split.
    pub base_test: TestScore,
    /// Masks scored, with those that another search had scored before.
    pub evaluations: u64,
    /// Tokens that went through the model in those scorings, remembered ones included.
    pub tokens: u64,
}

/// One candidate of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The round, from 1.
    pub round: u32,
    /// The layer replaced beside those of the round before; none where these are not all replaced.
    pub layer: Option<u32>,
    /// All layers that it replaces, ascending.
    pub layers: Vec<u32>,
    /// What is known of the validation score.
    pub bounds: Bounds,
}

/// What is known of a score: the score itself, or, of a candidate that was dropped once it could not win, where it
/// lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The least it can be: were every item that was not asked answered wrongly.
    pub at_least: f64,
    /// The most it can be: were every item that was not asked answered rightly.
    pub at_most: f64,
}

impl Bounds {
    /// A score that is known.
    pub fn exactly(score: f64) -> Self {
        Self { at_least: score, at_most: score }
    }

    /// The score, where it is known.
    pub fn score(&self) -> Option<f64> {
        (self.at_least == self.at_most).then_some(self.at_least)
    }
}

/// The outcome of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The round, from 1.
    pub round: u32,
    /// The layer replaced beside those of the round before; none where these are not all replaced.
    pub layer: Option<u32>,
    /// All layers of the candidate that scored highest, ascending; of equals the lowest in lexicographic order.
    pub layers: Vec<u32>,
    /// Its validation score.
    pub score: f64,
    /// How many layers it replaces.
    pub num_replaced: u32,
    /// Whether it was accepted; the search ends with the first that was not.
    pub accepted: bool,
}

/// A hybrid that a search settled on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Its score on the validation split.
    pub validation: f64,
    /// Its score on the test split, which played no part in choosing it.
    pub test: TestScore,
}

/// A score on the test split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScore {
    /// The score.
    pub score: f64,
    /// The score cell that holds the answers.
    pub cell: Key,
}

/// How fast a base or a hybrid read a prompt and decoded after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputResult {
    /// The replaced layers, ascending.
    pub layers: Vec<u32>,
    /// Bytes of keys and values after the prompt.
    pub cache_bytes: u64,
    /// Bytes of recurrent states and of the last inputs of convolutions.
    pub state_bytes: u64,
    /// Processors that other processes kept at work meanwhile, on average; none where the system does not tell.
    pub others: Option<f64>,
    /// What each run that counts took.
    pub runs: Vec<TimedRun>,
}

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedRun {
    /// Seconds to read the prompt.
    pub prefill: f64,
    /// Seconds to decode the new tokens.
    pub decode: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_normalised_by_the_variance_and_stays_a_number_without_one() {
        let loss = LayerLoss { layer: 0, initial: 3.0, r#final: 0.5, output_variance: 2.0 };
        assert_eq!((loss.initial_normalised(), loss.final_normalised()), (1.5, 0.25));
        assert_eq!(LayerLoss { r#final: 0.0, output_variance: 0.0, ..loss }.final_normalised(), 0.0);
    }

    #[test]
    fn an_item_is_correct_when_the_choice_is_the_label() {
        let item =
            ItemScore { id: "7".to_owned(), label: 2, choice: 2, log_likelihoods: vec![-3.0, -2.0, -1.0] };
        assert!(item.correct());
        assert!(!ItemScore { choice: 0, ..item }.correct());
    }
}
