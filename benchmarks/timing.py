"""How a workload is timed."""

__all__ = ["messages_per_s"]


def messages_per_s(system, workload, **options):
    """Run a workload, see that every message arrived, and say how fast it was.

    Parameters
    ----------
    system : callable
        Takes the workload and the options, and returns seconds.
    workload : Workload
        What to run; once only, because it counts.
    **options
        For the system.
    """
    seconds = system(workload, **options)
    assert workload.consumer.received == workload.n
    return workload.n / seconds
