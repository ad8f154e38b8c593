//! Tests of merging manifest layers. An error underlines a value in the layer that set the value.

use super::*;
use crate::algorithms::search::StopCriterion;
use crate::data::{CorpusSource, TaskSource};
use crate::manifest::{Manifest, ModelSource};
use dtr_core::count::Count;

fn stacked(files: &[(&str, &str)]) -> Manifest {
    let base = [("base.toml", BASE)];
    let files: Vec<_> = base.iter().chain(files).copied().collect();
    Folder::of(&files).load("main.toml", &[]).expect("a manifest").manifest
}

#[test]
fn tables_merge_and_later_layers_win() {
    let manifest = stacked(&[
        ("low.toml", "[distil]\nbatch-size = 4\nseed = 1\ntoken-budget = \"1M\""),
        ("high.toml", "[distil]\nbatch-size = 8\nseed = 2"),
        (
            "main.toml",
            &format!(
                "extends = [\"base.toml\", \"low.toml\", \"high.toml\"]\nname = \"a\"\ndistil.seed = 3\n{SWEEP}"
            ),
        ),
    ]);
    let distil = manifest.distil;
    assert_eq!((distil.token_budget, distil.batch_size, distil.seed.0), (Count(1_000_000), 8, 3));
}

#[test]
fn lists_are_replaced() {
    let manifest = stacked(&[
        ("low.toml", "sweep.task = [\"recall\", \"facts\"]"),
        ("main.toml", &format!("{}{SWEEP}", HEAD.replace("[", "[\"low.toml\", "))),
    ]);
    assert_eq!(manifest.sweep.task, ["recall"]);
}

#[test]
fn a_choice_is_replaced_by_another_alternative_and_merged_with_the_same_one() {
    let manifest = stacked(&[(
        "main.toml",
        &format!(
            "{HEAD}models.mini.source.pretrain = {{ hidden-size = 8, intermediate-size = 8, num-layers = 1, \
             num-heads = 1, num-kv-heads = 1, head-dim = 8 }}\nmodels.new.source.pretrain.num-layers = 9\n\
             search.stop.never = {{}}\n{SWEEP}"
        ),
    )]);
    assert!(matches!(manifest.models["mini"].source, ModelSource::Pretrain(_)));
    let ModelSource::Pretrain(new) = &manifest.models["new"].source else {
        panic!("`new` is not pretrained")
    };
    assert_eq!((new.num_layers, new.hidden_size), (9, 64));
    assert_eq!(manifest.search.stop, StopCriterion::Never {});
}

#[test]
fn a_replaced_alternative_does_not_come_back() {
    let folder = Folder::of(&[
        ("base.toml", BASE),
        ("path.toml", "models.new.source.path = \"x\""),
        ("main.toml", "extends = [\"base.toml\", \"path.toml\"]\nmodels.new.source.pretrain.num-layers = 9"),
    ]);
    let error = folder.load("main.toml", &[]).expect_err("an incomplete architecture");
    assert_eq!(error.to_string(), "`models.new.source.pretrain` has no `hidden-size`");
    assert_eq!(underlined(&error), ("main.toml".to_owned(), "pretrain".to_owned()));
}

#[test]
fn a_file_that_two_files_extend_is_read_once() {
    let manifest = stacked(&[
        ("low.toml", "distil.seed = 1\ndistil.batch-size = 1"),
        ("left.toml", "extends = [\"low.toml\"]\ndistil.seed = 2"),
        ("right.toml", "extends = [\"low.toml\"]\ndistil.batch-size = 2"),
        (
            "main.toml",
            &format!("extends = [\"base.toml\", \"left.toml\", \"right.toml\"]\nname = \"a\"\n{SWEEP}"),
        ),
    ]);
    assert_eq!(
        (manifest.distil.seed.0, manifest.distil.batch_size),
        (2, 2),
        "`low.toml`, extended again by `right.toml`, must not override `left.toml`"
    );
}

#[test]
fn a_cycle_is_refused_with_its_chain() {
    let folder = Folder::of(&[
        ("main.toml", "extends = [\"a/one.toml\"]"),
        ("a/one.toml", "extends = [\"../two.toml\"]"),
        ("two.toml", "extends = [\"./a/one.toml\"]"),
    ]);
    let error = folder.load("main.toml", &[]).expect_err("a cycle");
    assert!(error.to_string().ends_with("a/one.toml` extends itself"), "{error}");
    assert_eq!(underlined(&error), ("two.toml".to_owned(), "\"./a/one.toml\"".to_owned()));
    let chain: Vec<_> = hint(&error).split(" -> ").map(|name| folder.0.path().join(name)).collect();
    assert_eq!(chain, ["a/one.toml", "two.toml", "a/one.toml"].map(|name| folder.path(name)));
}

#[test]
fn an_error_underlines_the_file_that_set_the_value() {
    for (base, main, name, token) in [
        ("distil.batch-size = 0", "", "low.toml", "0"),
        ("distil.batch-size = 0", "distil.batch-size = 0x0", "main.toml", "0x0"),
        ("distil.batch-size = \"x\"", "distil.seed = 1", "low.toml", "\"x\""),
        ("distil.batch = 1", "distil.seed = 1", "low.toml", "batch"),
        ("models.x.source.path = 1", "", "low.toml", "1"),
        ("sweep.model = [\"nano\"]", "", "low.toml", "\"nano\""),
        ("distil.token-budget = \"1k\"", "distil.batch-size = 64", "main.toml", "64"),
    ] {
        let main = format!("extends = [\"low.toml\"]\nname = \"a\"\n{main}");
        let folder = Folder::of(&[("low.toml", base), ("main.toml", &main)]);
        let error = folder.load("main.toml", &[]).expect_err(base);
        assert_eq!(underlined(&error), (name.to_owned(), token.to_owned()), "{base} under {main}");
    }
}

#[test]
fn an_optional_path_is_relative_to_its_file() {
    let tasks = "[tasks.own.source.file]\nvalidation = \"rows/a.jsonl\"\ntest = \"rows/b.jsonl\"\n\
                 prompt = \"\"\nchoices = { fixed = [\"a\"] }\nlabel = \"0\"\n\
                 [models.m.source.hub]\nrepo = \"a/b\"\nconfig = \"shapes/b.json\"";
    let main = "extends = [\"base/tasks.toml\"]\nname = \"a\"\n[sweep]\nmodel = [\"m\"]\ntask = [\"own\"]";
    let folder = Folder::of(&[("base/tasks.toml", tasks), ("main.toml", main)]);
    let manifest = folder.load("main.toml", &[]).expect("a manifest").manifest;
    let inside = |name: &str| folder.path(name).display().to_string();
    let TaskSource::File(task) = &manifest.tasks["own"].source else { panic!("`own` is not a file task") };
    assert_eq!(task.validation.as_deref(), Some(&*inside("base/rows/a.jsonl")));
    assert_eq!(task.test, inside("base/rows/b.jsonl"));
    let ModelSource::Hub(model) = &manifest.models["m"].source else { panic!("`m` is not a hub model") };
    assert_eq!(model.config.as_deref(), Some(&*inside("base/shapes/b.json")));
}

#[test]
fn paths_are_relative_to_their_file() {
    let models =
        "models.mini.source.path = \"../models/mini\"\ntasks.recall.source.synthetic.kind = \"recall\"";
    let main = "extends = [\"base/models.toml\"]\nname = \"a\"\n[[corpus.source.mixture]]\nweight = 1\n\
                source = { files = { paths = [\"data/*.txt\", \"hf://datasets/a/b@c/d.parquet\"] } }\n\
                [sweep]\nmodel = [\"mini\"]\ntask = [\"recall\"]\n\
                [sweep.axes]\n\"models.mini.source.path\" = [\"other\", \"/abs/olute\"]";
    let folder = Folder::of(&[("base/models.toml", models), ("main.toml", main)]);
    let loaded = folder.load("main.toml", &[]).expect("a manifest");
    let inside = |name: &str| folder.path(name).display().to_string();
    assert_eq!(loaded.manifest.models["mini"].source, ModelSource::Path(inside("models/mini")));
    let CorpusSource::Mixture(sources) = &loaded.manifest.corpus.source else {
        panic!("the corpus is not a mixture")
    };
    let CorpusSource::Files(files) = &sources[0].source else { panic!("the source is not a list of files") };
    assert_eq!(files.paths, [inside("data/*.txt"), "hf://datasets/a/b@c/d.parquet".to_owned()]);

    let at = |value: &str| {
        let overrides = [("models.mini.source.path".to_owned(), value.into())];
        loaded.with_overrides(&overrides).expect("a valid path").models["mini"].source.clone()
    };
    assert_eq!(at("other"), ModelSource::Path(inside("other")));
    assert_eq!(at("/abs/olute"), ModelSource::Path("/abs/olute".to_owned()));
    assert_eq!(
        at("elsewhere"),
        ModelSource::Path("elsewhere".to_owned()),
        "a path that no axis lists must be relative to the working directory"
    );
}

#[test]
fn line_ends_do_not_change_a_manifest() {
    let task = "[tasks.own.source.file]\ntest = \"rows.jsonl\"\nchoices = { fixed = [\"a\"] }\nlabel = \"0\"\n\
                prompt = \"\"\"one\ntwo \\\n  three\"\"\"\ncontinuation = \'\'\'\nfour\nfive\'\'\'\n";
    let load = |end: &str| {
        let text = format!("{HEAD}{task}{SWEEP}").replace('\n', end);
        let files = [("base.toml", BASE.replace('\n', end)), ("main.toml", text)];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let folder = Folder::of(&files);
        let mut manifest = folder.load("main.toml", &[]).expect("a manifest").manifest;
        manifest.models.clear();
        let TaskSource::File(task) = &mut manifest.tasks.get_mut("own").expect("a task").source else {
            panic!()
        };
        task.test.clear();
        manifest
    };
    let manifest = load("\n");
    let TaskSource::File(task) = &manifest.tasks["own"].source else { panic!("`own` is not a file task") };
    assert_eq!((task.prompt.as_str(), task.continuation.as_deref()), ("one\ntwo three", Some("four\nfive")));
    assert_eq!(load("\r\n"), manifest);
}

#[test]
fn a_manifest_in_a_linked_folder_means_the_same_from_everywhere() {
    let folder = Folder::of(&[
        ("far/away/experiments/base.toml", &BASE.replace("models/mini", "../models/mini")),
        ("far/away/experiments/main.toml", &format!("{HEAD}{SWEEP}")),
        ("far/away/models/mini/config.json", "{}"),
        ("models/mini/config.json", "another base"),
    ]);
    std::os::unix::fs::symlink("far/away/experiments", folder.path("link")).expect("a link");
    let base = |manifest: &str| {
        let manifest = load_manifest(&folder.path(manifest), &[]).expect("a manifest").manifest;
        let ModelSource::Path(path) = &manifest.models["mini"].source else {
            panic!("`mini` is not a directory")
        };
        std::fs::canonicalize(path).expect("a base")
    };
    assert_eq!(base("link/main.toml"), base("far/away/experiments/main.toml"));
    assert_eq!(base("link/../experiments/main.toml"), base("link/main.toml"));
}
