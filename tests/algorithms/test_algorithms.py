"""The ready-made steps, each in a small pipeline."""

import numpy as np
import pytest
from astropy.table import Table
from common_steps import Pass
from ctapipe.core import Provenance
from ctapipe.image import hillas_parameters, tailcuts_clean
from ctapipe.io import DataWriter, EventSource

from ctapipe.pipeline import ConfigurationError, run
from ctapipe.pipeline.algorithms.fake_process import FakeProcess
from ctapipe.pipeline.algorithms.fake_process2 import FakeProcess2
from ctapipe.pipeline.algorithms.fake_producer import FakeProducer, ToyEvent, toy_camera
from ctapipe.pipeline.algorithms.hessio_reader import HessioReader
from ctapipe.pipeline.algorithms.shunt_telescope import ShuntTelescope
from ctapipe.pipeline.algorithms.simtelarray_reader import SimTelArrayReader, TelescopeEvent
from ctapipe.pipeline.algorithms.string_writer import StringWriter


class Collector:
    """A consumer that remembers the messages of the last run."""

    messages: tuple = ()

    def init(self):
        Collector.messages = ()

    def run(self, message):
        Collector.messages += (message,)


def producer_of(*messages_to_send):
    class Producer:
        def run(self):
            yield from messages_to_send

    return Producer


def run_steps(producer, *stages, consumer=Collector, **options):
    """Run a chain of steps; what a `Collector` at its end has received."""

    def conf(step_class, name):
        return {"name": name, "class": step_class}

    run(
        {
            "Pipeline": {
                "producer_conf": conf(producer, "PRODUCER"),
                "stagers_conf": [
                    conf(stage, f"STAGE_{i}") for i, stage in enumerate(stages or [Pass])
                ],
                "consumer_conf": conf(consumer, "CONSUMER"),
            },
            **options,
        }
    )
    return Collector.messages


def toy_images(**options):
    return [event.image for event in run_steps(FakeProducer, FakeProducer=options)]


class TestFakeProducer:
    def test_number_and_label_of_events_are_options(self):
        events = run_steps(FakeProducer, FakeProducer={"max_events": 3, "filename": "label"})

        assert [event.event_id for event in events] == [1, 2, 3]
        assert [event.label for event in events] == ["label"] * 3

    def test_can_produce_nothing(self):
        assert run_steps(FakeProducer, FakeProducer={"max_events": 0}) == ()

    def test_images_fit_the_camera_and_are_not_processed(self):
        for event in run_steps(FakeProducer):
            assert event.image.shape == (toy_camera().n_pixels,)
            assert event.mask is None
            assert event.hillas is None

    def test_same_seed_gives_same_images(self):
        np.testing.assert_array_equal(toy_images(seed=3), toy_images(seed=3))

    def test_other_seed_gives_other_images(self):
        assert not np.array_equal(toy_images(seed=3), toy_images(seed=4))


class TestFakeProcess:
    def test_first_stage_cleans(self):
        camera = toy_camera()

        events = run_steps(
            FakeProducer,
            FakeProcess,
            FakeProcess={"picture_threshold_pe": 12, "boundary_threshold_pe": 6},
        )

        assert len(events) == 20
        for event in events:
            expected = tailcuts_clean(camera, event.image, picture_thresh=12, boundary_thresh=6)
            np.testing.assert_array_equal(event.mask, expected)
            assert event.hillas is None

    def test_second_stage_parametrizes(self):
        camera = toy_camera()

        events = run_steps(FakeProducer, FakeProcess, FakeProcess)

        assert len(events) == 20
        for event in events:
            expected = hillas_parameters(camera[event.mask], event.image[event.mask])
            assert event.hillas.as_dict() == expected.as_dict()

    def test_a_stage_can_have_thresholds_of_its_own(self):
        all_pixels, none = run_steps(
            producer_of(
                ToyEvent(1, "", np.full(1600, 8.0)),
                ToyEvent(2, "", np.full(1600, 6.0)),
            ),
            FakeProcess,
            FakeProcess={"picture_threshold_pe": 9},
            STAGE_0={"picture_threshold_pe": 7},
        )

        assert all_pixels.mask.all()
        assert not none.mask.any()

    @pytest.mark.parametrize(
        "pixels", [[], [820], [820, 821], [820, 821, 822, 823]], ids=["0", "1", "2", "line of 4"]
    )
    def test_an_image_that_spans_no_ellipse_has_parameters_nan(self, pixels):
        image = np.zeros(1600)
        image[pixels] = 100.0

        (event,) = run_steps(producer_of(ToyEvent(1, "", image)), FakeProcess, FakeProcess)

        assert np.count_nonzero(event.mask) in (0, len(pixels))
        for name in ("intensity", "length", "width", "psi"):
            assert np.isnan(event.hillas[name])

    def test_passes_on_what_it_does_not_know(self):
        messages = ("text", 17, {"a": [1, 2]})

        assert run_steps(producer_of(*messages), FakeProcess) == messages

    def test_passes_on_what_is_complete(self):
        two = run_steps(FakeProducer, FakeProcess, FakeProcess)
        three = run_steps(FakeProducer, FakeProcess, FakeProcess, FakeProcess)

        for before, after in zip(two, three, strict=True):
            assert before.hillas.as_dict() == after.hillas.as_dict()


class TestFakeProcess2:
    def test_writes_a_table_with_units(self, tmp_path):
        path = tmp_path / "table.txt"

        run_steps(
            FakeProducer,
            FakeProcess,
            FakeProcess,
            consumer=FakeProcess2,
            FakeProcess2={"filename": str(path)},
        )
        events = run_steps(FakeProducer, FakeProcess, FakeProcess)

        table = Table.read(path, format="ascii.basic")
        assert table.colnames == [
            "event_id",
            "intensity/p.e.",
            "length/m",
            "width/m",
            "psi/deg",
            "label",
        ]
        assert list(table["event_id"]) == [event.event_id for event in events]
        assert set(table["label"]) == {"toy"}
        for row, event in zip(table, events, strict=True):
            assert row["intensity/p.e."] == pytest.approx(event.hillas.intensity, abs=0.05)
            assert row["length/m"] == pytest.approx(event.hillas.length.to_value("m"), abs=5e-5)
            assert row["width/m"] == pytest.approx(event.hillas.width.to_value("m"), abs=5e-5)
            assert row["psi/deg"] == pytest.approx(event.hillas.psi.to_value("deg"), abs=5e-3)

    def test_columns_are_aligned(self, capsys):
        run_steps(FakeProducer, FakeProcess, FakeProcess, consumer=FakeProcess2)

        header, *rows = capsys.readouterr().out.splitlines()
        assert len(rows) == 20
        assert {row.index("toy") for row in rows} == {header.index("label")}

    def test_events_without_parameters_have_nan(self, capsys):
        run_steps(FakeProducer, consumer=FakeProcess2, FakeProducer={"max_events": 1})

        assert capsys.readouterr().out.splitlines()[1].split() == ["1", *["nan"] * 4, "toy"]

    def test_writes_other_messages_as_they_are(self, capsys):
        run_steps(producer_of("text", [1, 2]), consumer=FakeProcess2)

        assert capsys.readouterr().out.splitlines()[1:] == ["'text'", "[1, 2]"]


def read_options(path, **options):
    return {
        "HessioReader": {"filename": str(path), **options},
        "SimTelArrayReader": {"filename": str(path), **options},
        "SimTelEventSource": {"focal_length_choice": "EQUIVALENT"},
    }


class TestHessioReader:
    def test_sends_every_event(self, files):
        events = run_steps(HessioReader, **read_options(files.mono))

        assert len(events) == 10
        with EventSource(files.mono, focal_length_choice="EQUIVALENT") as source:
            for event, expected in zip(events, source, strict=True):
                assert event.index.event_id == expected.index.event_id
                np.testing.assert_array_equal(event.r1.tel[1].waveform, expected.r1.tel[1].waveform)

    def test_max_events(self, toy_files):
        assert len(run_steps(HessioReader, **read_options(toy_files.mono, max_events=3))) == 3

    def test_event_source_has_its_own_options(self, toy_files):
        options = {"max_events": 4, "allowed_tels": [1, 2]}

        events = run_steps(HessioReader, EventSource=options, **read_options(toy_files.stereo))

        with EventSource(toy_files.stereo, **options) as source:
            expected = [list(event.trigger.tels_with_trigger) for event in source]
        assert [list(event.trigger.tels_with_trigger) for event in events] == expected
        assert len(expected) == 4
        assert {tel_id for tel_ids in expected for tel_id in tel_ids} == {1, 2}

    def test_finds_a_dataset_by_name(self, toy_files, monkeypatch):
        monkeypatch.setenv("CTAPIPE_SVC_PATH", str(toy_files.mono.parent))

        events = run_steps(HessioReader, **read_options(toy_files.mono.name, max_events=1))

        assert len(events) == 1

    def test_a_dataset_that_cannot_be_had(self, tmp_path, monkeypatch):
        monkeypatch.delenv("CTAPIPE_SVC_PATH", raising=False)
        monkeypatch.setenv("CTAPIPE_CACHE", str(tmp_path))
        # Nothing listens there.
        monkeypatch.setenv("CTAPIPE_DATA_URL", "http://localhost:9")

        with pytest.raises(ConfigurationError) as caught:
            run_steps(HessioReader, **read_options("no_such_dataset.simtel.gz"))

        assert_one_line(caught, "HessioReader.filename", "'no_such_dataset.simtel.gz'", "download")

    def test_a_path_that_is_not_there(self, tmp_path):
        path = tmp_path / "none.simtel.gz"

        with pytest.raises(ConfigurationError) as caught:
            run_steps(HessioReader, **read_options(path))

        assert_one_line(caught, "--HessioReader.filename=FILE", f"there is no file '{path}'")

    def test_a_file_without_events(self, tmp_path):
        path = tmp_path / "text.txt"
        path.write_text("no events")

        with pytest.raises(ConfigurationError) as caught:
            run_steps(HessioReader, **read_options(path))

        assert_one_line(caught, "HessioReader.filename", str(path), "is it an event file?")


class TestSimTelArrayReader:
    def test_sends_every_telescope_event(self, files):
        path = files.stereo

        messages = run_steps(SimTelArrayReader, **read_options(path, max_events=3))

        with EventSource(path, focal_length_choice="EQUIVALENT", max_events=3) as source:
            expected = [
                (event.index.event_id, tel_id, source.subarray.tel[tel_id], r1.waveform)
                for event in source
                for tel_id, r1 in event.r1.tel.items()
            ]
        assert len({event_id for event_id, *_ in expected}) == 3
        assert {telescope.type for _, _, telescope, _ in expected} == {"LST", "MST"}
        for message, (event_id, tel_id, telescope, waveform) in zip(
            messages, expected, strict=True
        ):
            assert (message.event_id, message.tel_id) == (event_id, tel_id)
            assert message.telescope_type == telescope.type
            assert message.description == str(telescope)
            np.testing.assert_array_equal(message.waveform, waveform)

    def test_error_names_its_own_option(self, tmp_path):
        path = tmp_path / "none.simtel.gz"

        with pytest.raises(ConfigurationError) as caught:
            run_steps(SimTelArrayReader, **read_options(path))

        assert_one_line(caught, "--SimTelArrayReader.filename=FILE", f"'{path}'")

    @pytest.mark.filterwarnings("ignore::tables.exceptions.UnclosedFileWarning")
    def test_a_file_without_waveforms(self, toy_files, tmp_path):
        path = tmp_path / "triggers.h5"
        with (
            EventSource(toy_files.mono, max_events=1) as source,
            DataWriter(event_source=source, output_path=path, write_dl1_parameters=False) as write,
        ):
            for event in source:
                write(event)

        with pytest.raises(ConfigurationError) as caught:
            run_steps(SimTelArrayReader, **read_options(path))

        assert_one_line(caught, "SimTelArrayReader.filename", str(path), "no R1 waveforms")


class TestStringWriter:
    def test_writes_lines_in_the_order_of_arrival(self, tmp_path):
        path = tmp_path / "lines.txt"

        run_steps(
            producer_of("one", "two", "Ħillas"),
            consumer=StringWriter,
            StringWriter={"filename": str(path)},
        )

        assert path.read_text(encoding="utf-8") == "one\ntwo\nĦillas\n"

    def test_replaces_the_file_even_if_nothing_arrives(self, tmp_path):
        path = tmp_path / "lines.txt"
        path.write_text("old\n")

        run_steps(producer_of(), consumer=StringWriter, StringWriter={"filename": str(path)})

        assert path.read_text() == ""

    def test_has_a_default_file(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        run_steps(producer_of("line"), consumer=StringWriter)

        assert (tmp_path / "string_writer.txt").read_text() == "line\n"


@pytest.mark.parametrize("consumer", [StringWriter, FakeProcess2])
@pytest.mark.parametrize("filename", ["missing/lines.txt", "."], ids=["no directory", "directory"])
def test_an_output_that_cannot_be_written(consumer, filename, tmp_path):
    name = consumer.__name__

    with pytest.raises(ConfigurationError) as caught:
        run_steps(FakeProducer, consumer=consumer, **{name: {"filename": str(tmp_path / filename)}})

    assert_one_line(caught, f"--{name}.filename=FILE", f"'{tmp_path / filename}'")


def test_a_file_that_is_read_is_not_written(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("kept")

    class ReadsIt(FakeProducer):
        def init(self):
            Provenance().add_input_file(path, add_meta=False)

    Provenance().start_activity("test")
    with pytest.raises(ConfigurationError) as caught:
        run_steps(ReadsIt, consumer=StringWriter, StringWriter={"filename": str(path)})

    Provenance().finish_activity("test")
    assert_one_line(caught, "is read by this run", "--StringWriter.filename=FILE")
    assert path.read_text() == "kept"


class TestShuntTelescope:
    @staticmethod
    def shunt(telescope_types, **options):
        events = [
            TelescopeEvent(i, i, telescope_type, "", np.zeros((1, 1, 1)))
            for i, telescope_type in enumerate(telescope_types)
        ]

        class MarkLST:
            def run(self, event):
                return ("LST", event.telescope_type)

        class MarkOther:
            def run(self, event):
                return ("other", event.telescope_type)

        run(
            {
                "Pipeline": {
                    "producer_conf": {
                        "name": "PRODUCER",
                        "class": producer_of(*events),
                        "next_steps": "SHUNT",
                    },
                    "stagers_conf": [
                        {"name": "SHUNT", "class": ShuntTelescope, "next_steps": ["LARGE", "REST"]},
                        {"name": "LARGE", "class": MarkLST, "next_steps": "CONSUMER"},
                        {"name": "REST", "class": MarkOther, "next_steps": "CONSUMER"},
                    ],
                    "consumer_conf": {"name": "CONSUMER", "class": Collector},
                },
                "ShuntTelescope": options,
            }
        )
        return Collector.messages

    def test_lsts_go_one_way_and_all_others_another(self):
        messages = self.shunt(
            ["LST", "MST", "SST", "LST", "UNKNOWN"], lst_step="LARGE", other_step="REST"
        )

        assert sorted(messages) == [
            ("LST", "LST"),
            ("LST", "LST"),
            ("other", "MST"),
            ("other", "SST"),
            ("other", "UNKNOWN"),
        ]

    @pytest.mark.parametrize("option", ["lst_step", "other_step"])
    def test_a_step_that_it_does_not_send_to(self, option):
        options = {"lst_step": "LARGE", "other_step": "REST", option: "SMALL"}

        with pytest.raises(ConfigurationError) as caught:
            self.shunt([], **options)

        assert_one_line(caught, f"ShuntTelescope.{option}", "'SMALL'", "LARGE, REST")


def assert_one_line(caught, *parts):
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
