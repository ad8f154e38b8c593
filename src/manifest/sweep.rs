//! `[sweep]`: what is crossed with what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The axes of a sweep; they multiply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sweep {
    /// Base models, by name.
    pub model: Vec<String>,
    /// Linear variants, by name. Without any, bases are only trained and scored.
    pub variant: Vec<String>,
    /// Tasks, by name. Without any, bases and hybrids are only timed.
    pub task: Vec<String>,
    /// Further axes: a dotted key of the manifest and the values it takes,
    /// for example `"distil.token-budget" = ["1M", "10M"]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub axes: BTreeMap<String, Vec<toml::Value>>,
    /// Combinations to leave out; an absent field matches everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclude>,
}

/// A combination that a sweep leaves out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Exclude {
    /// The base model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The linear variant's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The task's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

impl Sweep {
    /// The combinations of model, variant and task that are not excluded, the last axis fastest.
    ///
    /// Without variants there is one combination for each model and task.
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

    /// What can be timed: each base, then the base with each variant. Exclusions that name a task leave none out.
    pub fn systems(&self) -> Vec<(&str, Option<&str>)> {
        let variants = || std::iter::once(None).chain(self.variant.iter().map(|name| Some(name.as_str())));
        let systems = self.model.iter().flat_map(|model| variants().map(|variant| (model.as_str(), variant)));
        let excluded = |(model, variant)| self.exclude.iter().any(|one| one.matches(model, variant, None));
        systems.filter(|system| !excluded(*system)).collect()
    }
}

impl Exclude {
    /// Whether it leaves out this combination, or, without a task, the combination for every task.
    fn matches(&self, model: &str, variant: Option<&str>, task: Option<&str>) -> bool {
        let fits = |wanted: &Option<String>, name| wanted.is_none() || wanted.as_deref() == name;
        fits(&self.model, Some(model)) && fits(&self.variant, variant) && fits(&self.task, task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_leave_out_what_they_match() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut sweep = Sweep { model: names("a b"), task: names("x y"), ..Sweep::default() };
        sweep.exclude = vec![Exclude { model: Some("a".into()), task: Some("y".into()), variant: None }];
        assert_eq!(sweep.combinations(), [("a", None, "x"), ("b", None, "x"), ("b", None, "y")]);
        sweep.exclude[0].variant = Some("gla".into());
        assert_eq!(sweep.combinations().len(), 4, "without variants nothing is of the variant `gla`");
        sweep.variant = names("gla gdn");
        assert_eq!(sweep.combinations().len(), 7);
        assert_eq!(sweep.systems().len(), 6, "without a task nothing is for `y`");
        sweep.exclude[0].task = None;
        assert_eq!(
            sweep.systems(),
            [("a", None), ("a", Some("gdn")), ("b", None), ("b", Some("gla")), ("b", Some("gdn"))]
        );
    }
}
