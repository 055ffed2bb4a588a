"""How many, how large, named how: as far as it goes, and what is said beyond."""

import resource

import numpy as np
import psutil
import pytest
from common_steps import Pass, collector, numbers

from ctapipe.pipeline import ConfigurationError, StepError, run
from ctapipe.pipeline._router import Router

GB = 1 << 30
MORE_THAN_4_GB = 4 * GB + 12345


def run_stages(stages, executor="threads", producer=None, **options):
    """What arrives at the end, of the numbers below 20."""
    collect = collector()
    run(
        {
            "Pipeline": {
                "executor": executor,
                "producer_conf": {"name": "Producer", "class": producer or numbers()},
                "stagers_conf": stages,
                "consumer_conf": {"name": "Consumer", "class": collect, "ordered": True},
                **options,
            }
        }
    )
    return collect.received


@pytest.fixture
def many_files():
    """As many open files as a thousand workers need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 5000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_steps(executor_here):
    stages = [{"name": f"Stage{i}", "class": Pass} for i in range(1000)]
    assert run_stages(stages, executor_here) == list(range(20))


def test_a_thousand_chained_steps(executor_here):
    stages = [{"name": f"Stage{i}", "class": Pass, "chained": i > 0} for i in range(1000)]
    assert run_stages(stages, executor_here) == list(range(20))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_workers():
    assert run_stages([{"name": "Stage", "class": Pass, "nb_thread": 1000}]) == list(range(20))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_two_hundred_worker_processes():
    stages = [{"name": "Stage", "class": Pass, "nb_thread": 200}]
    assert run_stages(stages, "processes") == list(range(20))


def test_more_steps_than_a_header_can_name():
    with pytest.raises(ValueError, match="65537 steps are too many"):
        Router([(-1, rank, 0, None, 0) for rank in range(65537)])


def test_more_stages_than_a_message_can_be_sent_to():
    message = r"Pipeline.stagers_conf has 65535 steps; 65534 is the most"
    with pytest.raises(ConfigurationError, match=message):
        run_stages([{"name": f"Stage{i}", "class": Pass} for i in range(65535)])


def test_more_shared_memory_than_there_can_be():
    with pytest.raises(ConfigurationError, match="shared_memory_mb: there cannot be 100000000 MB"):
        run_stages([{"name": "Stage", "class": Pass}], "processes", shared_memory_mb=10**8)


def test_names_in_any_script(executor):
    names = [
        "校准器",
        "مُعايِر",
        "🔭👩‍🚀",
        "e\u0301toile",
        "\u202eright to left\u202c",
        "half of a pair: \ud83d",
        "two\nlines",
        "nothing\0",
        "a/b c.d:e",
        "光" * 1000,
    ]
    stages = [{"name": name, "class": Pass} for name in names]
    assert run_stages(stages, executor) == list(range(20))


def test_a_failure_in_a_step_of_any_name(executor):
    class Fails:
        def run(self, message):
            raise ValueError("no")

    with pytest.raises(StepError, match="step '校准器🔭' raised ValueError"):
        run_stages([{"name": "校准器🔭", "class": Fails}], executor)


class LargeArray:
    def run(self):
        array = np.zeros(MORE_THAN_4_GB, np.uint8)
        array[-1] = 7
        yield array


class LargeBytes:
    def run(self):
        yield bytes(MORE_THAN_4_GB)


class Describe:
    def run(self, message):
        return len(message), int(message[0]), int(message[-1])


def needs_memory(size):
    available = psutil.virtual_memory().available
    return pytest.mark.skipif(available < size, reason=f"needs {size // GB} GB of memory")


@pytest.mark.full
@pytest.mark.timeout(600)
@needs_memory(12 * GB)
@pytest.mark.parametrize("where", ["threads", "processes"])
def test_an_array_of_more_than_4_gb(where):
    stages = [{"name": "Pass", "class": Pass, "executor": "threads"}] if where == "threads" else []
    stages.append({"name": "Describe", "class": Describe})
    received = run_stages(stages, where, LargeArray, shared_memory_mb=10_000)
    assert received == [(MORE_THAN_4_GB, 0, 7)]


@pytest.mark.full
@pytest.mark.timeout(600)
@needs_memory(12 * GB)
def test_bytes_of_more_than_4_gb():
    stages = [{"name": "Describe", "class": Describe}]
    assert run_stages(stages, "threads", LargeBytes) == [(MORE_THAN_4_GB, 0, 0)]
    with pytest.raises(StepError) as raised:
        run_stages(stages, "processes", LargeBytes)
    assert "is too large for a message, which takes less than 4 GB" in str(raised.value.__cause__)
