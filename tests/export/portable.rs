//! Hybrids in the formats of other software, compared with the outputs of dtr.

use std::path::{Path, PathBuf};
use std::process::Command;

use dtr_model::{
    BlockConfig, GdnConfig, GeometryConfig, GlaConfig, HybridFormat, JetConfig, PortableFormat, TwinInit,
    TwinVariant, WeightDtype,
};

use crate::hybrids::{HybridSource, write_expected_beside};
use crate::python::assert_success;
use crate::skipped::report_skipped;
use crate::temp_folder::TempFolder;
use crate::transformers::{find_offline_python, find_transformers};

/// A hybrid to export: its base, its variant, and its replaced layers.
struct Case {
    base: &'static str,
    variant: TwinVariant,
    layers: &'static [u32],
}

/// Returns a variant with the preset `format`, and with other head counts and widths if `sizes` has some:
/// query heads, key/value heads, key width and value width.
fn variant(format: PortableFormat, block: BlockConfig, sizes: Option<[usize; 4]>) -> TwinVariant {
    let size = |at: usize| sizes.map(|sizes| sizes[at]);
    let geometry = GeometryConfig {
        num_heads: size(0),
        num_kv_heads: size(1),
        key_dim: size(2),
        value_dim: size(3),
        portable: Some(format),
        ..GeometryConfig::default()
    };
    let init = if sizes.is_some() { TwinInit::Random } else { TwinInit::Copy };
    TwinVariant { block, geometry, init }
}

fn gdn(conv_size: usize, allow_neg_eigval: bool) -> BlockConfig {
    BlockConfig::Gdn(GdnConfig { conv_size, allow_neg_eigval })
}

fn qwen3_5_cases() -> Vec<Case> {
    let format = PortableFormat::Qwen35;
    let case = |variant, layers| Case { base: "qwen3", variant, layers };
    vec![
        case(variant(format, gdn(4, false), None), &[1]),
        case(variant(format, gdn(0, false), None), &[0, 2]),
        case(variant(format, gdn(2, false), Some([6, 2, 8, 12])), &[1, 2]),
        case(variant(format, gdn(3, false), Some([3, 3, 8, 8])), &[0]),
    ]
}

fn jet_nemotron_cases() -> Vec<Case> {
    let format = PortableFormat::JetNemotron;
    let jet = |conv_size, generator_reduction| BlockConfig::Jet(JetConfig { conv_size, generator_reduction });
    vec![
        Case { base: "qwen2.5", variant: variant(format, jet(4, 8), None), layers: &[1] },
        Case { base: "llama-3.1", variant: variant(format, jet(3, 4), None), layers: &[0, 2] },
        Case {
            base: "llama-3.2",
            variant: variant(format, jet(2, 6), Some([6, 2, 8, 12])),
            layers: &[0, 1, 2],
        },
    ]
}

fn fla_cases() -> Vec<Case> {
    let format = PortableFormat::Fla;
    let gla = || BlockConfig::Gla(GlaConfig::default());
    let case = |variant, layers| Case { base: "qwen2.5", variant, layers };
    let mut without_gate = variant(format, gla(), None);
    without_gate.geometry.output_gate = false;
    vec![
        case(variant(format, gla(), None), &[1]),
        case(without_gate, &[0, 2]),
        case(variant(format, gla(), Some([6, 2, 8, 16])), &[1, 2]),
        case(variant(format, gdn(4, true), None), &[0]),
        case(variant(format, gdn(0, false), Some([6, 2, 8, 12])), &[0, 1, 2]),
    ]
}

/// Writes each case in `format` to a subfolder of `folder`, with the outputs that dtr computes beside its
/// weights. Returns the subfolders.
fn write_cases(folder: &Path, format: PortableFormat, cases: &[Case]) -> Vec<PathBuf> {
    let write = |(index, case): (usize, &Case)| {
        let source = HybridSource { base: case.base, variant: &case.variant, layers: case.layers };
        let name = format!("{}-{}-{index}", case.base, case.variant.block.name());
        let (own, exported) = (folder.join(format!("{name}-own")), folder.join(name));
        source.write(&own, HybridFormat::Transformers, None);
        source.write(&exported, HybridFormat::Portable(format), None);
        write_expected_beside(&own, &exported);
        exported
    };
    cases.iter().enumerate().map(write).collect()
}

/// Runs `tests/export/SCRIPT` with the exported cases. The script compares them with the outputs of dtr.
/// `program` is the part of the names of an environment variable and of a file of requirements.
fn compare(script: &str, program: &str, format: PortableFormat, cases: &[Case]) {
    let folder = TempFolder::new();
    let variable = format!("DTR_{}_PYTHON", program.to_uppercase());
    let requirements = match program {
        "transformers" => "tests/export/requirements.txt".to_owned(),
        program => format!("tests/export/requirements-{program}.txt"),
    };
    let mut python = match find_offline_python(&variable, &requirements, folder.root()) {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    let hybrids = write_cases(&folder.path("hybrids"), format, cases);
    python.arg(script_path(script)).args(&hybrids);
    run(&mut python);
}

fn script_path(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export").join(script)
}

/// Runs a script, and reports what it skipped. It prints the reason after `SKIPPED: `.
fn run(python: &mut Command) {
    let output = python.output().unwrap();
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    text.lines().filter_map(|line| line.strip_prefix("SKIPPED: ")).for_each(report_skipped);
}

#[test]
fn qwen3_5_of_transformers_computes_the_logits_of_every_hybrid() {
    compare("qwen3_5_logits.py", "transformers", PortableFormat::Qwen35, &qwen3_5_cases());
}

#[test]
fn a_hybrid_in_16_bits_keeps_norms_and_gates_in_f32() {
    let folder = TempFolder::new();
    let mut python = match find_transformers(folder.root()) {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    let case = &qwen3_5_cases()[0];
    let source = HybridSource { base: case.base, variant: &case.variant, layers: case.layers };
    let mut directories = Vec::new();
    for (name, dtype) in [("f32", WeightDtype::F32), ("bf16", WeightDtype::Bf16), ("f16", WeightDtype::F16)] {
        for format in [HybridFormat::Transformers, HybridFormat::Portable(PortableFormat::Qwen35)] {
            let directory = folder.path(&format!("{}-{name}", format.name()));
            source.write(&directory, format, Some(dtype));
            directories.push(directory);
        }
    }
    run(python.arg(script_path("dtypes.py")).args(&directories));
}

#[test]
fn jet_nemotron_of_sglang_computes_the_logits_of_every_hybrid() {
    compare("jet_nemotron_logits.py", "sglang", PortableFormat::JetNemotron, &jet_nemotron_cases());
}

#[test]
fn flash_linear_attention_computes_the_logits_of_every_hybrid() {
    compare("fla_logits.py", "fla", PortableFormat::Fla, &fla_cases());
}

/// Returns the path of a Qwen3 base with a tokenizer that llama.cpp knows.
fn gguf_base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf/qwen3.gguf")
}

#[test]
fn hybrids_that_a_format_cannot_express_are_refused() {
    let folder = TempFolder::new();
    let (format, path) = (HybridFormat::Portable(PortableFormat::Qwen35), folder.path("hybrid"));
    let own = variant(PortableFormat::Qwen35, gdn(4, false), None);
    let refused = |format: HybridFormat, layers: &[u32], variant: &TwinVariant| {
        let source = HybridSource { base: "qwen3.gguf", variant, layers };
        let error = source.try_write_from(&gguf_base(), &path, format, None).unwrap_err().to_string();
        assert!(!path.exists());
        error
    };
    assert_eq!(refused(format, &[], &own), "`qwen3_5` cannot express the base itself");
    for format in [format, HybridFormat::Gguf] {
        let text = refused(format, &[0, 1], &own);
        assert!(text.ends_with("needs a layer with full attention"), "{text}");
    }
    let rotated = TwinVariant {
        geometry: GeometryConfig { rope: true, qk_norm: Some(true), ..own.geometry.clone() },
        ..own.clone()
    };
    let text = refused(HybridFormat::Gguf, &[1], &rotated);
    assert!(text.contains("`rope` must be false, not true") && text.contains("`qk-norm`"), "{text}");
    let wide = GeometryConfig { value_dim: Some(32), ..own.geometry.clone() };
    let wide = TwinVariant { geometry: wide, init: TwinInit::Random, ..own };
    assert!(refused(HybridFormat::Gguf, &[1], &wide).contains("`value-dim` must be 16, as `key-dim`"));
}

/// Writes a hybrid of the Qwen3 base in `tests/fixtures/gguf` in three formats. Returns the GGUF file and the
/// Qwen3.5 directory. The outputs of dtr lie in the directory.
fn write_gguf_hybrid(folder: &Path) -> [PathBuf; 2] {
    let variant = variant(PortableFormat::Qwen35, gdn(4, false), None);
    let base = gguf_base();
    let source = HybridSource { base: "qwen3.gguf", variant: &variant, layers: &[1] };
    let paths = ["hybrid.gguf", "qwen3_5", "own"].map(|name| folder.join(name));
    let dtype = Some(WeightDtype::F32);
    for (path, format) in paths.iter().zip([
        HybridFormat::Gguf,
        HybridFormat::Portable(PortableFormat::Qwen35),
        HybridFormat::Transformers,
    ]) {
        source.write_from(&base, path, format, dtype);
    }
    let [gguf, qwen3_5, own] = paths;
    write_expected_beside(&own, &qwen3_5);
    [gguf, qwen3_5]
}

/// Runs a script with the paths of [`write_gguf_hybrid`] and the Python that `variable` names.
fn run_with_gguf(script: &str, variable: &str, requirements: &str) {
    let folder = TempFolder::new();
    match find_offline_python(variable, requirements, folder.root()) {
        Ok(mut python) => {
            run(python.arg(script_path(script)).args(write_gguf_hybrid(&folder.path("hybrids"))));
        }
        Err(reason) => report_skipped(&reason),
    }
}

#[test]
fn a_gguf_file_holds_what_the_converter_of_llama_cpp_would_write() {
    run_with_gguf("gguf_container.py", "DTR_GGUF_PYTHON", "tests/export/requirements-gguf.txt");
}

#[test]
fn llama_cpp_continues_a_text_as_dtr_does() {
    run_with_gguf("llama_cpp_text.py", "DTR_LLAMA_CPP_PYTHON", "tests/export/requirements-llama-cpp.txt");
}
