//! What a cell surely holds in memory, so that one that cannot fit is told before it begins.

use super::cells::{BaseSource, Cell, Work};
use super::expand::Plan;
use super::memory::element;
use crate::data::base_tokenizer;
use crate::manifest::Dtype;
use crate::store::Key;
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_model::Variant;
use dtr_model::{BaseModel, DecoderConfig, Mixer};

/// What is held of each parameter that learns, in f32: itself, two moments and a gradient.
const LEARNING: u64 = 4 * 4;

/// An error if `cell` needs more than `room` bytes for its weights alone.
///
/// # Errors
/// Also when the configuration of a base cannot be read.
pub fn ensure_room(plan: &Plan, cell: &Cell, room: u64) -> Result<()> {
    match least_bytes(plan, cell)? {
        bytes if bytes <= room => Ok(()),
        bytes => Err(Error::environment(format!(
            "it needs {} of memory for its weights alone, and this machine has {}",
            format_bytes(bytes),
            format_bytes(room)
        ))
        .hint("choose a smaller base, or a machine with more memory")),
    }
}

/// Bytes of the weights that a cell holds at once, with moments and gradients of those that learn: a distillation those of one
/// layer, since layers can learn in turn.
fn least_bytes(plan: &Plan, cell: &Cell) -> Result<u64> {
    let number = cell.base().map_or(element(Dtype::F32), |base| element(base.dtype()));
    let parameters = |config: Option<&DecoderConfig>| config.map_or(0, DecoderConfig::num_parameters);
    let twin = |config: &DecoderConfig, variant: &Variant| Mixer::num_twin_parameters(variant, config);
    let twins = |config: Option<&DecoderConfig>, variant: Option<&Variant>| {
        let all =
            config.zip(variant).map(|(config, variant)| config.num_layers as u64 * twin(config, variant));
        all.unwrap_or(0)
    };
    let of = |source: &BaseSource| config(plan, source);
    Ok(match &cell.work {
        Work::Pretrain(_) => LEARNING * parameters(config(plan, &BaseSource::Pretrained(cell.key))?.as_ref()),
        Work::Distil(work) => {
            let config = of(&work.base)?;
            let learning = config.as_ref().map_or(0, |config| LEARNING * twin(config, &work.variant));
            number * parameters(config.as_ref()) + learning
        }
        Work::Score(work) => number * parameters(of(&work.base)?.as_ref()),
        Work::Search(work) => {
            let config = of(&work.base)?;
            number * (parameters(config.as_ref()) + twins(config.as_ref(), variant(plan, &work.twins)))
        }
        Work::Throughput(work) => {
            number * (parameters(Some(&work.shape)) + twins(Some(&work.shape), work.variant.as_ref()))
        }
    })
}

/// The shape of a base; none where it is not there yet.
fn config(plan: &Plan, source: &BaseSource) -> Result<Option<DecoderConfig>> {
    match source {
        BaseSource::Directory(folder, ..) => match folder.join("config.json").is_file() {
            true => BaseModel::read_config(folder).map(Some),
            false => Ok(None),
        },
        BaseSource::Pretrained(key) => match plan.cell(key).map(|cell| &cell.work) {
            Some(Work::Pretrain(work)) => {
                let words = base_tokenizer(&work.architecture)?.vocab_size();
                Ok(Some(work.architecture.llama_config(words, work.recipe.sequence_length)))
            }
            _ => Ok(None),
        },
    }
}

fn variant<'a>(plan: &'a Plan, twins: &Key) -> Option<&'a Variant> {
    match plan.cell(twins).map(|cell| &cell.work) {
        Some(Work::Distil(work)) => Some(&work.variant),
        _ => None,
    }
}
