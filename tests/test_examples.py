"""The example configurations, as a user runs them."""

import functools
import json
import subprocess
import sys
from collections import Counter

import pytest
from checkout import EXAMPLES
from ctapipe.io import EventSource

from ctapipe.pipeline import run

TOY = EXAMPLES / "brainstorm" / "pipeline" / "pipeline_py" / "example.json"
HESSIO = EXAMPLES / "hessio.json"
TELESCOPE_TYPES = EXAMPLES / "telescope_types.json"


def configuration(path, nb_thread=None, **options):
    """What an example says, with other options, and as many threads for each of its stages."""
    content = json.loads(path.read_text())
    for section, values in options.items():
        content.setdefault(section, {}).update(values)
    if nb_thread is not None:
        for stage in content["Pipeline"]["stagers_conf"]:
            stage["nb_thread"] = nb_thread
    return content


def succeed(done):
    """What a command that must have succeeded wrote to standard output."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def workers(summary):
    return {step["name"]: step["workers"] for step in summary["steps"]}


def lines_of(path):
    return Counter(path.read_text().splitlines())


class TestToy:
    def test_runs_anywhere(self, command):
        header, *rows = succeed(command(f"--config={TOY}")).splitlines()

        assert header.split()[0] == "event_id"
        assert sorted(int(row.split()[0]) for row in rows) == list(range(1, 21))
        assert not any("nan" in row for row in rows)

    @pytest.mark.parametrize("nb_thread", [1, 8])
    def test_table_is_the_same_for_any_number_of_threads(self, nb_thread, tmp_path):
        tables = {}
        for executor in ("sequential", "threads"):
            path = tmp_path / executor
            summary = run(
                configuration(
                    TOY,
                    nb_thread,
                    FakeProducer={"max_events": 100},
                    FakeProcess2={"filename": str(path)},
                ),
                executor=executor,
            )
            assert summary["events"] == {"sent": 100, "finished": 100}
            tables[executor] = lines_of(path)

        assert tables["threads"].total() == 101
        assert tables["threads"] == tables["sequential"]

    def test_has_two_stages_of_two_threads(self):
        assert workers(run(TOY, executor="threads")) == {
            "SHOWERS": 1,
            "CLEANING": 2,
            "HILLAS": 2,
            "TABLE": 1,
        }


class TestHessio:
    @staticmethod
    @functools.cache
    def expected(path):
        with EventSource(path, focal_length_choice="EQUIVALENT") as source:
            return Counter(
                f"event_id {event.index.event_id}: tel_id "
                + " ".join(map(str, event.trigger.tels_with_trigger))
                for event in source
            )

    @pytest.mark.parametrize(("name", "n_events"), [("many", 200), ("stereo", 16)])
    def test_lists_the_triggered_telescopes_of_every_event(
        self, name, n_events, toy_files, command, tmp_path
    ):
        path = getattr(toy_files, name)

        succeed(command(f"--config={HESSIO}", f"--HessioReader.filename={path}"))

        lines = lines_of(tmp_path / "hessio.txt")
        assert lines.total() == n_events
        assert lines == self.expected(path)

    def test_is_the_same_sequentially(self, files, tmp_path):
        path = files.stereo
        output = tmp_path / "lines.txt"

        summary = run(
            configuration(
                HESSIO,
                HessioReader={"filename": str(path)},
                StringWriter={"filename": str(output)},
            ),
            executor="sequential",
        )

        lines = self.expected(path)
        assert lines.total() >= 12
        assert lines_of(output) == lines
        assert summary["events"] == {"sent": lines.total(), "finished": lines.total()}


class TestTelescopeTypes:
    @staticmethod
    @functools.cache
    def expected(path):
        lines = Counter()
        with EventSource(path, focal_length_choice="EQUIVALENT") as source:
            for event in source:
                for tel_id, r1 in event.r1.tel.items():
                    telescope = source.subarray.tel[tel_id]
                    mark = "LST  " if telescope.type == "LST" else "other"
                    lines[
                        f"{mark} event_id {event.index.event_id} tel_id {tel_id} {telescope}:"
                        f" {telescope.camera.geometry.n_pixels} pixels,"
                        f" peak {r1.waveform.max():.1f} p.e., sum {r1.waveform.sum():.0f} p.e."
                    ] += 1
        return lines

    @classmethod
    def n_expected(cls, path):
        """How many lines of telescope events each of the two ways has."""
        counts = Counter(line.split()[0] for line in cls.expected(path).elements())
        assert counts["LST"] >= 12
        assert counts["other"] >= 12
        return counts

    def test_describes_every_telescope_event(self, files, command, tmp_path):
        path = files.stereo

        succeed(command(f"--config={TELESCOPE_TYPES}", f"--SimTelArrayReader.filename={path}"))

        lines = lines_of(tmp_path / "telescope_types.txt")
        assert Counter(line.split()[0] for line in lines.elements()) == self.n_expected(path)
        assert lines == self.expected(path)

    @pytest.mark.parametrize(
        ("executor", "nb_thread"),
        [("sequential", None), ("threads", 1), ("threads", 2), ("threads", 8)],
    )
    def test_lines_are_the_same_for_any_number_of_threads(
        self, executor, nb_thread, toy_files, tmp_path
    ):
        path = toy_files.stereo
        output = tmp_path / "lines.txt"

        summary = run(
            configuration(
                TELESCOPE_TYPES,
                nb_thread,
                SimTelArrayReader={"filename": str(path)},
                StringWriter={"filename": str(output)},
            ),
            executor=executor,
        )

        assert lines_of(output) == self.expected(path)
        n_expected = self.n_expected(path)
        received = {step["name"]: step["received"] for step in summary["steps"]}
        assert received == {
            "READER": 0,
            "SHUNT": n_expected.total(),
            "LST_DUMP": n_expected["LST"],
            "OTHER_DUMP": n_expected["other"],
            "WRITER": n_expected.total(),
        }

    def test_its_queue_limit_holds(self, toy_files, tmp_path):
        summary = run(
            configuration(
                TELESCOPE_TYPES,
                SimTelArrayReader={"filename": str(toy_files.many)},
                StringWriter={"filename": str(tmp_path / "lines.txt")},
            ),
            executor="threads",
        )

        peaks = {step["name"]: step["queue_peak"] for step in summary["steps"]}
        assert peaks["LST_DUMP"] <= 10
        assert workers(summary)["OTHER_DUMP"] == 2


def test_output_that_nobody_reads_any_more_ends_the_run_without_a_traceback(tmp_path):
    """As with ``| head``."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ctapipe.pipeline"),
            *(f"--config={TOY}", "--FakeProducer.max_events=5000"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "event_id" in process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert "step 'TABLE' raised BrokenPipeError" in errors
    assert "Traceback" not in errors
