//! What the mixers share: projections in, the gated readout out, and a twin's geometry.

use burn::tensor::{DType, Tensor};

use super::Geometry;
use super::Pass;
use super::calibrate::Observed;
use super::full::FullAttention;
use crate::config::Config;
use crate::parameters::{Initializer, ParamMut, ParamSource};
use dtr_core::error::{Error, Result};
use dtr_ops::{Rope, gated_rms_norm, rms_norm, split_heads};

/// A projection with its weight `[out, in]`.
#[derive(Clone)]
pub struct Linear {
    /// The weight, `[out, in]`.
    pub weight: Tensor<2>,
    /// The bias, `[out]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    /// A projection without bias.
    pub fn new(
        make: &mut dyn ParamSource,
        name: &str,
        [out, inputs]: [usize; 2],
        fill: Initializer,
    ) -> Result<Self> {
        let weight = make.matrix(&format!("{name}.weight"), [out, inputs], fill)?;
        Ok(Self { weight: dtr_ops::to_column_major(weight), bias: None })
    }

    /// Adds a bias that starts as `fill`.
    pub fn with_bias(mut self, make: &mut dyn ParamSource, name: &str, fill: Initializer) -> Result<Self> {
        let out = self.weight.dims()[0];
        self.bias = Some(make.vector(&format!("{name}.bias"), out, fill)?);
        Ok(self)
    }

    /// A projection that starts as a copy of `source`, or drawn afresh, with a bias if `bias`.
    pub fn like(
        source: Option<&Self>,
        bias: bool,
        make: &mut dyn ParamSource,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Self> {
        let fill = source.map_or(Initializer::fan_in(shape[1]), |source| values(&source.weight));
        let linear = Self::new(make, name, shape, fill)?;
        if !bias {
            return Ok(linear);
        }
        let copied = source.and_then(|source| source.bias.as_ref()).map(values);
        linear.with_bias(make, name, copied.unwrap_or(Initializer::Constant(0.0)))
    }

    /// Projects `x_btd`.
    pub fn forward(&self, x_btd: Tensor<3>) -> Tensor<3> {
        dtr_ops::linear(x_btd, &self.weight, self.bias.as_ref())
    }

    /// Visits weight and bias as `name.weight` and `name.bias`.
    pub fn visit(&mut self, name: &str, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        visitor(&format!("{name}.weight"), ParamMut::Matrix(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            visitor(&format!("{name}.bias"), ParamMut::Vector(bias));
        }
    }
}

/// A tensor's values, to start another from.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Initializer {
    Initializer::Values(
        tensor.clone().cast(DType::F32).into_data().try_to_vec().expect("they were cast to f32"),
    )
}

/// A twin's heads and widths, resolved against the base's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key/value heads, repeated as activations.
    pub num_kv_heads: usize,
    /// Key width of a head.
    pub key_dim: usize,
    /// Value width of a head.
    pub value_dim: usize,
    /// Whether queries and keys are rotated.
    pub rope: bool,
    /// Whether the output is gated.
    pub output_gate: bool,
    /// Whether q, k and v have biases, as the base's have.
    pub qkv_bias: bool,
    /// Whether q and k are normalised per head, as the base's are.
    pub qk_norm: bool,
    norm_epsilon: u64,
}

impl TwinConfig {
    /// `geometry` with the base's own size wherever it is silent.
    pub fn new(geometry: &Geometry, base: &Config) -> Self {
        Self {
            hidden_size: base.hidden_size,
            num_heads: geometry.num_heads.unwrap_or(base.num_heads),
            num_kv_heads: geometry.num_kv_heads.unwrap_or(base.num_kv_heads),
            key_dim: geometry.key_dim.unwrap_or(base.head_dim),
            value_dim: geometry.value_dim.unwrap_or(base.head_dim),
            rope: geometry.rope,
            output_gate: geometry.output_gate,
            qkv_bias: base.qkv_bias,
            qk_norm: base.qk_norm,
            norm_epsilon: base.norm_epsilon.to_bits(),
        }
    }

    /// Query heads that share a key/value head.
    pub fn shared(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Parameters of projections and readout, which every kind of twin has.
    pub(super) fn num_shared_parameters(&self) -> usize {
        let (keys, values) = (self.num_kv_heads * self.key_dim, self.num_kv_heads * self.value_dim);
        let (queries, read) = (self.num_heads * self.key_dim, self.num_heads * self.value_dim);
        let projected = queries + keys + values;
        let gates = if self.output_gate { 2 } else { 1 };
        self.hidden_size * (projected + gates * read)
            + self.value_dim
            + if self.qkv_bias { projected } else { 0 }
            + if self.qk_norm { 2 * self.key_dim } else { 0 }
    }

    /// Epsilon of the norms, the base's own.
    pub fn norm_epsilon(&self) -> f64 {
        f64::from_bits(self.norm_epsilon)
    }

    /// Refuses heads that do not divide evenly, and rotating a width that the base does not rotate.
    pub fn check(&self, base: &Config) -> Result<()> {
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(Error::manifest(format!(
                "a twin's {} heads do not divide over {} key/value heads",
                self.num_heads, self.num_kv_heads
            )));
        }
        if self.rope && self.key_dim != base.head_dim {
            return Err(Error::manifest(format!(
                "a twin with `rope` needs the base's head width {}, not {}",
                base.head_dim, self.key_dim
            )));
        }
        Ok(())
    }

    /// Refuses to copy projections between different geometries.
    pub fn require_base_geometry(&self, base: &Config) -> Result<()> {
        let own = [self.num_heads, self.num_kv_heads, self.key_dim, self.value_dim];
        let theirs = [base.num_heads, base.num_kv_heads, base.head_dim, base.head_dim];
        if own == theirs {
            return Ok(());
        }
        Err(Error::manifest(format!(
            "a twin with heads, key/value heads, key and value width {own:?} cannot copy the base's {theirs:?}"
        ))
        .hint("set `init = \"random\"`, or leave the geometry to the base"))
    }
}

/// Queries, keys and values from the hidden states.
#[derive(Clone)]
pub struct Projections {
    /// `[h·k, d]`.
    pub q_proj: Linear,
    /// `[g·k, d]`.
    pub k_proj: Linear,
    /// `[g·v, d]`.
    pub v_proj: Linear,
    /// RMSNorm of each query head (Qwen3), `[k]`.
    q_norm: Option<Tensor<1>>,
    /// RMSNorm of each key head (Qwen3), `[k]`.
    k_norm: Option<Tensor<1>>,
    norm_epsilon: f64,
    num_heads: usize,
    num_kv_heads: usize,
}

impl Projections {
    /// Projections of `config`'s geometry, as copies of `source` or drawn afresh.
    pub fn new(
        config: &TwinConfig,
        source: Option<&Self>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (width, bias) = (config.hidden_size, config.qkv_bias);
        let [queries, keys, values_] = [
            config.num_heads * config.key_dim,
            config.num_kv_heads * config.key_dim,
            config.num_kv_heads * config.value_dim,
        ];
        let project = |part: &str, source: Option<&Linear>, out: usize, make: &mut dyn ParamSource| {
            Linear::like(source, bias, make, &format!("{name}.{part}"), [out, width])
        };
        let q_proj = project("q_proj", source.map(|s| &s.q_proj), queries, make)?;
        let k_proj = project("k_proj", source.map(|s| &s.k_proj), keys, make)?;
        let v_proj = project("v_proj", source.map(|s| &s.v_proj), values_, make)?;
        let norm = |part: &str, source: Option<&Tensor<1>>, make: &mut dyn ParamSource| {
            let fill = source.map_or(Initializer::Constant(1.0), values);
            config
                .qk_norm
                .then(|| make.vector(&format!("{name}.{part}.weight"), config.key_dim, fill))
                .transpose()
        };
        let q_norm = norm("q_norm", source.and_then(|s| s.q_norm.as_ref()), make)?;
        let k_norm = norm("k_norm", source.and_then(|s| s.k_norm.as_ref()), make)?;
        Ok(Self {
            q_proj,
            k_proj,
            v_proj,
            q_norm,
            k_norm,
            norm_epsilon: config.norm_epsilon(),
            num_heads: config.num_heads,
            num_kv_heads: config.num_kv_heads,
        })
    }

    /// Queries, keys and values of `x_btd`, heads side by side.
    pub fn forward(&self, x_btd: Tensor<3>) -> [Tensor<3>; 3] {
        let parts = [&self.q_proj, &self.k_proj, &self.v_proj];
        dtr_ops::linear_triple(x_btd, parts.map(|part| (&part.weight, part.bias.as_ref())))
    }

    /// Queries by head, normalised where the model does so: `[b, h, t, k]`.
    pub fn query_heads(&self, q_btd: Tensor<3>) -> Tensor<4> {
        self.normed(split_heads(q_btd, self.num_heads), self.q_norm.as_ref())
    }

    /// Keys by head, normalised where the model does so: `[b, g, t, k]`.
    pub fn key_heads(&self, k_btd: Tensor<3>) -> Tensor<4> {
        self.normed(split_heads(k_btd, self.num_kv_heads), self.k_norm.as_ref())
    }

    /// Values by head: `[b, g, t, v]`.
    pub fn value_heads(&self, v_btd: Tensor<3>) -> Tensor<4> {
        split_heads(v_btd, self.num_kv_heads)
    }

    fn normed(&self, x: Tensor<4>, weight: Option<&Tensor<1>>) -> Tensor<4> {
        match weight {
            Some(weight) => rms_norm(x, weight, self.norm_epsilon),
            None => x,
        }
    }

    /// Visits the projections and norms.
    pub fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        self.q_proj.visit("q_proj", visitor);
        self.k_proj.visit("k_proj", visitor);
        self.v_proj.visit("v_proj", visitor);
        if let Some(norm) = &mut self.q_norm {
            visitor("q_norm.weight", ParamMut::Vector(norm));
        }
        if let Some(norm) = &mut self.k_norm {
            visitor("k_norm.weight", ParamMut::Vector(norm));
        }
    }
}

/// Rotates queries and keys where the twin keeps positions.
pub fn maybe_rotate(x_bhtk: Tensor<4>, config: &TwinConfig, pass: &Pass) -> Tensor<4> {
    if config.rope { Rope::apply(x_bhtk, &pass.rope) } else { x_bhtk }
}

/// What a gate reads where it lets everything through: `swish(1.278) = 1`.
const OPEN: f32 = 1.278_465;

/// A twin's way out: RMSNorm per head, swish gate, output projection.
#[derive(Clone)]
pub struct Readout {
    /// The gate's projection, `[h·v, d]`.
    g_proj: Option<Linear>,
    /// The norm's weight, shared by the heads, `[v]`.
    o_norm: Tensor<1>,
    /// `[d, h·v]`.
    o_proj: Linear,
    norm_epsilon: f64,
    num_heads: usize,
}

impl Readout {
    /// A readout of `config`'s geometry; the output projection is `source`'s copy or drawn afresh.
    pub fn new(
        config: &TwinConfig,
        source: Option<&FullAttention>,
        make: &mut dyn ParamSource,
        name: &str,
    ) -> Result<Self> {
        let (width, values_) = (config.hidden_size, config.num_heads * config.value_dim);
        let g_proj = config
            .output_gate
            .then(|| {
                Linear::new(make, &format!("{name}.g_proj"), [values_, width], Initializer::fan_in(width))
            })
            .transpose()?;
        let o_norm =
            make.vector(&format!("{name}.o_norm.weight"), config.value_dim, Initializer::Constant(1.0))?;
        let o_proj = Linear::like(
            source.map(|s| &s.o_proj),
            false,
            make,
            &format!("{name}.o_proj"),
            [width, values_],
        )?;
        Ok(Self { g_proj, o_norm, o_proj, norm_epsilon: config.norm_epsilon(), num_heads: config.num_heads })
    }

    /// The block's output from the heads' `o_bhtv` and the hidden states `x_btd`.
    pub fn forward(&self, o_bhtv: Tensor<4>, x_btd: Tensor<3>) -> Tensor<3> {
        self.o_proj.forward(self.gated(o_bhtv, x_btd))
    }

    /// The heads before the output projection, `[b, t, h·v]`.
    fn gated(&self, o_bhtv: Tensor<4>, x_btd: Tensor<3>) -> Tensor<3> {
        let gate = self.g_proj.as_ref().map(|gate| gate.forward(x_btd));
        gated_rms_norm(o_bhtv, gate, &self.o_norm, self.norm_epsilon)
    }

    /// Starts the gate open: about 1 everywhere.
    pub(super) fn open_gate(&mut self, attention: &Observed) {
        if let Some(gate) = &mut self.g_proj {
            gate.weight = attention.rows_that_say(&vec![OPEN; gate.weight.dims()[0]]);
        }
    }

    /// Scales each head's columns of the output projection so that the heads fit the base's best.
    pub(super) fn fit_scale(&mut self, o_bhtv: Tensor<4>, attention: &Observed) {
        let heads = self.gated(o_bhtv, attention.x_btd.clone());
        let scale = attention.fit(heads, self.num_heads);
        let [out, columns] = self.o_proj.weight.dims();
        let weight = self.o_proj.weight.clone().reshape([out, self.num_heads, columns / self.num_heads]);
        self.o_proj.weight = (weight * scale.reshape([1, self.num_heads, 1])).reshape([out, columns]);
    }

    /// Visits gate, norm and output projection.
    pub fn visit(&mut self, visitor: &mut dyn FnMut(&str, ParamMut<'_>)) {
        if let Some(gate) = &mut self.g_proj {
            gate.visit("g_proj", visitor);
        }
        visitor("o_norm.weight", ParamMut::Vector(&mut self.o_norm));
        self.o_proj.visit("o_proj", visitor);
    }
}
