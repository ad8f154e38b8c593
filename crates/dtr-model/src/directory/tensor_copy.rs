//! Writes tensors to safetensors files without loading whole tensors. Copies the bytes of tensors in
//! safetensors files unchanged, dequantises tensors of GGUF files, and computes others in chunks.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;

use super::TensorSource;
use super::weight_files::{INDEX_FILE, WEIGHTS_FILE};
use dtr_core::error::{Error, Result};
use dtr_core::files::{write_atomically, write_bytes_atomically};

/// Writes `tensors` to `directory`, as one weight file or as shards with an index. A shard holds at most
/// `max_shard_bytes` bytes of values. A larger tensor gets a shard of its own.
///
/// # Errors
/// Fails when a tensor cannot be read or a file cannot be written.
pub fn write_weights(directory: &Path, tensors: Vec<TensorSource>, max_shard_bytes: u64) -> Result<()> {
    let num_bytes: u64 = tensors.iter().map(TensorSource::num_bytes).sum();
    let mut shards = split_into_shards(tensors, max_shard_bytes);
    if let [single] = shards.as_mut_slice() {
        return write_file(&directory.join(WEIGHTS_FILE), single);
    }
    let num_shards = shards.len();
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter_mut().enumerate() {
        let name = format!("model-{:05}-of-{num_shards:05}.safetensors", index + 1);
        write_file(&directory.join(&name), shard)?;
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), name.clone())));
    }
    let index = json!({ "metadata": { "total_size": num_bytes }, "weight_map": weight_map });
    let index = serde_json::to_string_pretty(&index).expect("an index is plain JSON") + "\n";
    write_bytes_atomically(&directory.join(INDEX_FILE), index.as_bytes())
}

/// Splits `tensors` into shards of at most `max_shard_bytes`, in the given order. A larger tensor gets a
/// shard of its own.
fn split_into_shards(tensors: Vec<TensorSource>, max_shard_bytes: u64) -> Vec<Vec<TensorSource>> {
    let mut shards = vec![Vec::new()];
    let mut shard_bytes = 0;
    for tensor in tensors {
        let num_bytes = tensor.num_bytes();
        if shard_bytes > 0 && shard_bytes + num_bytes > max_shard_bytes {
            shards.push(Vec::new());
            shard_bytes = 0;
        }
        shard_bytes += num_bytes;
        shards.last_mut().expect("there is always a shard").push(tensor);
    }
    shards
}

/// Writes one file. Wider dtypes come first, so that every tensor is aligned.
fn write_file(path: &Path, tensors: &mut [TensorSource]) -> Result<()> {
    tensors.sort_by(|a, b| b.info.dtype.cmp(&a.info.dtype).then_with(|| a.name.cmp(&b.name)));
    let header = encode_header(tensors).map_err(|cause| {
        Error::failed(format!("cannot make a safetensors header for `{}`", path.display())).with_source(cause)
    })?;
    write_atomically(path, |file| {
        let mut out = io::BufWriter::new(file);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for tensor in tensors.iter() {
            tensor.copy_to(&mut out)?;
        }
        out.flush()
    })
}

/// Returns the JSON header of a file that holds `tensors` in this order.
fn encode_header(tensors: &[TensorSource]) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.num_bytes() as usize;
        (tensor.name.clone(), TensorInfo { data_offsets: (start, end), ..tensor.info.clone() })
    });
    // Older versions of transformers require the framework in the metadata.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let header = Metadata::new(Some(metadata), infos.collect())?;
    let mut text = serde_json::to_vec(&header).expect("a header is plain JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}
