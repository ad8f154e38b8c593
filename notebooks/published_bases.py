"""Prints the numbers of docs/published-bases.md from the published tables.

    .venv/bin/python notebooks/published_bases.py
"""

import os
from pathlib import Path

import polars as pl

TABLES = Path(os.environ.get("DTR_TABLES", "results/published/tables/published-bases"))

# The accuracy of guessing, for tasks whose items all have the same number of options.
CHANCE = {
    "arc-challenge": 25.0, "arc-easy": 25.0, "boolq": 50.0, "commonsense-qa": 20.0, "commonsense-qa-texts": 20.0,
    "hellaswag": 25.0, "mmlu-econometrics": 25.0, "mmlu-marketing": 25.0, "openbookqa": 25.0, "piqa": 50.0,
    "pubmedqa": 100.0 / 3.0, "winogrande": 50.0,
}


def table(name: str) -> pl.DataFrame:
    return pl.read_parquet(TABLES / f"{name}.parquet")


def points(name: str) -> pl.Expr:
    return (pl.col(name) * 100).round(1)


def best_hybrids(searches: pl.DataFrame) -> None:
    gain = searches["p_best"] - searches["p_base"]
    significant = searches.filter(pl.col("q_value_best") < 0.05)
    print(f"M_best: {(gain >= 0).sum()} of {len(gain)} match or exceed, {(gain > 0).sum()} exceed")
    print(f"  mean loss of the others {100 * -gain.filter(gain < 0).mean():.2f} points")
    print(f"  {significant.height} differ at q < 0.05:")
    print(significant.select("task", "variant", points("p_base"), points("p_best"), "num_replaced", "q_value_best"))
    replaced = searches["num_replaced"]
    print(f"  replaced layers: mean {replaced.mean():.1f}, median {replaced.median()}, of {searches['num_layers'][0]}")
    print(searches.group_by("variant").agg(
        pl.col("matches_base").sum(), pl.col("num_replaced").mean(), pl.col("num_replaced_opt").mean(),
    ).sort("variant"))
    effect = searches["selection_effect"]
    print(f"  selection effect: mean {effect.mean():.2f} points, positive in {(effect > 0).sum()}")


def smallest_hybrids(stops: pl.DataFrame) -> None:
    relative = 1 - pl.col("p_hybrid") / pl.col("p_base")
    rows = stops.with_columns(relative.alias("drop")).group_by("criterion", "value").agg(
        pl.len().alias("searches"),
        pl.col("num_replaced").mean().alias("layers"),
        (100 * pl.col("drop").mean()).alias("mean drop %"),
        (pl.col("drop") > pl.col("value")).sum().alias("beyond the limit"),
        ((pl.col("p_value") < 0.05) & (pl.col("difference") < 0)).sum().alias("worse at p < 0.05"),
    )
    print(rows.sort("criterion", "value"))


def order_agreement(agreement: pl.DataFrame) -> None:
    for setting in agreement["differing_setting"].unique().sort():
        rows = agreement.filter(pl.col("differing_setting") == setting)
        print(
            f"order, other {setting}: {rows.height} pairs, mean tau-b {rows['kendall_tau'].mean():.2f}, "
            f"{(rows['kendall_q'] < 0.05).sum()} at q < 0.05, {(rows['kendall_tau'] < 0).sum()} negative"
        )


def chance_tasks(searches: pl.DataFrame) -> None:
    chance = pl.col("task").replace_strict(CHANCE, return_dtype=pl.Float64) / 100
    rows = searches.with_columns(chance.alias("chance"))
    at_chance = (pl.col("p_base_low") <= pl.col("chance"))
    print(rows.group_by("task").agg(
        points("p_base").first(), points("chance").first(), at_chance.first().alias("base at chance or below"),
        pl.col("num_replaced").alias("M_best layers"), pl.col("num_replaced_opt").alias("M_opt layers"),
        pl.col("selection_effect").round(1).alias("selection effect"),
    ).sort("task"))


def answer_bias(items: pl.DataFrame) -> None:
    for task in ("boolq", "pubmedqa"):
        rows = items.filter(pl.col("task") == task)
        largest = rows.filter(pl.col("system") == "base")["label"].value_counts(normalize=True)["proportion"].max()
        print(f"{task}: {100 * largest:.1f} % of the right answers are equal; share of the first option by system:")
        print(rows.group_by("system", "variant").agg(
            (100 * (pl.col("choice") == 0).mean()).round(1).alias("first option %"),
            (100 * pl.col("correct").mean()).round(1).alias("accuracy %"),
        ).sort("system", "variant"))


def main() -> None:
    pl.Config.set_tbl_rows(50).set_tbl_width_chars(110).set_tbl_hide_dataframe_shape(True)
    searches = table("searches")
    for model in searches["model"].unique().sort():
        print(f"\n== {model}")
        of_model = pl.col("model") == model
        best_hybrids(searches.filter(of_model))
        smallest_hybrids(table("earlier_stops").filter(of_model))
        order_agreement(table("agreement").filter(of_model))
        chance_tasks(searches.filter(of_model))
        answer_bias(table("items").filter(of_model))


if __name__ == "__main__":
    main()
