//! An estimate of the memory that training a student of checkpoints takes.

use super::finetune_memory::FinetuneMemory;
use super::memory::weight_bytes;
use dtr_model::DecoderConfig;
use dtr_ops::head_loss_bytes;

/// Estimates the memory that training a student of checkpoints takes.
pub struct CheckpointDistilMemory<'a> {
    /// The memory of the same training without a teacher.
    pub student: FinetuneMemory<'a>,
    /// The shape of the teacher.
    pub teacher: &'a DecoderConfig,
    /// Whether the student's own base is the teacher.
    pub has_own_teacher: bool,
}

impl CheckpointDistilMemory<'_> {
    /// Returns the bytes of the student's training and of the teachers. The schedule compares each checkpoint
    /// with the best teacher, so two teachers exist at the same time, besides their base.
    pub fn weight_bytes(&self) -> u64 {
        self.student.weight_bytes() + self.teacher_bytes()
    }

    /// Returns the peak memory in bytes. The teacher has logits of its own, and no gradient.
    pub fn peak_bytes(&self) -> u64 {
        let recipe = self.student.recipe;
        let num_tokens = recipe.micro_batch_size.min(recipe.batch_size) * recipe.sequence_length;
        let logits = head_loss_bytes(self.teacher.vocab_size, num_tokens);
        self.student.peak_bytes() + self.teacher_bytes() + self.student.num_at_once() * logits
    }

    fn teacher_bytes(&self) -> u64 {
        let num_models = if self.has_own_teacher { 2 } else { 3 };
        num_models * weight_bytes(self.teacher, self.student.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::finetune::FinetuneConfig;
    use crate::manifest::Dtype;
    use dtr_model::DecoderShape;

    fn config(num_layers: usize) -> DecoderConfig {
        let shape = DecoderShape {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_layers,
            num_heads: 8,
            num_kv_heads: 2,
            head_dim: 128,
            tokenizer: None,
        };
        shape.llama_config(32_000, 4096)
    }

    #[test]
    fn a_larger_teacher_adds_its_weights_but_no_moments() {
        let (student, teacher, recipe) = (config(4), config(16), FinetuneConfig::default());
        let memory = |teacher, has_own_teacher| CheckpointDistilMemory {
            student: FinetuneMemory { config: &student, dtype: Dtype::Bf16, hybrid: None, recipe: &recipe },
            teacher,
            has_own_teacher,
        };
        let without_teacher = memory(&student, true).student.weight_bytes();
        let bytes = |config: &DecoderConfig| 2 * config.num_parameters();
        assert_eq!(memory(&student, true).weight_bytes(), without_teacher + 2 * bytes(&student));
        assert_eq!(memory(&teacher, false).weight_bytes(), without_teacher + 3 * bytes(&teacher));
        assert!(memory(&teacher, false).peak_bytes() > memory(&teacher, false).weight_bytes());
    }
}
