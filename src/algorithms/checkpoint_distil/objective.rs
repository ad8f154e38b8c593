//! The objective of a student of checkpoints.

use burn::tensor::DType;

use super::DistilMethod;
use crate::algorithms::finetune::{
    Objective, PaddedRows, StageTeacher, completion_losses, loss_and_gradient_of_rows, map_rows, num_targets,
    with_indices,
};
use crate::algorithms::tuning::TrainableDecoder;
use crate::data::TrainingExamples;
use crate::observer::Observer;
use dtr_core::error::Result;
use dtr_model::{Decoder, Hybrid, LossAndGradient};
use dtr_ops::{DistilTarget, HeadInputs, distillation_loss, is_cpu};

/// The fine-tuned teachers of a student.
pub struct Teachers {
    /// The number of teachers: the checkpoints in the order of their steps, then the best teacher.
    pub count: usize,
    /// Loads the teacher with an index, in the dtype in which it computes.
    pub load: Box<dyn Fn(usize) -> Result<Decoder> + Send + Sync>,
}

impl Teachers {
    /// Returns the index of the best teacher.
    fn best(&self) -> usize {
        self.count - 1
    }
}

/// The objective of a student that learns completions from the logits of fine-tuned teachers.
pub struct CheckpointObjective {
    method: DistilMethod,
    num_stages: u64,
    micro_batch_size: usize,
    teachers: Teachers,
    /// The loss `l_S` of each training example under the fine-tuned student. Empty if items have no weights.
    student_losses: Vec<f64>,
    current: Option<CurrentTeacher>,
}

/// The teacher of the current stage.
struct CurrentTeacher {
    decoder: Decoder,
    /// The weight of the teacher for each training example. Empty if all weights are 1.
    weights: Vec<f64>,
}

impl CheckpointObjective {
    /// Creates the objective of a training with `num_stages` stages. If the method has weights,
    /// `finetuned_student` loads the student after fine-tuning without a teacher. Its losses on the training
    /// examples decide the weights.
    ///
    /// # Errors
    /// Fails if the student cannot be loaded, or if the device fails.
    pub fn new(
        method: DistilMethod,
        num_stages: u64,
        micro_batch_size: usize,
        teachers: Teachers,
        finetuned_student: impl FnOnce() -> Result<Decoder>,
        examples: &TrainingExamples,
    ) -> Result<Self> {
        let student_losses = match method.is_weighted() {
            true => completion_losses(&finetuned_student()?, &examples.training, micro_batch_size)?,
            false => Vec::new(),
        };
        Ok(Self { method, num_stages, micro_batch_size, teachers, student_losses, current: None })
    }

    /// Chooses the teacher `c` with the lowest `KL(best ‖ c) + KL(student ‖ c)` on the held-out examples. If
    /// several are equally good, chooses the first.
    fn choose(&self, student: &Decoder, examples: &TrainingExamples) -> Result<StageTeacher> {
        let best = (self.teachers.load)(self.teachers.best())?;
        let mut chosen: Option<(f64, StageTeacher)> = None;
        for index in 0..self.teachers.count {
            let teacher = (self.teachers.load)(index)?;
            let from_best = self.divergence(&best, &teacher, examples)?;
            let from_student = self.divergence(student, &teacher, examples)?;
            let candidate = StageTeacher {
                index,
                divergence_from_best: Some(from_best),
                divergence_from_student: Some(from_student),
            };
            let sum = from_best + from_student;
            if chosen.is_none_or(|(lowest, _)| sum < lowest) {
                chosen = Some((sum, candidate));
            }
        }
        Ok(chosen.expect("there is a teacher").1)
    }

    /// Returns `KL(p ‖ q)`, averaged over the tokens of all held-out completions.
    fn divergence(&self, p: &Decoder, q: &Decoder, examples: &TrainingExamples) -> Result<f64> {
        let held_out = with_indices(&examples.held_out);
        let divisor = num_targets(&held_out) as f64;
        let parts = map_rows(is_cpu(&p.device()), held_out, self.micro_batch_size, |rows| {
            let targets = distil_targets(rows, |_| (1.0, 0.0));
            let loss =
                distillation_loss(&head_inputs(q, rows), &head_inputs(p, rows), &targets, divisor, false);
            f64::from(loss.loss.cast(DType::F32).into_scalar::<f32>())
        })?;
        Ok(parts.into_iter().sum())
    }

    /// Loads a teacher, and computes the weights of the training examples.
    fn set_teacher(&mut self, index: usize, examples: &TrainingExamples) -> Result<()> {
        let decoder = (self.teachers.load)(index)?;
        let weights = match self.method.is_weighted() {
            true => {
                let losses = completion_losses(&decoder, &examples.training, self.micro_batch_size)?;
                self.student_losses
                    .iter()
                    .zip(losses)
                    .map(|(of_student, of_teacher)| teacher_weight(*of_student, of_teacher))
                    .collect()
            }
            false => Vec::new(),
        };
        self.current = Some(CurrentTeacher { decoder, weights });
        Ok(())
    }
}

/// Returns the weight `l_S / (l_S + l_T)` of a teacher for an item, from the losses of student and teacher.
/// If both losses are 0, returns 0.5.
fn teacher_weight(of_student: f64, of_teacher: f64) -> f64 {
    let sum = of_student + of_teacher;
    if sum > 0.0 { of_student / sum } else { 0.5 }
}

/// Returns the inputs of a decoder's output head for each token of `rows`.
fn head_inputs<'a>(decoder: &'a Decoder, rows: &PaddedRows) -> HeadInputs<'a> {
    let hidden_btd = Hybrid::from_base(decoder).forward_hidden(&rows.ids, None, None);
    let [batch, time, width] = hidden_btd.dims();
    decoder.head_inputs(hidden_btd.reshape([batch * time, width]))
}

/// Returns the learned tokens of `rows`. `weights` returns the weights of an example: of its teacher, and of
/// its tokens.
fn distil_targets(rows: &PaddedRows, weights: impl Fn(usize) -> (f64, f64)) -> Vec<DistilTarget> {
    let targets = rows.targets.iter().zip(&rows.examples);
    let target = |(&(row, token), &example): (&(usize, u32), &usize)| {
        let (teacher_weight, token_weight) = weights(example);
        DistilTarget { row, token, teacher_weight, token_weight }
    };
    targets.map(target).collect()
}

impl Objective for CheckpointObjective {
    fn num_stages(&self) -> u64 {
        self.num_stages
    }

    fn begin_stage(
        &mut self,
        student: &Decoder,
        examples: &TrainingExamples,
        observer: &dyn Observer,
    ) -> Result<Option<StageTeacher>> {
        let teacher = match self.method.is_scheduled() {
            true => self.choose(student, examples)?,
            false => StageTeacher {
                index: self.teachers.best(),
                divergence_from_best: None,
                divergence_from_student: None,
            },
        };
        let number = teacher.index + 1;
        observer.message(&format!("the teacher is number {number} of {}", self.teachers.count));
        self.set_teacher(teacher.index, examples)?;
        Ok(Some(teacher))
    }

    fn resume_stage(&mut self, teacher: StageTeacher, examples: &TrainingExamples) -> Result<()> {
        self.set_teacher(teacher.index, examples)
    }

    fn loss_and_gradient(
        &self,
        model: &dyn TrainableDecoder,
        dtype: DType,
        rows: &PaddedRows,
        divisor: f64,
    ) -> LossAndGradient {
        let CurrentTeacher { decoder, weights } = self.current.as_ref().expect("the stage has a teacher");
        let teacher = head_inputs(decoder, rows);
        let targets = distil_targets(rows, |example| {
            let weight = weights.get(example).copied().unwrap_or(1.0);
            (weight, 1.0 - weight)
        });
        loss_and_gradient_of_rows(model, dtype, rows, |student, needs_head_gradient| {
            distillation_loss(student, &teacher, &targets, divisor, needs_head_gradient)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms::tuning::{LoraDecoder, LoraShape};
    use crate::data::TrainingExample;
    use crate::observer::NullObserver;
    use dtr_core::seed::Seed;
    use dtr_model::optimizer::AdamWConfig;
    use dtr_model::{Parameters, testing};

    fn example(tokens: &[u32], num_prompt_tokens: usize) -> TrainingExample {
        TrainingExample { tokens: tokens.to_vec(), num_prompt_tokens, is_truncated: false }
    }

    fn examples() -> TrainingExamples {
        TrainingExamples {
            training: vec![example(&[3, 9, 4, 30], 2), example(&[7, 1, 12, 5, 8, 2], 3), example(&[5, 6], 1)],
            held_out: vec![example(&[2, 4, 6, 8], 2), example(&[11, 3, 1], 1)],
        }
    }

    /// Returns the decoder of the tests with all parameters scaled. Scale 1 leaves it as it is.
    fn scaled(scale: f64) -> Decoder {
        let mut decoder = testing::decoder(false, false);
        decoder.visit(&mut |_, mut param| param.update(|values| values * scale));
        decoder
    }

    fn objective(method: DistilMethod, scales: &'static [f64], student: &Decoder) -> CheckpointObjective {
        let teachers = Teachers { count: scales.len(), load: Box::new(|index| Ok(scaled(scales[index]))) };
        CheckpointObjective::new(method, 2, 2, teachers, || Ok(student.clone()), &examples()).unwrap()
    }

    fn chosen(method: DistilMethod, scales: &'static [f64], student: f64) -> StageTeacher {
        let student = scaled(student);
        let mut objective = objective(method, scales, &student);
        objective.begin_stage(&student, &examples(), &NullObserver).unwrap().unwrap()
    }

    #[test]
    fn the_schedule_chooses_a_teacher_between_the_student_and_the_best_teacher() {
        // The divergences of a teacher from itself are zero.
        let between = chosen(DistilMethod::Scheduled, &[1.6, 1.15, 1.3], 1.0);
        assert_eq!(between.index, 1);
        assert!(between.divergence_from_best > Some(0.0) && between.divergence_from_student > Some(0.0));
        let reached = chosen(DistilMethod::Scheduled, &[1.6, 1.0, 1.3], 1.3);
        assert_eq!(reached.index, 2);
        assert_eq!((reached.divergence_from_best, reached.divergence_from_student), (Some(0.0), Some(0.0)));
        for method in [DistilMethod::Plain, DistilMethod::Weighted] {
            assert_eq!(chosen(method, &[1.6, 1.15, 1.3], 1.0).index, 2, "{method:?}");
        }
    }

    #[test]
    fn the_weights_follow_from_the_losses_of_student_and_teacher() {
        assert_eq!([(3.0, 1.0), (0.0, 2.0), (0.0, 0.0)].map(|(s, t)| teacher_weight(s, t)), [0.75, 0.0, 0.5]);
        let (student, teacher) = (scaled(1.0), scaled(1.3));
        let mut objective = objective(DistilMethod::Weighted, &[1.3], &student);
        objective.begin_stage(&student, &examples(), &NullObserver).unwrap();
        // The loss of an example is the mean over its completion.
        let mean_loss = |decoder: &Decoder, example: &TrainingExample| {
            let hidden_btd =
                Hybrid::from_base(decoder).forward_hidden(&[example.inputs().to_vec()], None, None);
            let [_, time, width] = hidden_btd.dims();
            let targets: Vec<(usize, u32)> = example.targets().collect();
            let found = decoder.log_likelihoods(hidden_btd.reshape([time, width]), &targets);
            -found.iter().map(|value| f64::from(*value)).sum::<f64>() / found.len() as f64
        };
        let weights = &objective.current.as_ref().unwrap().weights;
        for (example, weight) in examples().training.iter().zip(weights) {
            let [of_student, of_teacher] = [&student, &teacher].map(|decoder| mean_loss(decoder, example));
            assert!((weight - of_student / (of_student + of_teacher)).abs() < 1e-5, "{weight}");
        }
    }

    #[test]
    fn a_student_that_equals_its_teacher_has_no_loss_without_weights() {
        let student = scaled(1.0);
        let shape = LoraShape { rank: 1, alpha: 1.0 };
        let is_adapted = |name: &str| name.ends_with("v_proj.weight");
        let model =
            LoraDecoder::new(student.clone(), shape, &AdamWConfig::default(), Seed(0), is_adapted).unwrap();
        let loss = |method| {
            let mut objective = objective(method, &[1.3, 1.0], &student);
            objective.begin_stage(&student, &examples(), &NullObserver).unwrap();
            let rows = |rows: &PaddedRows| {
                let found = objective.loss_and_gradient(&model, DType::F32, rows, 1.0);
                f64::from(found.loss.into_scalar::<f32>())
            };
            map_rows(false, with_indices(&examples().training), 2, rows).unwrap().iter().sum::<f64>()
        };
        assert!(loss(DistilMethod::Plain).abs() < 1e-5);
        // Equal losses give the weight 0.5, so half of the cross entropy remains.
        let losses = completion_losses(&student, &examples().training, 2).unwrap();
        let sums = losses.iter().zip(examples().training).map(|(loss, one)| loss * one.num_targets() as f64);
        let expected = sums.sum::<f64>() / 2.0;
        assert!((loss(DistilMethod::Weighted) - expected).abs() < 1e-4 * expected);
    }
}
