# %% [markdown]
# # What the tables of an experiment say
#
# Runs on any sweep's tables, in Jupyter (by jupytext), in an editor that knows `# %%`, or as a program:
#
#     python -m pip install -r notebooks/requirements.txt
#     DTR_TABLES=results/tables/quickstart python notebooks/analysis.py
#
# Each step ends in assertions that hold for every experiment: the numbers are counted anew from other tables.

# %%
import json
import math
import os
from pathlib import Path

import duckdb
import polars as pl

TABLES = Path(os.environ.get("DTR_TABLES", "results/tables/quickstart"))
SEARCH = ["model", "variant", "task", "axes"]  # what names a search

pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=60, tbl_cols=20, tbl_width_chars=120)

table1 = pl.read_parquet(TABLES / "table1.parquet")
trajectories = pl.read_parquet(TABLES / "trajectories.parquet")
items = pl.read_parquet(TABLES / "items.parquet")
print(f"{table1.height} searches, {trajectories.height} rounds, {items.height} answers in {TABLES}")

assert table1.height > 0, f"no search of {TABLES} has ended"
assert table1.select(SEARCH).is_unique().all()

# %% [markdown]
# Every file says what its columns hold.

# %%
columns = json.loads(pl.read_parquet_metadata(TABLES / "table1.parquet")["dtr:columns"])
for column in columns:
    print(f"{column['name']:18} {column['about']}")

assert [column["name"] for column in columns] == table1.columns

# %% [markdown]
# ## Validation score against the number of replaced layers
#
# In percent; 0 layers are the base. `M_best` is the highest of a row, and of equals the one with more layers.

# %%
base = table1.select(*SEARCH, num_replaced=pl.lit(0, pl.UInt32), score="validation_base")
rounds = pl.concat([base, trajectories.select(*SEARCH, "num_replaced", "score")])
print(
    rounds.sort("num_replaced")
    .with_columns(percent=(100 * pl.col("score")).round(1))
    .pivot(on="num_replaced", index=SEARCH, values="percent")
    .sort(SEARCH)
)

best = rounds.sort("score", "num_replaced").group_by(SEARCH).last()
both = table1.join(best, on=SEARCH, suffix="_seen")
assert both.height == table1.height
assert (both["validation_best"] == both["score"]).all()
assert (both["num_replaced"] == both["num_replaced_seen"]).all()

# %% [markdown]
# ## How many layers each variant replaces at no more than the threshold's loss

# %%
print(
    table1.group_by("model", "axes", "variant")
    .agg(
        tasks=pl.len(),
        layers=pl.col("num_replaced_opt").mean().round(2),
        of=pl.col("num_layers").first(),
        base=pl.col("p_base").mean().round(4),
        opt=pl.col("p_opt").mean().round(4),
    )
    .sort("model", "axes", "variant")
)

accepted = trajectories.filter("accepted").group_by(SEARCH).agg(pl.col("num_replaced").last())
both = table1.join(accepted, on=SEARCH, how="left", suffix="_accepted")
assert (both["num_replaced_opt"] == both["num_replaced_accepted"].fill_null(0)).all()

# %% [markdown]
# ## Base and hybrid on the same items
#
# The exact McNemar test asks only the items that one of the two answered right and the other wrong.


# %%
def mcnemar(only_base, only_hybrid):
    """The two-sided exact p-value that both are equally good."""
    num_flips = only_base + only_hybrid
    tail = sum(math.comb(num_flips, heads) for heads in range(min(only_base, only_hybrid) + 1))
    return min(1.0, 2 * tail / 2**num_flips)


def paired(system):
    """The base and `system` side by side: a row per item."""
    of = lambda name: items.filter(pl.col("system") == name)
    return of("base").join(of(system), on=[*SEARCH, "item"], suffix="_hybrid", validate="1:1")


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

    assert 3 * pairs.height == items.height, "all three systems answered the same items"
    assert (pairs["label"] == pairs["label_hybrid"]).all()
    both = table1.join(compared, on=SEARCH)
    assert both.height == table1.height
    for mine, theirs in [("base", "p_base"), ("hybrid", f"p_{system}"), ("p_value", f"p_value_{system}")]:
        assert (both[mine] - both[theirs]).abs().max() < 1e-9, theirs

# %% [markdown]
# ## The order in which layers go linear, by variant
#
# The mean round over tasks; layers that no accepted hybrid has replaced are missing. Only for strategies that add one layer
# a round: others have no layer of a round.

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
# ## Which items flip
#
# In SQL: items that the base answers right, and how many of its hybrids lose them. Items that all lose hold what linear layers cannot
# do; items that one loses are noise.

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
print(files.sql(f"select task, lost, any_value(hybrids) as of, count(*) as items from ({LOST}) group by task, lost order by all"))
print(files.sql(f"select task, item, lost, hybrids from ({LOST}) where lost > 0 order by lost desc, task, item limit 10"))

[(num_lost,)] = files.sql(f"select coalesce(sum(lost), 0) from ({LOST})").fetchall()
flips = paired("best").filter(pl.col("correct") & ~pl.col("correct_hybrid"))
assert int(num_lost) == flips.height, "SQL and polars count the same flips"

# %% [markdown]
# ## Choices follow log-likelihoods

# %%
surest = items["log_likelihoods"].list.max() == items.select(pl.col("log_likelihoods").list.get(pl.col("choice"))).to_series()
assert surest.all(), "a system chooses the option that it finds most likely"
assert (items["correct"] == (items["choice"] == items["label"])).all()
print("every assertion holds")
