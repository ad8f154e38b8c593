//! The groups of a hybrid's parameters.

/// A group of parameters of a hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterGroup {
    /// The linear blocks of the replaced layers.
    Mixers,
    /// Norms, MLPs, the embedding and the output head.
    Rest,
    /// The projections of values and outputs in the attention of the layers that are not replaced.
    Attention,
    /// The projections and norms of queries and keys in the attention of the layers that are not replaced.
    QueryKey,
}

impl ParameterGroup {
    /// Returns the group of the parameter `name` of a hybrid.
    pub fn of(name: &str) -> Self {
        let is_query_or_key =
            || ["q_proj", "k_proj", "q_norm", "k_norm"].iter().any(|part| name.contains(part));
        match name {
            name if name.contains(".linear_attn.") => Self::Mixers,
            name if name.contains(".self_attn.") && is_query_or_key() => Self::QueryKey,
            name if name.contains(".self_attn.") => Self::Attention,
            _ => Self::Rest,
        }
    }
}

/// Groups of parameters that one optimizer trains with the same learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRate {
    /// The name of the optimizer in checkpoints.
    pub name: &'static str,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// The groups.
    pub groups: &'static [ParameterGroup],
}

impl GroupRate {
    /// Returns whether the parameter `name` belongs to one of the groups.
    pub fn contains(&self, name: &str) -> bool {
        self.groups.contains(&ParameterGroup::of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_belongs_to_a_group() {
        for (name, group) in [
            ("model.layers.1.linear_attn.q_proj.weight", ParameterGroup::Mixers),
            ("model.layers.2.self_attn.q_proj.weight", ParameterGroup::QueryKey),
            ("model.layers.2.self_attn.k_proj.bias", ParameterGroup::QueryKey),
            ("model.layers.2.self_attn.k_norm.weight", ParameterGroup::QueryKey),
            ("model.layers.2.self_attn.v_proj.weight", ParameterGroup::Attention),
            ("model.layers.2.self_attn.o_proj.weight", ParameterGroup::Attention),
            ("model.layers.2.input_layernorm.weight", ParameterGroup::Rest),
            ("model.embed_tokens.weight", ParameterGroup::Rest),
        ] {
            assert_eq!(ParameterGroup::of(name), group, "{name}");
        }
    }
}
