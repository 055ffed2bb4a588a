"""Look for a configuration file that is not read, and gets no clear lines either.

It is guided by what is executed of the code, by atheris (``pip install atheris``), which is no
dependency of the tests. When it finds one, its exit code is not 0, and the file is in the
directory; a later run there begins with what earlier ones have learnt.
"""

import argparse
import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["ctapipe.pipeline.configuration", "json", "tomllib", "traitlets.config", "yaml"]
):
    import yaml
    from test_damaged_configurations import FULL, TOML, assert_clear_lines

    from ctapipe.pipeline import ConfigurationError
    from ctapipe.pipeline.configuration.files import read_configuration
    from ctapipe.pipeline.configuration.reader import read_graph

# The first byte of what the fuzzer makes says which it is, the others are the file.
ENDINGS = ("json", "yaml", "toml")
RIGHT = (json.dumps(FULL), yaml.safe_dump(FULL), TOML)
LONGEST = 8192
# Seconds: for a file that is read in a hundredth of one, on a machine that has other work.
HANGS_AFTER = 60


def words(tree):
    """The keys and values that a file may have, as the fuzzer puts them in."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from words(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from words(value)
    else:
        yield json.dumps(tree).strip('"')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="for what it makes")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", help="read only this file, which an earlier run has left")
    options = parser.parse_args()
    corpus = options.directory / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)

    def read(data):
        if not data:
            return
        path = options.directory / f"damaged.{ENDINGS[data[0] % len(ENDINGS)]}"
        path.write_bytes(data[1:])
        try:
            read_graph(read_configuration(path))
        except ConfigurationError as error:
            assert_clear_lines(error)

    for i, right in enumerate(RIGHT):
        data = bytes([i]) + right.encode()
        # Before the time that a file takes is measured: it imports the modules of steps.
        read(data)
        (corpus / ENDINGS[i]).write_bytes(data)
    dictionary = options.directory / "words"
    dictionary.write_text("".join(f'"{word}"\n' for word in sorted(set(words(FULL)))))
    arguments = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS_AFTER}",
        f"-dict={dictionary}",
        f"-artifact_prefix={options.directory}/",
        "-print_final_stats=1",
        options.again or str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], read)
    # It does not return.
    atheris.Fuzz()


if __name__ == "__main__":
    main()
