//! Exported hybrids in Hugging Face transformers.

use std::path::Path;
use std::process::Command;

use crate::hybrids::{compute_logits, write_hybrids};
use crate::python::{assert_success, find_python};
use crate::skipped::report_skipped;
use crate::temp_folder::TempFolder;

/// Returns a Python with transformers that reads no network and keeps its files in `folder`, or the reason
/// why there is none.
pub fn find_transformers(folder: &Path) -> Result<Command, String> {
    find_offline_python("DTR_TRANSFORMERS_PYTHON", "tests/export/requirements.txt", folder)
}

/// Returns the Python that `variable` names with the packages of the file `requirements`. It reads no network
/// and keeps its files in `folder`. Returns the reason if there is none.
pub fn find_offline_python(variable: &str, requirements: &str, folder: &Path) -> Result<Command, String> {
    let mut python = find_python(variable, requirements)?;
    python.env("HF_HOME", folder.join("home")).env("HF_HUB_OFFLINE", "1").env("HF_DATASETS_OFFLINE", "1");
    Ok(python)
}

#[test]
fn transformers_computes_the_logits_and_texts_of_every_hybrid() {
    let folder = TempFolder::new();
    let mut python = match find_transformers(folder.root()) {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    let hybrids = write_hybrids(&folder.path("hybrids"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/transformers_logits.py"));
    let output = python.args(&hybrids).output().unwrap();
    assert_success(&output);
    // The program has saved each hybrid again.
    for hybrid in hybrids {
        let bits = |directory: &Path| {
            compute_logits(directory).map(|logits| logits.into_data().try_to_vec::<f32>().unwrap())
        };
        assert!(bits(&hybrid) == bits(&hybrid.join("saved")), "{}: other logits", hybrid.display());
    }
}
