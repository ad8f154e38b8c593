# %% [markdown]
# # Analysis of the tables of an experiment
#
# The notebook works with the tables of any sweep. Open it in Jupyter (with jupytext) or in an editor that
# supports `# %%` cells, or run it as a program:
#
#     python -m pip install -r notebooks/requirements.txt
#     DTR_TABLES=results/tables/quickstart python notebooks/analysis.py
#
# Each step ends with assertions. They compare the step's numbers with those of other tables.

# %%
import json
import math
import os
from pathlib import Path

import duckdb
import polars as pl

TABLES = Path(os.environ.get("DTR_TABLES", "results/tables/quickstart"))
SEARCH = ["model", "variant", "task", "axes"]  # these columns identify a search
# List here the tasks with `metric = "acc-norm"`, which divides log-likelihoods by the length of the choice.
ACC_NORM_TASKS: list[str] = []

pl.Config(
    tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=60, tbl_cols=20, tbl_width_chars=120
)

searches = pl.read_parquet(TABLES / "searches.parquet")
trajectories = pl.read_parquet(TABLES / "trajectories.parquet")
items = pl.read_parquet(TABLES / "items.parquet")
print(f"{searches.height} searches, {trajectories.height} rounds and {items.height} answers in {TABLES}")

assert searches.height > 0, f"no search in {TABLES} is finished"
assert searches.select(SEARCH).is_unique().all()

# %% [markdown]
# The metadata of each file describes its columns.

# %%
columns = json.loads(pl.read_parquet_metadata(TABLES / "searches.parquet")["dtr:columns"])
for column in columns:
    print(f"{column['name']:18} {column['about']}")

assert [column["name"] for column in columns] == searches.columns

# %% [markdown]
# ## Validation score against the number of replaced layers
#
# Scores are in percent. The column for 0 replaced layers holds the base's scores. `M_best` has the highest
# score of a row. If several hybrids have this score, `M_best` is the one with the most replaced layers.

# %%
base = searches.select(*SEARCH, num_replaced=pl.lit(0, pl.UInt32), score="validation_base")
rounds = pl.concat([base, trajectories.select(*SEARCH, "num_replaced", "score")])
print(
    rounds.sort("num_replaced")
    .with_columns(percent=(100 * pl.col("score")).round(1))
    .pivot(on="num_replaced", index=SEARCH, values="percent")
    .sort(SEARCH)
)

best = rounds.sort("score", "num_replaced").group_by(SEARCH).last()
both = searches.join(best, on=SEARCH, suffix="_seen")
assert both.height == searches.height
assert (both["validation_best"] == both["score"]).all()
assert (both["num_replaced"] == both["num_replaced_seen"]).all()

# %% [markdown]
# ## Number of layers that each variant replaces before its score falls below the threshold

# %%
print(
    searches.group_by("model", "axes", "variant")
    .agg(
        tasks=pl.len(),
        mean_replaced=pl.col("num_replaced_opt").mean().round(2),
        num_layers=pl.col("num_layers").first(),
        base=pl.col("p_base").mean().round(4),
        opt=pl.col("p_opt").mean().round(4),
    )
    .sort("model", "axes", "variant")
)

accepted = trajectories.filter("accepted").group_by(SEARCH).agg(pl.col("num_replaced").last())
both = searches.join(accepted, on=SEARCH, how="left", suffix="_accepted")
assert (both["num_replaced_opt"] == both["num_replaced_accepted"].fill_null(0)).all()

# %% [markdown]
# ## Base and hybrid on the same items
#
# The exact McNemar test uses only the items that one of the two models answers correctly and the other does
# not.


# %%
def mcnemar(only_base, only_hybrid):
    """Returns the two-sided exact p-value of the hypothesis that both models are equally accurate."""
    num_flips = only_base + only_hybrid
    tail = sum(math.comb(num_flips, heads) for heads in range(min(only_base, only_hybrid) + 1))
    return min(1.0, 2 * tail / 2**num_flips)


def paired(system):
    """Joins the answers of the base and of `system`, one row per item."""
    answers = lambda name: items.filter(pl.col("system") == name)
    return answers("base").join(answers(system), on=[*SEARCH, "item"], suffix="_hybrid", validate="1:1")


for system in ["best", "opt"]:
    pairs = paired(system)
    compared = (
        pairs.group_by(SEARCH)
        .agg(
            only_base=(pl.col("correct") & ~pl.col("correct_hybrid")).sum(),
            only_hybrid=(~pl.col("correct") & pl.col("correct_hybrid")).sum(),
            base=pl.col("correct").mean(),
            hybrid=pl.col("correct_hybrid").mean(),
        )
        .with_columns(
            p_value=pl.struct("only_base", "only_hybrid").map_elements(
                lambda row: mcnemar(row["only_base"], row["only_hybrid"]), return_dtype=pl.Float64
            )
        )
        .sort(SEARCH)
    )
    print(f"M_{system}")
    print(compared.with_columns(pl.col("base", "hybrid", "p_value").round(4)))

    assert 3 * pairs.height == items.height, "base, M_best and M_opt answer the same items"
    assert (pairs["label"] == pairs["label_hybrid"]).all()
    both = searches.join(compared, on=SEARCH)
    assert both.height == searches.height
    for computed, stored in [("base", "p_base"), ("hybrid", f"p_{system}"), ("p_value", f"p_value_{system}")]:
        assert (both[computed] - both[stored]).abs().max() < 1e-9, stored

# %% [markdown]
# ## Order in which layers are replaced, by variant
#
# The table shows the round in which a layer is replaced, averaged over tasks. It leaves out layers that no
# accepted hybrid replaces. It also leaves out rounds in which the winner does not extend the previous winner
# (strategies `uniform` and `beam`).

# %%
order = (
    trajectories.filter(pl.col("accepted") & pl.col("layer").is_not_null())
    .group_by("model", "axes", "variant", "layer")
    .agg(round=pl.col("round").mean().round(2), tasks=pl.len())
    .sort("model", "axes", "variant", "round", "layer")
)
print(order.pivot(on="variant", index=["model", "axes", "layer"], values="round").sort("model", "axes", "layer"))

replaced = trajectories.with_columns(set=pl.col("layers").str.split(",").cast(pl.List(pl.UInt32)))
assert (replaced["set"].list.len() == replaced["num_replaced"]).all()
assert replaced.filter(pl.col("layer").is_not_null()).select(pl.col("set").list.contains(pl.col("layer"))).to_series().all()

# %% [markdown]
# ## Items that hybrids lose
#
# A hybrid loses an item if the base answers it correctly and the hybrid does not. The SQL query counts the
# hybrids that lose each item. Items that all hybrids lose may need full attention. Items that a single hybrid
# loses may be noise.

# %%
files = duckdb.connect()
files.read_parquet(str(TABLES / "items.parquet")).create_view("answers")
LOST = """
    select base.model, base.axes, base.task, base.item, count(*) as hybrids, sum((not hybrid.correct)::int) as lost
    from answers as base
    join answers as hybrid using (model, variant, task, axes, item)
    where base.system = 'base' and hybrid.system = 'best' and base.correct
    group by all
"""
print(files.sql(f"select task, lost, any_value(hybrids) as num_hybrids, count(*) as items from ({LOST}) group by task, lost order by all"))
print(files.sql(f"select task, item, lost, hybrids from ({LOST}) where lost > 0 order by lost desc, task, item limit 10"))

[(num_lost,)] = files.sql(f"select coalesce(sum(lost), 0) from ({LOST})").fetchall()
flips = paired("best").filter(pl.col("correct") & ~pl.col("correct_hybrid"))
assert int(num_lost) == flips.height, "SQL and polars count the same lost items"

# %% [markdown]
# ## The selected choice has the highest log-likelihood

# %%
by_sum = items.filter(~pl.col("task").is_in(ACC_NORM_TASKS))
selected = by_sum.select(pl.col("log_likelihoods").list.get(pl.col("choice"))).to_series()
assert (by_sum["log_likelihoods"].list.max() == selected).all(), "the selected choice is the most likely one"
assert (items["correct"] == (items["choice"] == items["label"])).all()
print("every assertion holds")
