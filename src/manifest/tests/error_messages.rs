//! Tests that an error names the mistake and underlines the faulty token.

use super::*;

/// Each entry has three parts: a text that the test adds to `HEAD` and `SWEEP`, the error, and the underlined
/// token.
const TABLES: &[(&str, &str, &str)] = &[
    // Keys.
    ("[distil]\ntokn-budget = 1", "unknown key `tokn-budget`", "tokn-budget"),
    ("[distill]\nseed = 1", "unknown key `distill`", "distill"),
    ("[distil.optimizer]\n\"learning rate\" = 1", "unknown key `learning rate`", "\"learning rate\""),
    ("[[sweep.exclude]]\nmodle = \"mini\"", "unknown key `modle`", "modle"),
    ("[models.\"a.b\"]\nsource = { path = \"x\" }\nrevision = 1", "unknown key `revision`", "revision"),
    ("search.stop = { never = { ever = 1 } }", "unknown key `ever`", "ever"),
    ("[variants.x]\ninit = \"copy\"", "`variants.x` has no `block`", "x"),
    (
        "[models.x.source.pretrain]\nnum-layers = 1",
        "`models.x.source.pretrain` has no `hidden-size`",
        "pretrain",
    ),
    ("[tasks.x]\nsource = { synthetic = {} }", "`tasks.x.source.synthetic` has no `kind`", "synthetic"),
    // Kinds of values.
    ("distil.batch-size = \"8\"", "`distil.batch-size` takes a whole number, not `\"8\"`", "\"8\""),
    ("distil.batch-size = 8.5", "`distil.batch-size` takes a whole number, not `8.5`", "8.5"),
    ("distil.batch-size = -8", "`distil.batch-size` takes a whole number, not `-8`", "-8"),
    (
        "distil.seed = 4294967296",
        "`distil.seed` takes a whole number from 0 to 4294967295, not `4294967296`",
        "4294967296",
    ),
    ("distil.optimizer.clip = true", "`distil.optimizer.clip` takes a number, not `true`", "true"),
    ("variants.gla.geometry.rope = 1", "`variants.gla.geometry.rope` takes a boolean, not `1`", "1"),
    ("report.title = [1]", "`report.title` takes a string, not a list", "[1]"),
    ("distil = 3", "`distil` must be a table", "3"),
    ("distil = [\"1M\", 128]", "`distil` must be a table", "[\"1M\", 128]"),
    ("[[report]]\nconfidence = 0.5", "`report` must be a table", "[[report]]"),
    ("sweep.exclude = [[\"mini\"]]", "`sweep.exclude[0]` must be a table", "[\"mini\"]"),
    ("distil.optimizer.betas = [0.9]", "`distil.optimizer.betas` must be a list of 2 values", "[0.9]"),
    (
        "distil.optimizer.betas = [0.9, 0.9, 0.9]",
        "`distil.optimizer.betas` must be a list of 2 values",
        "[0.9, 0.9, 0.9]",
    ),
    ("sweep.exclude = \"mini\"", "`sweep.exclude` takes a list, not `\"mini\"`", "\"mini\""),
    (
        "corpus.source.files.paths = []",
        "`corpus.source.files.paths` must be a list with at least one value",
        "[]",
    ),
    ("corpus.source.mixture = []", "`corpus.source.mixture` must be a list with at least one value", "[]"),
    (
        "corpus.source.mixture = [{ weight = 0, source = { synthetic = {} } }]",
        "`corpus.source.mixture[0].weight` must be above 0 and at most 1000000",
        "0",
    ),
    (
        "corpus.source.mixture = [{ weight = 1, source = { mixture = [{ weight = 1, source = { word = {} } }] } }]",
        "`corpus.source.mixture[0].source.mixture[0].source` cannot be `word`",
        "word",
    ),
    // Choices.
    ("search.stop = { max-drop = 0.1 }", "`search.stop` cannot be `max-drop`", "max-drop"),
    ("search.strategy = \"greddy\"", "`search.strategy` cannot be `greddy`", "\"greddy\""),
    ("search.strategy = { beam = {} }", "`search.strategy.beam` has no `width`", "beam"),
    ("search.strategy = { random = { sed = 1 } }", "unknown key `sed`", "sed"),
    ("search.strategy = \"greedy\"", "`greedy` is not written in this way", "\"greedy\""),
    ("variants.gla.init = \"copied\"", "`variants.gla.init` cannot be `copied`", "\"copied\""),
    ("variants.gla.init = { copy = {} }", "`copy` is not written in this way", "copy"),
    ("variants.gla.init = 1", "`variants.gla.init` must be one of `calibrated`, `copy`, `random`", "1"),
    (
        "tasks.recall.source.synthetic.kind = 0",
        "`tasks.recall.source.synthetic.kind` must be one of `facts`, `moves`, `recall`, `topic`",
        "0",
    ),
    ("search.stop = {}", "`search.stop` must be one of `max-relative-drop`, `min-score`, `never`", "{}"),
    (
        "search.stop = { never = {}, min-score = 0.5 }",
        "`search.stop` cannot be both `never` and `min-score`",
        "min-score",
    ),
    ("variants.gla.block = { mamba = {} }", "`variants.gla.block` cannot be `mamba`", "mamba"),
    // Numbers.
    ("distil.token-budget = 0", "`distil.token-budget` must be at least 1", "0"),
    ("distil.token-budget = \"1k\"", "`distil.token-budget` is smaller than one training step", "\"1k\""),
    (
        "distil.token-budget = \"many\"",
        "`distil.token-budget` takes a whole number such as 512, \"64k\", \"100M\" or \"1B\", not `\"many\"`",
        "\"many\"",
    ),
    (
        "logit-distil = { hybrids = [\"opt\", \"opt\"] }",
        "`logit-distil.hybrids[1]` must be different from the values before it",
        "\"opt\"",
    ),
    (
        "logit-distil = { hybrids = [\"opt\"], batch-size = 8, micro-batch-size = 3 }",
        "a batch of 8 sequences cannot be split into micro-batches of 3",
        "3",
    ),
    (
        "logit-distil = { hybrids = [{ replaced = 0 }] }",
        "`logit-distil.hybrids[0].replaced` must be at least 1",
        "0",
    ),
    (
        "checkpoint-distil = { hybrids = [\"opt\"] }",
        "`hybrid=opt` cannot become a student, because `[finetune]` does not train it",
        "\"opt\"",
    ),
    (
        "finetune.hybrids = [\"opt\"]\ncheckpoint-distil = { hybrids = [\"opt\"], teacher = \"big\" }",
        "no model is called `big`",
        "\"big\"",
    ),
    ("checkpoint-distil.stages = 0", "`checkpoint-distil.stages` must be at least 1", "0"),
    ("distil.token-budget = \"2000000B\"", "`distil.token-budget` must be at most 1000000B", "\"2000000B\""),
    ("distil.batch-size = 0", "`distil.batch-size` must be at least 1", "0"),
    (
        "distil.batch-size = 9223372036854775807",
        "`distil.batch-size` must be at most 65536",
        "9223372036854775807",
    ),
    ("pretrain.sequence-length = 0", "`pretrain.sequence-length` must be at least 2", "0"),
    (
        "distil.sequence-length = 1048576\ndistil.batch-size = 1024",
        "`distil.token-budget` is smaller than one training step",
        "1024",
    ),
    (
        "distil.optimizer.learning-rate = 0",
        "`distil.optimizer.learning-rate` must be above 0 and at most 10",
        "0",
    ),
    (
        "pretrain.optimizer.learning-rate = nan",
        "`pretrain.optimizer.learning-rate` must be above 0 and at most 10",
        "nan",
    ),
    ("distil.optimizer.clip = inf", "`distil.optimizer.clip` must be above 0 and at most 1000000", "inf"),
    ("distil.optimizer.betas = [0.9, 1]", "`distil.optimizer.betas[1]` must be at least 0 and below 1", "1"),
    (
        "search.stop.max-relative-drop = 1.5",
        "`search.stop.max-relative-drop` must be above 0 and at most 1",
        "1.5",
    ),
    ("search.stop = { min-score = 70 }", "`search.stop.min-score` must be at least 0 and at most 1", "70"),
    ("search.strategy = { beam = { width = 0 } }", "`search.strategy.beam.width` must be at least 1", "0"),
    ("search.strategy.beam.width = 100000", "`search.strategy.beam.width` must be at most 65536", "100000"),
    (
        "throughput.contexts = [512, 512]",
        "`throughput.contexts[1]` must be different from the values before it",
        "512",
    ),
    ("throughput.contexts = [0]", "`throughput.contexts[0]` must be at least 1", "0"),
    ("throughput.batch-sizes = []", "`throughput.batch-sizes` must be a list with at least one value", "[]"),
    ("throughput.replaced = { every = 0 }", "`throughput.replaced.every` must be at least 1", "0"),
    ("throughput.replaced = { counts = [4, 0] }", "`throughput.replaced.counts[1]` must be at least 1", "0"),
    ("throughput.replaced = \"all\"", "`all` is not written in this way", "\"all\""),
    ("throughput.repeats = 0", "`throughput.repeats` must be at least 1", "0"),
    (
        "throughput.contexts = [8]\nthroughput.layers = { trajectory = { task = \"facts\" } }",
        "the sweep has no search of `mini` and `gla` for the task `facts`",
        "\"facts\"",
    ),
    (
        "throughput.contexts = [8]\nthroughput.layers = { trajectory = { task = \"recall\" } }",
        "the search may stop before it has replaced all layers",
        "\"recall\"",
    ),
    ("report.confidence = 95", "`report.confidence` must be above 0 and below 1", "95"),
    (
        "models.new.source.pretrain.num-kv-heads = 3",
        "4 query heads cannot share 3 key/value heads evenly",
        "3",
    ),
    ("models.new.source.pretrain.num-heads = 3", "3 query heads cannot share 2 key/value heads evenly", "3"),
    ("models.new.source.pretrain.head-dim = 7", "`models.new.source.pretrain.head-dim` must be even", "7"),
    (
        "models.new.source.pretrain.num-layers = 0",
        "`models.new.source.pretrain.num-layers` must be at least 1",
        "0",
    ),
    (
        "variants.gla.geometry = { num-heads = 6, num-kv-heads = 4 }",
        "6 query heads cannot share 4 key/value heads evenly",
        "4",
    ),
    (
        "variants.gla.geometry = { rope = true, key-dim = 3 }",
        "`variants.gla.geometry.key-dim` must be even, as rotary positions rotate pairs of channels",
        "3",
    ),
    (
        "variants.gla.block.gla.gate-logit-normalizer = 0.0",
        "`variants.gla.block.gla.gate-logit-normalizer` must be above 0 and at most 1000000",
        "0.0",
    ),
    (
        "variants.x.block = { jet = { conv-size = 0 } }",
        "`variants.x.block.jet.conv-size` must be at least 1",
        "0",
    ),
    (
        "tasks.recall.source.synthetic.test-items = 0",
        "`tasks.recall.source.synthetic.test-items` must be at least 1",
        "0",
    ),
    // Exclusions and axes.
    ("[[sweep.exclude]]\nmodel = \"min\"", "this excludes nothing: `min` is not in `sweep.model`", "\"min\""),
    (
        "[[sweep.exclude]]\ntask = \"facts\"",
        "this excludes nothing: `facts` is not in `sweep.task`",
        "\"facts\"",
    ),
    ("[[sweep.exclude]]", "the sweep excludes all of its cells", "exclude"),
    ("[sweep.axes]\n\"distil.tokn-budget\" = [1]", "unknown key `tokn-budget`", "\"distil.tokn-budget\""),
    (
        "[sweep.axes]\n\"distil.batch-size\" = [8, \"x\"]",
        "`distil.batch-size` takes a whole number, not `\"x\"`",
        "\"x\"",
    ),
    ("[sweep.axes]\n\"distil.batch-size\" = [8, 16, 0]", "`distil.batch-size` must be at least 1", "0"),
    (
        "[sweep.axes]\n\"distil.batch-size\" = [8, 16, 8]",
        "`8` is on the axis `sweep.axes.\"distil.batch-size\"` twice",
        "8",
    ),
    (
        "[sweep.axes]\n\"distil.token-budget\" = [\"1M\", 1000000]",
        "`1000000` is on the axis `sweep.axes.\"distil.token-budget\"` twice",
        "1000000",
    ),
    (
        "[sweep.axes]\n\"distil.seed\" = [1]\ndistil = [{ seed = 2 }]",
        "the axes `distil` and `distil.seed` set the same value",
        "\"distil.seed\"",
    ),
    ("[sweep.axes]\n\"distil.batch-size\" = []", "the axis `distil.batch-size` has no values", "[]"),
    (
        "[sweep.axes]\n\"search.stop\" = [{ min-score = 0.5 }, { score = 0.5 }]",
        "`search.stop` cannot be `score`",
        "score",
    ),
    ("[sweep.axes]\ndistil.batch-size = [8]", "`sweep.axes.distil` takes a list, not a table", "distil"),
    ("[sweep.axes]\nvariant = [\"gla\"]", "`variant` is an axis of its own", "variant"),
    (
        "[sweep.axes]\n\"report.confidence\" = [0.9]",
        "no axis can be over `report.confidence`",
        "\"report.confidence\"",
    ),
    (
        "[sweep.axes]\n\"models.mimi.source.path\" = [\"x\"]",
        "no model is called `mimi`",
        "\"models.mimi.source.path\"",
    ),
    ("[sweep.axes]\n\"variants\" = [{}]", "no axis can be over all of `variants`", "\"variants\""),
    ("[sweep.axes]\n\"distil..seed\" = [1]", "`distil..seed` is not a dotted key", "\"distil..seed\""),
    ("[sweep.axes]\n\"distil.seed=1#\" = [1]", "`distil.seed=1#` is not a dotted key", "\"distil.seed=1#\""),
];

/// Each entry has a whole manifest, the error, and the underlined token.
const FILES: &[(&str, &str, &str)] = &[
    ("extends = \"base.toml\"", "`extends` takes a list of file names", "\"base.toml\""),
    ("extends = [\"base.toml\", 3]", "`extends` takes a list of file names", "3"),
    ("# no keys\n", "the experiment has no `name`", ""),
    ("question = \"?\"", "the experiment has no `name`", ""),
    ("name = \"Table 1\"", "`Table 1` cannot name an experiment", "\"Table 1\""),
    ("name = \"\"", "`` cannot name an experiment", "\"\""),
    ("name = \"a\"", "the sweep names no model, so it has no cells", ""),
    ("name = \"a\"\n[sweep]\ntask = []", "the sweep names no model, so it has no cells", "sweep"),
    ("name = \"a\"\n[sweep]\nmodel = []", "the sweep names no model, so it has no cells", "[]"),
    (
        "extends = [\"base.toml\"]\nname = \"a\"\n[sweep]\nmodel = [\"mini\"]",
        "the sweep names no task, so it has no cells",
        "sweep",
    ),
    (
        "extends = [\"base.toml\"]\nname = \"a\"\nsweep.model = [\"mini\", \"miny\"]",
        "no model is called `miny`",
        "\"miny\"",
    ),
    (
        "extends = [\"base.toml\"]\nname = \"a\"\nsweep.variant = [\"glas\"]",
        "no variant is called `glas`",
        "\"glas\"",
    ),
    (
        "extends = [\"base.toml\"]\nname = \"a\"\nsweep.task = [\"recall\", \"facts\", \"recall\"]",
        "`recall` is on the axis `sweep.task` twice",
        "\"recall\"",
    ),
    (
        "extends = [\"base.toml\"]\nname = \"a\"\nsweep.model = \"mini\"",
        "`sweep.model` takes a list, not `\"mini\"`",
        "\"mini\"",
    ),
];

#[test]
fn mistakes_are_named_and_underlined() {
    let tables = TABLES.iter().map(|(text, message, token)| {
        // In TOML, top-level keys come before the first header. A text with `sweep` keys replaces `SWEEP`.
        let text = match text.split_once(['.', ' ', '\n']) {
            Some(("sweep", _)) => format!("{HEAD}{text}"),
            _ if text.starts_with('[') => format!("{HEAD}{SWEEP}{text}"),
            _ => format!("{HEAD}{text}\n{SWEEP}"),
        };
        (text, message, token)
    });
    let files = FILES.iter().map(|(text, message, token)| ((*text).to_owned(), message, token));
    for (text, message, token) in tables.chain(files) {
        let error = load_text(&text).expect_err(&text);
        assert_eq!(error.to_string(), *message, "{text}");
        assert_eq!(underlined(&error), ("main.toml".to_owned(), (*token).to_owned()), "{text}");
        assert_eq!(error.kind(), dtr_core::error::ErrorKind::Manifest);
    }
}

#[test]
fn broken_toml_is_underlined_where_it_breaks() {
    for (text, message, token) in [
        ("name = \"a\"\nname = \"b\"", "duplicate key", "name"),
        ("[sweep]\n[sweep]", "duplicate key", "sweep"),
        ("[sweep]\nmodel = [\"a\"", "unclosed array, expected `]`", ""),
        ("name = a", "string values must be quoted, expected literal string", "a"),
        ("distil.seed = 99999999999999999999", "this number is too large", "99999999999999999999"),
        ("report.title = 2024-01-01", "a manifest cannot contain dates", "2024-01-01"),
        ("a = 1\n[a.b]", "cannot extend value of type integer with a dotted key", "a"),
    ] {
        let error = load_text(text).expect_err(text);
        assert!(error.to_string().ends_with(&format!("main.toml`: {message}")), "{error}");
        assert_eq!(underlined(&error), ("main.toml".to_owned(), token.to_owned()), "{text}");
    }
}

#[test]
fn hints_say_what_to_write() {
    for (text, expected) in [
        ("distil.tokn-budget = 1", "did you mean `token-budget`?"),
        ("distil.token_budget = 1", "did you mean `token-budget`?"),
        ("batch-size = 1", "`batch-size` is a key of `distil`, `finetune`, `logit-distil`, `pretrain`"),
        (
            "learning-rate = 1",
            "`learning-rate` is a key of `distil.optimizer`, `logit-distil.optimizer`, `pretrain.optimizer`",
        ),
        ("distil.name = 1", "write `name` at the top of the file, before the first `[table]`"),
        ("search.depth = 1", "the keys of `search` are `strategy`, `stop`, `earlier-stops`, `prune`"),
        ("search.stop = { never = { x = 1 } }", "`search.stop.never` takes no keys"),
        ("search.strategy = \"greedy\"", "write `strategy = { greedy = {} }`"),
        ("variants.gla.init = { copy = {} }", "write `init = \"copy\"`"),
        ("variants.gla.block = { gal = {} }", "did you mean `gla`?"),
        ("variants.gla.block = { mamba = {} }", "it can be `gdn`, `gla`, `jet`"),
        ("distil.batch-size = \"8\"", "leave out the quotes: `8`"),
        ("sweep.exclude = 7", "put it in brackets: `[7]`"),
        (
            "distil.token-budget = 9",
            "set `token-budget` to at least 16384: a step takes 32 sequences of 512 tokens",
        ),
        ("distil.batch-size = 0", "write a whole number from 1 to 65536"),
        ("distil.optimizer.clip = 0", "write a number above 0 and at most 1000000"),
    ] {
        let error = load_text(&format!("{HEAD}{text}\n")).expect_err(text);
        assert_eq!(hint(&error), expected, "{text}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::of(&[("main.toml", "extends = [\"gone.toml\"]")]);
    let error = folder.load("main.toml", &[]).expect_err("a missing base file");
    assert_eq!(underlined(&error), ("main.toml".to_owned(), "\"gone.toml\"".to_owned()));
    assert!(error.message_with_sources().contains("gone.toml`: No such file"), "{error:?}");
    let error = folder.load("lost.toml", &[]).expect_err("a missing file");
    assert_eq!(error.kind(), dtr_core::error::ErrorKind::Environment);
}
