"""What the router knows of a step: who waits for it, who works for it, what it has done."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from _router_event_counts cimport EventCounts, free_counts
from _router_event_heap cimport EventHeap, drop_heap
from _router_message_queue cimport MessageQueue, drop_queue, free_slots
from _router_messages cimport DroppedMessages
from _router_worker_state cimport WorkerList


cdef struct StepState:
    int64_t queue_limit
    int rank
    uint32_t prefetch
    uint64_t most_jobs
    MessageQueue queue
    # For a step that is ordered: it waits in the heap instead, until no message of an
    # event before the first one is at an earlier step.
    bint ordered
    EventHeap heap
    # Per step, whether what it sends can come here; and which events have messages there.
    bint *comes_after
    EventCounts before
    uint64_t first_event
    # Workers without a job, the one that has waited longest first; then those
    # that have jobs but would take more.
    WorkerList idle
    WorkerList ready
    # Workers of other steps whose parked message is for this one.
    WorkerList senders
    # Counters; written by the router only.
    uint64_t received
    uint64_t done
    uint64_t failed
    uint64_t sent
    uint64_t busy
    uint64_t queue_peak
    uint64_t running
    # How long messages have waited, up to when a worker was given them.
    uint64_t *waits


cdef inline uint64_t n_waiting(StepState *step) noexcept nogil:
    return step.heap.length if step.ordered else step.queue.length


cdef inline void drop_waiting(StepState *step, DroppedMessages *dropped) noexcept nogil:
    drop_queue(&step.queue, dropped)
    drop_heap(&step.heap, dropped)


cdef inline void free_step(StepState *step) noexcept nogil:
    """Free what a step has in memory, when nothing waits for it any more."""
    free_slots(&step.queue)
    free(step.heap.entries)
    step.heap.entries = NULL
    free_counts(&step.before)
    free(step.comes_after)
    step.comes_after = NULL


cdef inline object counters_of(StepState *step):
    return {
        "received": step.received,
        "done": step.done,
        "failed": step.failed,
        "sent": step.sent,
        "running": step.running,
        "queue": n_waiting(step),
        "queue_peak": step.queue_peak,
        "busy_s": step.busy * 1e-9,
    }
