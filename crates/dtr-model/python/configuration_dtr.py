"""The configuration of a hybrid of full and linear attention, as `dtr export` writes it.

The base is the pretrained Llama, Qwen2 or Qwen3 decoder from which the hybrid was made. The twins are the
blocks of linear attention that take the place of the base's attention in some layers.
"""

from transformers import PreTrainedConfig

FULL_ATTENTION = "full_attention"
LINEAR_ATTENTION = "linear_attention"

# The newest format of the table `dtr` that this file reads.
FORMAT = 2

# A table for configurations that are made without one, as in `DtrHybridConfig()`.
DEFAULT_TABLE = {
    "format": FORMAT,
    "base": {"model_type": "llama"},
    "variant": {
        "block": {"gdn": {"conv-size": 4, "allow-neg-eigval": False}},
        "geometry": {"rope": False, "output-gate": True},
        "init": "calibrated",
    },
}


class DtrHybridConfig(PreTrainedConfig):
    """The sizes of the base, the type of each layer, and the table `dtr`, which describes the twins.

    Args:
        layer_types (`list[str]`, *optional*):
            `"full_attention"` or `"linear_attention"` for each layer. The default is full attention.
        dtr (`dict`, *optional*):
            The table `dtr`. It has the number of its `format`, the `model_type` and `architectures` of the
            `base`, and the `variant` of the twins. A variant has a `block` (`"gla"`, `"gdn"` or `"jet"`) with
            its settings, and a `geometry`. A size that the geometry leaves out is that of the base.

    The other arguments are those of `LlamaConfig`.
    """

    model_type = "dtr_hybrid"
    keys_to_ignore_at_inference = ["past_key_values", "cache"]

    def __init__(
        self,
        vocab_size=32_000,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        hidden_act="silu",
        max_position_embeddings=2048,
        initializer_range=0.02,
        rms_norm_eps=1e-6,
        attention_dropout=0.0,
        rope_parameters=None,
        layer_types=None,
        dtr=None,
        use_cache=True,
        tie_word_embeddings=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = head_dim
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.rms_norm_eps = rms_norm_eps
        self.attention_dropout = attention_dropout
        self.rope_parameters = rope_parameters
        self.layer_types = layer_types or [FULL_ATTENTION] * num_hidden_layers
        self.dtr = dtr or DEFAULT_TABLE
        self.use_cache = use_cache
        self.tie_word_embeddings = tie_word_embeddings
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eos_token_id = eos_token_id
        if self.dtr["format"] > FORMAT:
            raise ValueError(
                f"cannot read a table `dtr` of format {self.dtr['format']}: these files read up to {FORMAT}"
            )
        super().__init__(**kwargs)

    @property
    def qkv_bias(self):
        """Whether the projections of queries, keys and values have biases."""
        return self.dtr["base"]["model_type"] == "qwen2"

    @property
    def qk_norm(self):
        """Whether each head of queries and keys is normalised."""
        return self.dtr["base"]["model_type"] == "qwen3"

    @property
    def linear_block(self):
        """The name of the twins' block, and its settings."""
        ((name, settings),) = self.dtr["variant"]["block"].items()
        return name, settings

    @property
    def linear_geometry(self):
        """The head counts, the head widths and the options of the twins."""
        base = {
            "num-heads": self.num_attention_heads,
            "num-kv-heads": self.num_key_value_heads,
            "key-dim": self.head_dim,
            "value-dim": self.head_dim,
            "rope": False,
            "output-gate": True,
        }
        own = self.dtr["variant"].get("geometry", {})
        is_portable = own.get("portable") is not None
        base["qkv-bias"] = self.qkv_bias and not is_portable
        base["qk-norm"] = self.qk_norm and not is_portable
        return base | own


__all__ = ["DtrHybridConfig"]
