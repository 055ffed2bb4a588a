"""Makes the table of ``compatibility.rst`` from the reports of test runs.

python docs/make_compatibility.py REPORT.xml ... > docs/compatibility_table.txt

A report is what ``pytest --junit-xml=REPORT.xml`` writes.
"""

import sys
import xml.etree.ElementTree as ET

# Those that tests/conftest.py notes in a report.
VERSIONS = ("Python", "ctapipe", "NumPy", "pyzmq")


def row(report):
    """The cells of a report: versions, system, what came of the tests, their time and day."""
    suite = ET.parse(report).getroot().find("testsuite")
    properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
    skipped, n_failed = int(suite.get("skipped")), int(suite.get("failures"))
    n_failed += int(suite.get("errors"))
    passed = int(suite.get("tests")) - skipped - n_failed
    return (
        # Nothing is noted if no test could be run.
        *(properties.get(name, "?") for name in (*VERSIONS, "System")),
        *(str(count) for count in (passed, n_failed, skipped)),
        f"{float(suite.get('time')):.0f} s",
        suite.get("timestamp").partition("T")[0],
    )


def version_numbers(cells):
    """What rows are sorted by."""
    return [[int(part) if part.isdigit() else -1 for part in cell.split(".")] for cell in cells[:2]]


def table(reports):
    """The lines of a table in reStructuredText."""
    header = (*VERSIONS, "System", "Passed", "Failed", "Skipped", "Time", "Day")
    rows = sorted((row(report) for report in reports), key=version_numbers)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (header, *rows)
    ]
    return [rule, lines[0], rule, *lines[1:], rule]


if __name__ == "__main__":
    print("\n".join(table(sys.argv[1:])))
