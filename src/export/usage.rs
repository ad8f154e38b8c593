//! The section of a model card about the use of a hybrid in each program.

use super::ExportFormat;

/// Returns the YAML header of a model card for the Hugging Face hub.
pub(super) fn header(format: ExportFormat) -> String {
    let library = match format {
        ExportFormat::Transformers => "dtr",
        ExportFormat::Gguf => "llama.cpp",
        ExportFormat::Qwen35 | ExportFormat::JetNemotron | ExportFormat::Fla => "transformers",
    };
    format!(
        "---\nlibrary_name: {library}\npipeline_tag: text-generation\ntags: [hybrid, linear-attention, \
         distill-then-replace]\n---\n\n"
    )
}

/// Returns the section about the use of a hybrid that replaces `layers`.
pub(super) fn usage(format: ExportFormat, layers: &[u32]) -> String {
    let text = match format {
        _ if layers.is_empty() => "    dtr generate THIS-DIRECTORY \"A prompt\"\n",
        ExportFormat::Transformers => TRANSFORMERS,
        ExportFormat::Qwen35 => QWEN3_5,
        ExportFormat::JetNemotron => JET_NEMOTRON,
        ExportFormat::Fla => FLA,
        ExportFormat::Gguf => "",
    };
    format!("## Use\n\n{text}")
}

const TRANSFORMERS: &str = "    dtr generate THIS-DIRECTORY \"A prompt\"

In transformers, from version 5.17 on:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\"THIS-DIRECTORY\", trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(\"THIS-DIRECTORY\", trust_remote_code=True)
```

`configuration_dtr.py` and `modeling_dtr.py` define the model's classes. In `config.json`, `layer_types` lists \
the linear layers, and `dtr` describes them and the base. The weights of these layers have names with \
`linear_attn`.
";

const QWEN3_5: &str = "\
The model has the form of a Qwen3.5 text model, so that no program needs code of this directory.

In transformers, from version 5.17 on:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\"THIS-DIRECTORY\")
model = AutoModelForCausalLM.from_pretrained(\"THIS-DIRECTORY\")
```

In vLLM, from version 0.28 on:

    vllm serve THIS-DIRECTORY

In llama.cpp, with a converter from September 2026 or later:

    python convert_hf_to_gguf.py THIS-DIRECTORY --outfile hybrid.gguf
    llama-cli -m hybrid.gguf

SGLang 0.5.23 ignores `layer_types`: it takes every fourth layer for full attention, and would compute another \
model. Do not load this directory in SGLang.
";

const JET_NEMOTRON: &str = "\
The model has the form of a Jet-Nemotron model. In SGLang, from version 0.5.23 on:

    python -m sglang.launch_server --model-path THIS-DIRECTORY
";

const FLA: &str = "\
The model has the form of a model of flash-linear-attention, from version 0.6 on. It needs a GPU with Triton. \
Layers with full attention also need the package flash-attn.

```python
import fla
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\"THIS-DIRECTORY\")
model = AutoModelForCausalLM.from_pretrained(\"THIS-DIRECTORY\").cuda()
```
";
