"""One table of `dtr bench device` beside a peer: work, ours, the peer's, their ratio, and how near ours is to what the device can do.

    python bench/peers/table.py ours.jsonl peers.jsonl [--flops 790e12] [--bytes 4.3e12]
"""

import argparse
import json

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("ours")
parser.add_argument("peers")
parser.add_argument("--flops", type=float, default=790e12, help="floating-point operations a second that the device can do")
parser.add_argument("--bytes", type=float, default=4.3e12, help="bytes a second that it can read")
options = parser.parse_args()


def lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.startswith("{")]


peers = {line["work"]: line["seconds"] for line in lines(options.peers)}
ours = lines(options.ours)
print(f"{'work':42} {'ours':>12} {'peer':>12} {'peer/ours':>10}  limit")
for line in [line for line in ours if "seconds" in line]:
    seconds, amount, peer = line["seconds"], line["amount"], peers.get(line["work"])
    rate = {"flop": options.flops, "byte": options.bytes}.get(line["unit"])
    limit = f"{seconds / (amount / rate):.2f}x its limit" if rate else f"{amount / seconds:,.0f} tokens/s"
    theirs = f"{1e3 * peer:9.3f} ms" if peer else "-"
    ratio = f"{peer / seconds:.2f}" if peer else "-"
    print(f"{line['work']:42} {1e3 * seconds:9.3f} ms {theirs:>12} {ratio:>10}  {limit}")
print(f"\n{'memory':42} {'held':>12} {'predicted':>12} {'ratio':>10}")
for line in [line for line in ours if line.get("bytes")]:
    held, predicted = line["bytes"], line["predicted"]
    print(f"{line['work']:42} {held / 1e9:9.1f} GB {predicted / 1e9:9.1f} GB {predicted / held:10.2f}")
