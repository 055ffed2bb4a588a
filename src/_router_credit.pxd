"""How many messages a worker may hold: those that wait behind the one it works on."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from _router_step_state cimport StepState
from _router_worker_state cimport WorkerState

cdef enum:
    # A power of two.
    MOST_CREDIT = 256
    # How much work may wait behind a running job, in ns (see docs/how_it_works.rst).
    WORK_AHEAD = 200_000
    # The same for a process. The way there and back takes several threads of two processes,
    # that may have to wait for a core that another worker computes on.
    WORK_AHEAD_OF_A_PROCESS = 20_000_000


cdef inline bint takes_more(WorkerState *worker, StepState *step) noexcept nogil:
    """Whether a worker may be given one more message."""
    if step.most_jobs and worker.kept is not NULL:
        if worker.n_acknowledged + worker.n_given >= step.most_jobs:
            return False
    return worker.n_given < worker.credit


cdef inline void choose_credit(
    WorkerState *worker, int64_t queue_limit, uint64_t job_time
) noexcept nogil:
    """As many messages ahead as make `WORK_AHEAD`; a slow job counts at once."""
    cdef uint64_t most = MOST_CREDIT
    cdef uint64_t ahead = WORK_AHEAD if worker.kept is NULL else WORK_AHEAD_OF_A_PROCESS
    if queue_limit >= 0:
        most = min(most, <uint64_t> queue_limit)
    worker.job_time = max(job_time, (worker.job_time + job_time) // 2)
    worker.credit = <uint32_t> min(most, 1 + ahead // (worker.job_time + 1))
