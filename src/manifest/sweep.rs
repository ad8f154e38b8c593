//! `[sweep]`: the combinations of models, variants and tasks that an experiment runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The axes of a sweep. The experiment runs every combination of their values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SweepConfig {
    /// The names of base models.
    pub model: Vec<String>,
    /// The names of linear variants. If the list is empty, bases are trained and scored, and nothing is
    /// distilled.
    pub variant: Vec<String>,
    /// The names of tasks. If the list is empty, only the speed of bases and hybrids is measured.
    pub task: Vec<String>,
    /// Further axes. Each axis is a quoted dotted key of the manifest and the list of values to try, for
    /// example `"distil.token-budget" = ["1M", "10M"]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub axes: BTreeMap<String, Vec<toml::Value>>,
    /// Combinations that the experiment leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
}

/// The combinations that a sweep leaves out. A key that is absent matches every name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Exclusion {
    /// The name of the base model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of the linear variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The name of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

impl SweepConfig {
    /// Returns the combinations of model, variant and task that are not excluded. The task changes fastest.
    ///
    /// Without variants, there is one combination for each model and task.
    pub fn combinations(&self) -> Vec<(&str, Option<&str>, &str)> {
        let variants: Vec<Option<&str>> = match self.variant.as_slice() {
            [] => vec![None],
            variants => variants.iter().map(|variant| Some(variant.as_str())).collect(),
        };
        let mut combinations = Vec::new();
        for model in &self.model {
            for &variant in &variants {
                combinations.extend(self.task.iter().map(|task| (model.as_str(), variant, task.as_str())));
            }
        }
        let excluded =
            |(model, variant, task)| self.exclude.iter().any(|one| one.matches(model, variant, Some(task)));
        combinations.retain(|combination| !excluded(*combination));
        combinations
    }

    /// Returns the pairs of model and variant whose speed can be measured: each base alone, and each base
    /// with each variant.
    ///
    /// An exclusion that names a task excludes no pair.
    pub fn model_variant_pairs(&self) -> Vec<(&str, Option<&str>)> {
        let variants = || std::iter::once(None).chain(self.variant.iter().map(|name| Some(name.as_str())));
        let pairs = self.model.iter().flat_map(|model| variants().map(|variant| (model.as_str(), variant)));
        let excluded = |(model, variant)| self.exclude.iter().any(|one| one.matches(model, variant, None));
        pairs.filter(|pair| !excluded(*pair)).collect()
    }
}

impl Exclusion {
    /// Returns whether this exclusion matches the combination. If `task` is `None`, returns whether the
    /// exclusion matches the model and the variant on every task.
    fn matches(&self, model: &str, variant: Option<&str>, task: Option<&str>) -> bool {
        let fits = |pattern: &Option<String>, name| pattern.is_none() || pattern.as_deref() == name;
        fits(&self.model, Some(model)) && fits(&self.variant, variant) && fits(&self.task, task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_leaves_out_the_combinations_that_an_exclusion_matches() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut sweep = SweepConfig { model: names("a b"), task: names("x y"), ..SweepConfig::default() };
        sweep.exclude = vec![Exclusion { model: Some("a".into()), task: Some("y".into()), variant: None }];
        assert_eq!(sweep.combinations(), [("a", None, "x"), ("b", None, "x"), ("b", None, "y")]);
        sweep.exclude[0].variant = Some("gla".into());
        assert_eq!(sweep.combinations().len(), 4, "without variants, an exclusion of `gla` matches nothing");
        sweep.variant = names("gla gdn");
        assert_eq!(sweep.combinations().len(), 7);
        assert_eq!(sweep.model_variant_pairs().len(), 6, "an exclusion with a task matches no pair");
        sweep.exclude[0].task = None;
        assert_eq!(
            sweep.model_variant_pairs(),
            [("a", None), ("a", Some("gdn")), ("b", None), ("b", Some("gla")), ("b", Some("gdn"))]
        );
    }
}
