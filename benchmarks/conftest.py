"""What the benchmarks share: the long form, and how a ratio is measured and judged."""

import statistics

import pytest
from bars import BARS

TRIES = 5
RESULTS = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption(
        "--long",
        action="store_true",
        help="the sizes that the documentation reports, and five tries of each",
    )


def pytest_configure(config):
    config.stash[RESULTS] = []
    # The table of pytest-benchmark would show how long it took to measure the ratios.
    config.option.benchmark_quiet = True


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def size(request):
    """Chooses a number of messages: ``size(short, long)``."""

    def choose(short, long):
        return long if request.config.getoption("--long") else short

    return choose


@pytest.fixture
def compare(request, benchmark):
    """Measures two things in turn and sees that their ratio is within the bar.

    In the long form the median is judged by the bar. In the short form the best has to be
    within the guard, and one try is enough, because what else the machine does can only
    make it worse.
    """
    long = request.config.getoption("--long")

    def call(name, measure, tries=TRIES):
        bar = BARS[name]
        pairs, ratios = [], []

        def measure_all():
            while len(ratios) < tries and (long or not any(map(bar.is_guarded, ratios))):
                numerator, denominator = measure()
                pairs.append((numerator, denominator))
                ratios.append(numerator / denominator)

        benchmark.group = name.partition(".")[0]
        benchmark.pedantic(measure_all, rounds=1)
        result = {
            "bar": name,
            "what": bar.ratio,
            "must_be": str(bar),
            "pairs": pairs,
            "ratios": ratios,
            "median": statistics.median(ratios),
            "best": bar.best(ratios),
            "holds": bar.holds(statistics.median(ratios)),
        }
        benchmark.extra_info.update(result)
        request.config.stash[RESULTS].append(result)
        if long and not result["holds"]:
            pytest.fail(f"{bar.ratio}: {result['median']:.3g} is not {bar}", pytrace=False)
        if not bar.is_guarded(result["best"]):
            pytest.fail(
                f"{bar.ratio}: {result['best']:.3g} is not near the guard, {bar.guard:g}",
                pytrace=False,
            )

    return call


def pytest_terminal_summary(terminalreporter, config):
    """The table of ratios."""
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section("ratios")
    terminalreporter.line(f"{'bar':<24}{'must be':>16}{'median':>10}{'best':>10}  of  what")
    for result in results:
        terminalreporter.line(
            f"{result['bar']:<24}{result['must_be']:>16}{result['median']:>10.3f}"
            f"{result['best']:>10.3f}{len(result['ratios']):>4}  {result['what']}"
            + ("" if result["holds"] else "  MISSED")
        )
