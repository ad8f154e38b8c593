//! From a manifest to its cells: axes multiplied, exclusions taken out, equal cells joined.

use std::collections::BTreeMap;

use super::cells::{BaseSource, Cell, Distillation, Labels, Pretraining, Scoring, Searching};
use super::downloads::Needs;
use super::spec::{CorpusIdentity, ModelIdentity, TaskIdentity};
use super::timing;
use crate::data::CorpusSource;
use crate::data::Split;
use crate::data::documents::check_first_documents;
use crate::device::{self, HardwareLabel};
use crate::manifest::{Loaded, Manifest, ModelSource};
use crate::store::{Key, Stage};
use dtr_core::error::{Error, Result};

/// The cells of an experiment, inputs before what takes them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The experiment's name.
    pub name: String,
    /// Title of its tables and figures.
    pub title: String,
    /// The question that it asks, where the manifest says one.
    pub question: Option<String>,
    /// Level of its confidence intervals.
    pub confidence: f64,
    /// The cells, each once.
    pub cells: Vec<Cell>,
    /// What they take from the hub.
    pub needs: Needs,
}

impl Plan {
    /// The cell of `key`.
    pub fn cell(&self, key: &Key) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.key == *key)
    }

    /// The cells of `stage`, in order.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.stage == stage)
    }

    fn add(&mut self, cell: Cell) -> Key {
        let key = cell.key;
        if self.cell(&key).is_none() {
            self.cells.push(cell);
        }
        key
    }

    /// Adds a cell whose result is a row of the tables; the same result under two labels is a mistake.
    fn add_result(&mut self, cell: Cell) -> Result<()> {
        if let Some(twin) = self.cell(&cell.key) {
            return Err(Error::manifest(format!(
                "two cells of the sweep are the same work: `{}` and `{}`",
                twin.labels.line(),
                cell.labels.line()
            ))
            .hint("two names stand for one definition, or an axis changes nothing"));
        }
        self.cells.push(cell);
        Ok(())
    }

    /// Adds a cell that times; one system is timed once, however many points of the sweep it is a part of.
    pub(super) fn add_timed(&mut self, cell: Cell) -> Result<()> {
        let name = |labels: &Labels| (labels.model.clone(), labels.variant.clone());
        match self.cell(&cell.key) {
            Some(known) if name(&known.labels) == name(&cell.labels) => Ok(()),
            _ => self.add_result(cell),
        }
    }
}

/// The plan of a loaded manifest for this machine's processor.
///
/// # Errors
/// Manifest errors of any combination of the sweep, and files of bases or corpora that cannot be read.
pub fn plan(loaded: &Loaded) -> Result<Plan> {
    plan_on(loaded, &device::DeviceChoice::Cpu.hardware_label())
}

/// The plan of a loaded manifest for `machine`, which decides what is timed and nothing else.
///
/// # Errors
/// As those of [`plan`].
pub fn plan_on(loaded: &Loaded, machine: &HardwareLabel) -> Result<Plan> {
    let manifest = &loaded.manifest;
    let name = manifest.name.clone().unwrap_or_default();
    let mut plan = Plan {
        title: manifest.report.title.clone().or(manifest.question.clone()).unwrap_or_else(|| name.clone()),
        question: manifest.question.clone(),
        name,
        confidence: manifest.report.confidence,
        cells: Vec::new(),
        needs: Needs::default(),
    };
    let mut digests = Digests::default();
    for axes in combinations(&manifest.sweep.axes) {
        let resolved = loaded.with(&axes)?;
        let axes = axes.into_iter().map(|(key, value)| (key, plain(&value))).collect();
        plan.needs.add(&resolved)?;
        super::compatibility::check(loaded, &resolved)?;
        expand(&mut plan, &resolved, &axes, &mut digests)?;
        timing::expand(&mut plan, loaded, &resolved, &axes, machine)?;
    }
    plan.cells.sort_by_key(|cell| cell.stage);
    Ok(plan)
}

/// Identities of bases that are not trained here and of corpora, read once however many cells share one.
#[derive(Default)]
struct Digests {
    models: BTreeMap<String, Option<BaseSource>>,
    corpora: Vec<(CorpusSource, CorpusIdentity)>,
}

impl Digests {
    fn corpus(&mut self, source: &CorpusSource) -> Result<CorpusIdentity> {
        if let Some((_, identity)) = self.corpora.iter().find(|(known, _)| known == source) {
            return Ok(identity.clone());
        }
        let identity = CorpusIdentity::of(source)?;
        check_corpus(source)?;
        self.corpora.push((source.clone(), identity.clone()));
        Ok(identity)
    }

    fn model(&mut self, manifest: &Manifest, model: &str) -> Result<Option<BaseSource>> {
        let definition = &manifest.models[model];
        let name = format!("{definition:?}");
        if let Some(source) = self.models.get(&name) {
            return Ok(source.clone());
        }
        let identity = ModelIdentity::of(definition)?;
        let source =
            identity.map(|(folder, identity)| BaseSource::Directory(folder, identity, definition.dtype));
        self.models.insert(name, source.clone());
        Ok(source)
    }
}

/// Every combination of one value for each axis; one empty combination without axes.
fn combinations(axes: &BTreeMap<String, Vec<toml::Value>>) -> Vec<Vec<(String, toml::Value)>> {
    let mut all = vec![Vec::new()];
    for (key, values) in axes {
        all = all
            .into_iter()
            .flat_map(|combination: Vec<(String, toml::Value)>| {
                values.iter().map(move |value| {
                    let mut longer = combination.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    all
}

/// A value as people say it: a string without quotes, `random:seed=0` for `{ random = { seed = 0 } }`.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => table.iter().map(choice).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// What a table says under one key, the keys of a table within it after the key.
fn choice((key, value): (&String, &toml::Value)) -> String {
    let toml::Value::Table(table) = value else { return format!("{key}={}", plain(value)) };
    let details: Vec<String> = table.iter().map(choice).collect();
    if details.is_empty() { key.clone() } else { format!("{key}:{}", details.join(" ")) }
}

/// Refuses files that show at their beginning that they cannot be read as a corpus.
fn check_corpus(source: &CorpusSource) -> Result<()> {
    match source {
        CorpusSource::Synthetic(_) => Ok(()),
        CorpusSource::Files(corpus) => check_first_documents(corpus),
        CorpusSource::Mixture(portions) => {
            portions.iter().try_for_each(|portion| check_corpus(&portion.source))
        }
    }
}

fn expand(
    plan: &mut Plan,
    manifest: &Manifest,
    axes: &BTreeMap<String, String>,
    digests: &mut Digests,
) -> Result<()> {
    let combinations = manifest.sweep.combinations();
    if combinations.is_empty() {
        return Ok(());
    }
    let corpus = digests.corpus(&manifest.corpus.source)?;
    for (model, variant, task) in combinations {
        let labels = Labels { model: model.to_owned(), axes: axes.clone(), ..Labels::default() };
        let base = base(plan, manifest, &corpus, &labels, digests)?;
        match variant {
            None => score_base(plan, manifest, base, task, labels)?,
            Some(variant) => {
                let labels = Labels { variant: Some(variant.to_owned()), ..labels };
                search_hybrid(plan, manifest, base, &corpus, task, labels)?;
            }
        }
    }
    Ok(())
}

/// Where the base comes from; adds the cell that trains it where it is trained here.
fn base(
    plan: &mut Plan,
    manifest: &Manifest,
    corpus: &CorpusIdentity,
    labels: &Labels,
    digests: &mut Digests,
) -> Result<BaseSource> {
    if let Some(source) = digests.model(manifest, &labels.model)? {
        return Ok(source);
    }
    let ModelSource::Pretrain(architecture) = &manifest.models[&labels.model].source else {
        unreachable!("a base that is not trained here has an identity")
    };
    if !manifest.models[&labels.model].dtype.is_f32() {
        let message = format!("`models.{}` is trained here, which is computed in f32", labels.model);
        return Err(Error::manifest(message).hint("leave `dtype` away"));
    }
    let work = Pretraining {
        architecture: architecture.clone(),
        recipe: manifest.pretrain.clone(),
        corpus: manifest.corpus.clone(),
    };
    let cell = Cell::pretrain(work, corpus.clone(), labels.before_searches())?;
    Ok(BaseSource::Pretrained(plan.add(cell)))
}

/// Without variants a base is only scored.
fn score_base(
    plan: &mut Plan,
    manifest: &Manifest,
    base: BaseSource,
    task: &str,
    labels: Labels,
) -> Result<()> {
    let labels = Labels { task: Some(task.to_owned()), ..labels };
    let task = manifest.tasks[task].clone();
    let identity = TaskIdentity::of(&task, Split::Test)?;
    let work = Scoring { base, twins: None, task, split: Split::Test, identity, layers: Vec::new() };
    plan.add_result(Cell::score(work, labels)?)
}

/// The twins of a variant, once for all its tasks, and the search that takes them.
fn search_hybrid(
    plan: &mut Plan,
    manifest: &Manifest,
    base: BaseSource,
    corpus: &CorpusIdentity,
    task: &str,
    labels: Labels,
) -> Result<()> {
    let variant = labels.variant.as_ref().expect("a variant is searched under its name");
    let work = Distillation {
        base: base.clone(),
        variant: manifest.variants[variant].clone(),
        recipe: manifest.distil.clone(),
        corpus: manifest.corpus.clone(),
    };
    let twins = plan.add(Cell::distil(work, corpus.clone(), labels.before_searches())?);
    let labels = Labels { task: Some(task.to_owned()), ..labels };
    let work = Searching {
        base,
        twins,
        validation: TaskIdentity::of(&manifest.tasks[task], Split::Validation)?,
        test: TaskIdentity::of(&manifest.tasks[task], Split::Test)?,
        task: manifest.tasks[task].clone(),
        strategy: manifest.search.strategy.clone(),
        stop: manifest.search.stop.clone(),
        prune: manifest.search.prunes_candidates(),
    };
    plan.add_result(Cell::search(work, labels)?)
}
