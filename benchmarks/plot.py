"""Draws the pictures of docs/performance.rst.

pytest benchmarks --long --benchmark-json benchmarks.json
python benchmarks/peers.py --json peers.json
python benchmarks/plot.py --benchmarks benchmarks.json --peers peers.json --to docs
"""

import argparse
import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from bars import BARS

OURS, THEIRS, MISSED = "#1f77b4", "#b0b0b0", "#d62728"
# The same picture from the same numbers: for version control.
matplotlib.rcParams |= {"svg.hashsalt": "ctapipe.pipeline", "svg.fonttype": "none"}


def draw_throughput(peers, path):
    """Messages per second of this package and of others, on a logarithmic scale."""
    systems = sorted(peers["systems"], key=lambda system: system["median"])
    names = [system["name"] for system in systems]
    rates = [system["median"] for system in systems]
    colors = [OURS if name.startswith("ctapipe.pipeline") else THEIRS for name in names]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(systems) + 1), layout="constrained")
    bars = axes.barh(names, rates, color=colors)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(min(rates) / 2, max(rates) * 5)
    axes.set_xlabel(f"small messages per second, {peers['cpus']} cores, Python {peers['python']}")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_ratios(benchmarks, path):
    """Every measured ratio, divided such that 1 is the bar and more is better."""
    results = [
        benchmark["extra_info"]
        for benchmark in benchmarks["benchmarks"]
        if "bar" in benchmark["extra_info"]
    ]
    results.sort(key=lambda result: list(BARS).index(result["bar"]), reverse=True)
    figure, axes = plt.subplots(figsize=(11, 0.35 * len(results) + 1), layout="constrained")
    for row, result in enumerate(results):
        margins = [_margin(BARS[result["bar"]], ratio) for ratio in result["ratios"]]
        median = _margin(BARS[result["bar"]], result["median"])
        color = OURS if median >= 1 else MISSED
        axes.plot(margins, [row] * len(margins), "|", color=color)
        axes.plot(median, row, "o", color=color)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(results)), [result["what"] for result in results])
    axes.set_xscale("log")
    axes.set_xlabel("times the bar; the dot is the median")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _margin(bar, ratio):
    return ratio / bar.at_least if bar.at_least is not None else bar.at_most / ratio


def _save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path)


def main():
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=Path, help="from pytest benchmarks")
    parser.add_argument("--peers", type=Path, help="from peers.py")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="the directory to draw in")
    arguments = parser.parse_args()
    if arguments.peers:
        peers = json.loads(arguments.peers.read_text(encoding="utf-8"))
        draw_throughput(peers, arguments.to / "throughput.svg")
    if arguments.benchmarks:
        benchmarks = json.loads(arguments.benchmarks.read_text(encoding="utf-8"))
        draw_ratios(benchmarks, arguments.to / "ratios.svg")


if __name__ == "__main__":
    main()
