"""Compares the output of `dtr bench device` with that of `benchmark.py`, operation by operation.

    python bench/pytorch/compare.py dtr.jsonl pytorch.jsonl [--flops 790e12] [--bytes 4.3e12]

The first table has the times of dtr and of PyTorch, and the speed-up of dtr. Its last column is dtr's time as
a multiple of the shortest time that the device's peak rates allow. For operations without a peak rate, the
last column is tokens per second. The second table has the memory that dtr allocated and the memory that dtr
predicted.
"""

import argparse
import json


def read_lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def print_times(ours, baseline, options):
    print(f"{'operation':42} {'dtr':>12} {'PyTorch':>12} {'speed-up':>10}  rate")
    peak_rates = {"flop": options.flops, "byte": options.bytes}
    for line in ours:
        seconds, amount, other = line["seconds"], line["amount"], baseline.get(line["operation"])
        peak = peak_rates.get(line["unit"])
        rate = f"{seconds / (amount / peak):.2f}x the limit" if peak else f"{amount / seconds:,.0f} tokens/s"
        other_ms = f"{1e3 * other:9.3f} ms" if other else "-"
        speed_up = f"{other / seconds:.2f}" if other else "-"
        print(f"{line['operation']:42} {1e3 * seconds:9.3f} ms {other_ms:>12} {speed_up:>10}  {rate}")


def print_memory(ours):
    print(f"\n{'memory':42} {'allocated':>12} {'predicted':>12} {'ratio':>10}")
    for line in ours:
        allocated, predicted = line["allocated_bytes"], line["predicted_bytes"]
        ratio = predicted / allocated
        print(f"{line['operation']:42} {allocated / 1e9:9.1f} GB {predicted / 1e9:9.1f} GB {ratio:10.2f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ours", help="output of `dtr bench device`")
    parser.add_argument("baseline", help="output of `benchmark.py`")
    parser.add_argument("--flops", type=float, default=790e12, help="peak floating-point operations per second")
    parser.add_argument("--bytes", type=float, default=4.3e12, help="peak bytes per second")
    options = parser.parse_args()
    lines = read_lines(options.ours)
    baseline = {line["operation"]: line["seconds"] for line in read_lines(options.baseline)}
    print_times([line for line in lines if "seconds" in line], baseline, options)
    print_memory([line for line in lines if line.get("allocated_bytes")])


if __name__ == "__main__":
    main()
