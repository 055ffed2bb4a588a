"""What each worker was at, and when: a ring that keeps the last records."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc

cdef enum:
    TRACED_JOBS
    TRACED_BLOCKED


cdef struct TraceRecord:
    # Monotonic time, ns.
    uint64_t begin
    uint64_t end
    # The last one, of several jobs that were acknowledged together.
    uint64_t event
    uint32_t worker
    uint16_t kind
    uint16_t jobs


cdef struct Trace:
    # NULL if nothing is recorded.
    TraceRecord *records
    uint64_t capacity
    uint64_t n_recorded


cdef inline int begin_trace(Trace *trace, uint64_t capacity) noexcept nogil:
    trace.records = <TraceRecord *> calloc(capacity, sizeof(TraceRecord))
    trace.capacity = capacity
    return -1 if trace.records is NULL else 0


cdef inline void record(Trace *trace, TraceRecord *what) noexcept nogil:
    if trace.records is not NULL:
        trace.records[trace.n_recorded % trace.capacity] = what[0]
        trace.n_recorded += 1
