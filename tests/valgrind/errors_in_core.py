"""Say which of the errors that valgrind has found have to do with the compiled core.

It is given valgrind's XML files; that of a process that was killed may be cut off. An error counts
if the core is in any of its stacks: where it happened, where the memory was allocated or freed,
where an undefined value comes from. The others are of Python, and of what steps import: so none of
theirs has to be suppressed one by one, and with it perhaps one of the core.
"""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

MODULES = ("_router", "_buffers", "_channel", "_packing", "_shared", "_runner")


def errors_in(path):
    with path.open("rb") as file:
        try:
            for _, element in ET.iterparse(file):
                if element.tag == "error":
                    yield element
        except ET.ParseError:
            print(f"{path}: cut off")


def is_of_core(error):
    # In XML valgrind looks for leaks in any case: Python keeps too much to the end.
    return not error.findtext("kind", "").startswith("Leak_") and any(
        Path(frame.findtext("obj", "")).name.split(".")[0] in MODULES
        for frame in error.iter("frame")
    )


def describe(error):
    yield error.findtext("kind")
    for part in error:
        if part.tag in ("what", "auxwhat"):
            yield f"  {part.text}"
        for frame in part.findall("frame"):
            yield "    {} ({}:{})".format(
                *(frame.findtext(tag, "?") for tag in ("fn", "file", "line"))
            )


def main(paths):
    n_errors = n_of_core = 0
    for path in paths:
        for error in errors_in(path):
            n_errors += 1
            if is_of_core(error):
                n_of_core += 1
                print(path, *describe(error), sep="\n")
    print(f"{len(paths)} processes, {n_errors} errors, {n_of_core} with the core")
    return n_of_core > 0 or not paths


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
