"""Writes the fixtures of the report's statistics, computed by scipy and statsmodels.

The file tests/fixtures/statistics.json gets intervals of proportions, McNemar's test, false discovery rates,
rank correlations of layer orders, overlaps of sets, and paired bootstraps. If an order does not contain all
layers, the missing layers share the last rank.
"""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

FIXTURE = Path(__file__).parent.parent / "fixtures" / "statistics.json"
# The sets of 10 of 28 layers in Table 4 of arXiv 2601.11667 v2.
LAYER_SETS = {
    "pubmedqa": [4, 8, 12, 19, 21, 22, 23, 24, 25, 26],
    "commonsense_qa": [2, 3, 6, 10, 14, 19, 23, 24, 25, 26],
    "boolq": [2, 5, 10, 18, 19, 22, 23, 24, 25, 26],
    "pubmedqa_impact": [0, 6, 10, 13, 17, 20, 22, 23, 26, 27],
}


def wilson():
    counts = [(0, 10), (10, 10), (1, 1), (5, 10), (319, 500), (361, 500), (81, 114), (1, 1000), (123456, 200000)]
    levels = [0.9, 0.95, 0.99]
    rows = []
    for (correct, total) in counts:
        for level in levels:
            low, high = stats.binomtest(correct, total).proportion_ci(level, "wilson")
            other = proportion_confint(correct, total, 1 - level, method="wilson")
            assert np.allclose((low, high), other, atol=1e-9)
            rows.append([correct, total, level, float(low), float(high)])
    return rows


def mcnemar_exact():
    counts = [(0, 0), (0, 1), (1, 1), (0, 6), (2, 9), (9, 2), (10, 25), (60, 18), (47, 53), (500, 400), (3000, 2000)]
    return [[b, c, float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)] for b, c in counts]


def false_discovery():
    generator = np.random.default_rng(1)
    families = [[0.04], [0.01, 0.04, 0.03, 0.005], [1.0, 1.0, 0.2], [0.02, 0.02, 0.02], []]
    families.append(list(generator.beta(0.4, 2.0, 108)))
    adjust = lambda family: list(map(float, multipletests(family, method="fdr_bh")[1])) if family else []
    return [{"p": list(map(float, family)), "q": adjust(family)} for family in families]


def ranks_of_layers(num_layers, order):
    """Returns the rank of each layer in the order. Layers outside the order share the last rank."""
    ranks = [float(len(order) + 1)] * num_layers
    for place, layer in enumerate(order):
        ranks[layer] = float(place + 1)
    return ranks


def orders():
    generator = np.random.default_rng(2)
    cases = [
        (ranks_of_layers(4, [3, 2, 1, 0]), ranks_of_layers(4, [3, 2, 1, 0])),
        (ranks_of_layers(4, [3, 2, 1, 0]), ranks_of_layers(4, [0, 1, 2, 3])),
        (ranks_of_layers(6, [5, 3, 4]), ranks_of_layers(6, [5, 4])),
        (ranks_of_layers(6, [0]), ranks_of_layers(6, [0, 1, 2, 3, 4, 5])),
        ([1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 7.0], [2.0, 1.0, 1.0, 5.0, 4.0, 5.0, 5.0]),
    ]
    for num_layers, first, second in [(8, 7, 5), (16, 16, 16), (28, 28, 28), (28, 10, 4), (32, 13, 12)]:
        cases.append((
            ranks_of_layers(num_layers, generator.permutation(num_layers)[:first]),
            ranks_of_layers(num_layers, generator.permutation(num_layers)[:second]),
        ))
    # Two orders that differ by random noise.
    order = generator.permutation(28)
    noisy = order[np.argsort(np.arange(28) + generator.normal(0, 6, 28))]
    cases.append((ranks_of_layers(28, order), ranks_of_layers(28, noisy[:15])))
    rows = []
    for first, second in cases:
        tau = lambda other: stats.kendalltau(first, other).statistic
        rho = lambda other: stats.spearmanr(first, other).statistic
        rows.append({
            "first": first,
            "second": second,
            "tau": float(tau(second)),
            "rho": float(rho(second)),
            "tau_p": permutation_p_value(tau, second),
            "rho_p": permutation_p_value(rho, second),
        })
    return rows


def permutation_p_value(measure, ranks):
    """Returns the share of permutations whose measure is at least that of `ranks`.

    Uses all permutations of at most 6 ranks, and 20,000 random permutations of more ranks.
    """
    found = measure(ranks) - 1e-9
    if len(ranks) <= 6:
        values = [measure(list(other)) for other in permutations(ranks)]
        return float(np.mean(np.array(values) >= found))
    test = stats.permutation_test(
        (np.array(ranks),), lambda other: measure(other), permutation_type="pairings", alternative="greater",
        n_resamples=20_000, rng=np.random.default_rng(3),
    )
    return float(test.pvalue)


def overlaps():
    rows = []
    names = list(LAYER_SETS)
    for index, one in enumerate(names):
        for other in names[:index]:
            shared = len(set(LAYER_SETS[one]) & set(LAYER_SETS[other]))
            rows.append([shared, 10, 10, 28])
    rows += [[0, 3, 5, 8], [3, 3, 5, 8], [8, 8, 8, 8], [1, 1, 1, 32], [60, 60, 60, 126]]
    return [row + [float(stats.hypergeom.sf(row[0] - 1, row[3], row[1], row[2]))] for row in rows]


def bootstraps():
    rows = []
    for only_first, only_second, total in [(12, 30, 500), (3, 1, 114), (0, 0, 200), (80, 95, 1172), (0, 9, 256)]:
        first = np.zeros(total)
        second = np.zeros(total)
        first[:only_first] = 1
        second[only_first:only_first + only_second] = 1
        for level in [0.9, 0.95]:
            if only_first + only_second == 0:
                low = high = 0.0
            else:
                interval = stats.bootstrap(
                    (first, second), lambda one, other, axis: (other - one).mean(axis=axis), paired=True,
                    vectorized=True, method="percentile", confidence_level=level, n_resamples=50_000, batch=500,
                    rng=np.random.default_rng(4),
                ).confidence_interval
                low, high = interval
            rows.append([only_first, only_second, total, level, float(low), float(high)])
    return rows


def main():
    expected = {
        "wilson": wilson(),
        "mcnemar": mcnemar_exact(),
        "false_discovery": false_discovery(),
        "orders": orders(),
        "overlaps": overlaps(),
        "bootstraps": bootstraps(),
    }
    lines = [f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in expected.items()]
    FIXTURE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(FIXTURE.name, f"{FIXTURE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
