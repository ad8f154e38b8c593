"""Writes the fixtures of tasks over rows of files, scored by lm-evaluation-harness with a small random model.

The folder tests/fixtures/tasks/ gets a model, rows in the layouts of the paper's twelve tasks, and the file
expected.json with the scores and the log-likelihood of every choice. The model has a byte-level BPE tokenizer
that puts <s> before every text. The dictionary TASKS defines the tasks of tests/fixtures/tasks/tasks.toml for
the harness. The other tasks are the harness's own, and experiments/base/harness.toml defines them for dtr.

The optional argument is a folder of public data, with the files pubmedqa/ori_pqal.json,
pubmedqa/test_ground_truth.json, commonsenseqa/dev_rand_split.jsonl and
arc_challenge/ARC-Challenge-Dev.jsonl. With this argument, the script also writes public.json: the
log-likelihoods of the first 50 items of each task, without their texts.
"""

import json
import sys
import tempfile
from pathlib import Path

import lm_eval
import torch
from datasets import Dataset
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# With `-P`, Python does not search this folder. It comes last because its `tokenizers.py` has the name of a
# package.
sys.path.append(str(Path(__file__).parent))
from architectures import randomise  # noqa: E402

FOLDER = Path(__file__).parent.parent / "fixtures" / "tasks"

SCIENCE = [
    ("Which of these is a liquid at room temperature?", ["iron", "water", "oxygen gas", "salt crystals"], "B"),
    ("What do green plants take from the air to make sugar?", ["carbon dioxide", "helium", "sand", "light rain"], "A"),
    ("A wheel turns 3 times in 1.5 seconds. How often does it turn in 10 seconds?", ["5", "15", "20", "30 times"], "C"),
    ("Why does a metal spoon feel colder than a wooden one?", ["It is colder.", "Metal conducts heat faster.", "Wood is alive."], "B"),
    ("  Which word means water in Japanese:  火, 水, or 木?", ["火", "水", "木"], "2"),
    ("Who wrote “naïve café” with two accents? 🙂", ["an editor — twice", "no one", "a poet…"], "1"),
    ("Which part of the eye lets light in?", ["the pupil", "the pupils", "the iris", "the lens and the iris"], "A"),
    ("A stone falls from rest. After 2 s its speed is about", ["20 m/s", "2 m/s", "9.8 m", "200 m/s"], "A"),
]
SENSE = [
    (" Where would you keep milk that should stay fresh? ", ["attic", "fridge", "oven", "garden", "car"], "B"),
    ("What do people use an umbrella against?", ["hunger", "noise", "rain", "fish", "night"], "C"),
    ("If the lamp is off, the room is", ["dark", "loud", "sweet", "tall", "late"], "A"),
    ("What would you read to learn how to bake?", ["a map", "a menu", "a ticket", "a recipe", "a clock"], "D"),
    ("Someone who is tired wants to", ["shout", "count", "paint", "drive", "sleep"], "E"),
]
MEDICINE = [
    ("Does an hour of walking lower resting pulse?", ["Forty adults walked daily for twelve weeks.", "Resting pulse fell by 4.2 beats per minute (95% CI 2.1-6.3; p < 0.001)."], "yes"),
    ("Is honey better than syrup against night cough?", ["Ninety children were randomised.", "Scores did not differ between groups (p = 0.71).\n"], "no"),
    ("Can hand grip predict recovery after hip surgery?", ["Grip was measured in 61 patients.", "An association was seen in women only."], "maybe"),
    ("Do shorter lists improve recall on wards?", ["Nurses read lists of 5 or 15 items.", "Recall was 92 % and 61 %."], "yes"),
]


HARNESS = {
    "hellaswag": [
        {"activity_label": "Baking bread", "ctx_a": "[header] How to bake [title] Knead the dough [step] Use  warm water.", "ctx_b": "then the BAKER", "endings": ["waits an hour.", " [substeps] throws it away. [title] Start again.", "sings  to it.", "paints it blue."], "label": "0"},
        {"activity_label": "Rowing", "ctx_a": "Two men sit in a boat.", "ctx_b": "", "endings": ["They row.", "[a] They [b] fly.", "They eat the oars.", "It rains up."], "label": "3"},
        {"activity_label": " Émile walks", "ctx_a": "A dog follows him", "ctx_b": "éclair in hand, he", "endings": ["runs.", "[[nested] brackets]", "sleeps\n[over\nlines]", "Ends [title]"], "label": "2"},
    ],
    "winogrande": [
        {"sentence": "The trophy did not fit in the case because _ was too large.", "option1": "the trophy", "option2": "the case", "answer": "1"},
        {"sentence": "Ann asked Mary for help since  _  knew the way, and _ thanked her.", "option1": "Ann", "option2": "Mary", "answer": "2"},
        {"sentence": "_ is heavier than water, so it sinks.", "option1": "Iron", "option2": "Oil", "answer": "1"},
    ],
    "mathqa": [
        {"Problem": "what is 12 % of 50 ?", "options": "a ) 6 , b ) 60 , c ) 0.6 , d ) 12 , e ) none of these", "correct": "a"},
        {"Problem": "3 x + 1 = 10 ; x = ?", "options": "a ) 1 , b ) 2 , c ) 3 , d ) 4 , e ) 5", "correct": "c"},
        {"Problem": "cost of 3 pens at rs . 1,200 each ?", "options": "a ) rs . 3,600 , b ) rs . 3600 , , c ) 1,203 , d ) 400 , e ) 36,00 ,", "correct": "b"},
    ],
    "boolq": [
        {"passage": "Water boils at 100 degrees at sea level.", "question": "does water boil at 100 degrees", "label": 1},
        {"passage": "Bats are mammals.\nThey fly.", "question": "is a bat a bird", "label": 0},
    ],
    "openbookqa": [
        {"question_stem": "A plant needs", "choices": {"text": ["light", "a radio", "sand", "noise"], "label": ["A", "B", "C", "D"]}, "answerKey": " A"},
        {"question_stem": "Ice that warms will ", "choices": {"text": ["melt", "burn", "freeze", ""], "label": ["A", "B", "C", "D"]}, "answerKey": "A"},
    ],
    "piqa": [
        {"goal": "To open a jar,", "sol1": "turn the lid.", "sol2": "turn the jar inside out.", "label": 0},
        {"goal": "How to dry a shirt?", "sol1": "Put it in the lake.", "sol2": "Hang it in the sun", "label": 1},
    ],
    "mmlu-econometrics": [
        {"question": " Which estimator is unbiased? ", "choices": ["OLS", "None", "The second", "A guess"], "answer": 0},
        {"question": "If two series are both I(1),\nthe residual may be", "choices": ["I(0)", "I(3)", "blue", "π"], "answer": 1},
    ],
    "mmlu-marketing": [
        {"question": "A brand is", "choices": ["a name", "a price", "a shop", "a law"], "answer": 0},
    ],
    "arc-easy": [
        {"question": "Which is hot?", "choices": {"text": ["fire", "ice", "snow"], "label": ["1", "2", "3"]}, "answerKey": "1"},
    ],
}
# The harness's paths of tasks whose names here are different.
HARNESS_NAMES = {
    "boolq": "super_glue/boolq/default",
    "winogrande": "winogrande/default",
    "mmlu-econometrics": "mmlu/default/mmlu_econometrics",
    "mmlu-marketing": "mmlu/default/mmlu_marketing",
    "arc-easy": "arc/arc_easy",
}


def letters(count):
    return [chr(ord("A") + i) for i in range(count)]


def rows():
    science = [
        {
            "id": f"s{i}",
            "question": question,
            "choices": {"text": texts, "label": letters(len(texts)) if key.isalpha() else [str(n + 1) for n in range(len(texts))]},
            "answerKey": key,
        }
        for i, (question, texts, key) in enumerate(SCIENCE)
    ]
    sense = [
        {"question": question, "choices": {"text": texts, "label": letters(5)}, "answerKey": key}
        for question, texts, key in SENSE
    ]
    medicine = [{"QUESTION": q, "CONTEXTS": contexts, "final_decision": a} for q, contexts, a in MEDICINE]
    long = [row | {"CONTEXTS": row["CONTEXTS"] * 12} for row in medicine]
    return {"science": science, "sense": sense, "medicine": medicine, "long": long}


# The prompts are those of the harness's tasks arc_easy, commonsense_qa and pubmedqa.
TASKS = {
    "science": {
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
        "doc_to_choice": "{{choices.text}}",
    },
    "sense": {
        "doc_to_text": "Question: {{ question.strip() }}\nA. {{choices['text'][0]}}\nB. {{choices['text'][1]}}\n"
        "C. {{choices['text'][2]}}\nD. {{choices['text'][3]}}\nE. {{choices['text'][4]}}\nAnswer:",
        "doc_to_target": "answerKey",
        "doc_to_choice": ["A", "B", "C", "D", "E"],
    },
    "medicine": {
        "doc_to_text": "Abstract: {{CONTEXTS|join('\n')}}\nQuestion: {{QUESTION}}\nAnswer:",
        "doc_to_target": "final_decision",
        "doc_to_choice": ["yes", "no", "maybe"],
    },
}
TASKS["long"] = TASKS["medicine"]


NUM_PUBLIC_ROWS = 50


def public_rows(data):
    def lines(path):
        return [json.loads(line) for line in (data / path).read_text(encoding="utf-8").splitlines()]

    def of_choices(row):
        choices = row["question"]["choices"]
        return {
            "question": row["question"]["stem"],
            "choices": {key: [choice[key] for choice in choices] for key in ["text", "label"]},
            "answerKey": row["answerKey"],
        }

    labelled = json.loads((data / "pubmedqa/ori_pqal.json").read_text(encoding="utf-8"))
    test = json.loads((data / "pubmedqa/test_ground_truth.json").read_text(encoding="utf-8"))
    keys = ["QUESTION", "CONTEXTS", "final_decision"]
    return {
        "arc-challenge": [of_choices(row) for row in lines("arc_challenge/ARC-Challenge-Dev.jsonl")[:NUM_PUBLIC_ROWS]],
        "commonsense-qa": [of_choices(row) for row in lines("commonsenseqa/dev_rand_split.jsonl")[:NUM_PUBLIC_ROWS]],
        "pubmedqa": [{key: labelled[pmid][key] for key in keys} for pmid in sorted(test)[:NUM_PUBLIC_ROWS]],
    }


def tokenizer(texts):
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="<s>", pad_token="<s>")


def write_rows(table, path):
    lines = [json.dumps(row, ensure_ascii=False) for row in table]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_harness_task(name):
    """Loads the harness's own definition of a task."""
    path = Path(lm_eval.__file__).parent / "tasks" / f"{HARNESS_NAMES.get(name, f'{name}/{name}')}.yaml"
    config = load_yaml(path)
    for key in ["dataset_name", "training_split", "validation_split", "fewshot_split", "fewshot_config", "tag"]:
        config.pop(key, None)
    return config


def scores(harness, name, task, path):
    table = ConfigurableTask(
        config={
            "output_type": "multiple_choice",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
            **task,
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}},
            "test_split": "test",
        }
    )
    found = simple_evaluate(model=harness, tasks=[table], num_fewshot=0, log_samples=True, bootstrap_iters=0)
    samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
    results = found["results"][name]
    metrics = {"acc": "acc,none", "acc-norm": "acc_norm,none"}
    found = {ours: results[theirs] for ours, theirs in metrics.items() if theirs in results}
    print(name, found)
    return {
        **found,
        "log-likelihoods": [[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples],
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, table in rows().items():
        write_rows(table, FOLDER / f"{name}.jsonl")
    Dataset.from_list(rows()["science"]).to_parquet(FOLDER / "science.parquet")

    words = tokenizer([line for name in ["science", "sense", "medicine"] for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()])
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config).eval()
    randomise(model)
    model.to(torch.bfloat16).save_pretrained(FOLDER / "model")
    words.save_pretrained(FOLDER / "model")
    (FOLDER / "model" / "generation_config.json").unlink(missing_ok=True)

    harness = HFLM(pretrained=str(FOLDER / "model"), dtype="float32", device="cpu", batch_size=1)
    expected = {name: scores(harness, name, task, FOLDER / f"{name}.jsonl") for name, task in TASKS.items()}
    for name, table in HARNESS.items():
        write_rows(table, FOLDER / f"{name}.jsonl")
        expected[name] = scores(harness, name, load_harness_task(name), FOLDER / f"{name}.jsonl")
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    if len(sys.argv) > 1:
        as_ours = {"arc-challenge": "science", "commonsense-qa": "sense", "pubmedqa": "medicine"}
        public = {}
        for name, table in public_rows(Path(sys.argv[1])).items():
            with tempfile.TemporaryDirectory() as folder:
                write_rows(table, Path(folder) / f"{name}.jsonl")
                public[name] = scores(harness, name, TASKS[as_ours[name]], Path(folder) / f"{name}.jsonl")
        (FOLDER / "public.json").write_text(json.dumps(public) + "\n")


if __name__ == "__main__":
    main()
