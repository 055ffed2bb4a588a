"""The table of what came of the trials."""

import os
import platform
from collections import Counter
from importlib import metadata

__all__ = ["make_table"]

HEAD = ("fault", "executor", "trials", "exit codes", "failures", "longest")


def make_table(results, n_asked, command, seconds):
    """The table, as text that is also reStructuredText."""
    groups = {}
    for result in results:
        groups.setdefault((result["fault"], result["executor"]), []).append(result)
    rows = [row(*key, of_group) for key, of_group in sorted(groups.items())]
    made = [result for result in results if "left_out" not in result]
    n_failures = sum(bool(result["failures"]) for result in made)
    stopped = f"; stopped before the {n_asked} asked for" if len(results) < n_asked else ""
    user = "root" if os.geteuid() == 0 else "a user"
    widths = [max(len(line[i]) for line in [HEAD, *rows]) for i in range(len(HEAD))]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in [HEAD, *rows]
    ]
    return "\n".join(
        [
            f"Made by ``{command}``, as {user}, with Python {platform.python_version()} and "
            f"ctapipe {metadata.version('ctapipe')}, in {seconds / 60:.0f} minutes:",
            f"{len(made)} trials, {n_failures} failures{stopped}.",
            "",
            *(rule, lines[0], rule, *lines[1:], rule),
            "",
        ]
    )


def row(fault, executor, results):
    reasons = {result["left_out"] for result in results if "left_out" in result}
    if reasons:
        return fault, executor, "0", ", ".join(sorted(reasons)), "0", "\\-"
    codes = Counter(
        "hung" if result.get("is_hung") else str(result.get("code")) for result in results
    )
    outcomes = ", ".join(f"{code}: {n}" for code, n in sorted(codes.items()))
    failed = sum(bool(result["failures"]) for result in results)
    longest = max(result.get("seconds", 0) for result in results)
    return fault, executor, str(len(results)), outcomes, str(failed), f"{longest:.1f} s"
