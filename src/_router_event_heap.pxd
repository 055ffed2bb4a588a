"""The messages that wait for an ordered step, in the order of their events.

A binary heap (Knuth, The Art of Computer Programming 3, section 5.2.3): the first event first,
and its messages in the order in which they came.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

from _libzmq cimport zmq_msg_t
from _router_messages cimport DroppedMessages, drop_message, header_of, move_message


cdef struct EventHeapEntry:
    uint64_t event
    int64_t arrival
    # Since when it has waited.
    uint64_t since
    zmq_msg_t *message


cdef struct EventHeap:
    EventHeapEntry *entries
    size_t capacity
    size_t length
    int64_t first_arrival
    int64_t last_arrival


cdef inline bint comes_before(EventHeapEntry *one, EventHeapEntry *other) noexcept nogil:
    return one.event < other.event or (one.event == other.event and one.arrival < other.arrival)


cdef inline int push_by_event(
    EventHeap *heap, zmq_msg_t *message, uint64_t since, bint returned
) noexcept nogil:
    """Add a message; one that is returned comes before the others of its event."""
    cdef EventHeapEntry entry
    cdef EventHeapEntry *grown
    cdef size_t i, parent
    cdef size_t capacity
    if heap.length == heap.capacity:
        capacity = 2 * heap.capacity if heap.capacity else 16
        grown = <EventHeapEntry *> realloc(heap.entries, capacity * sizeof(EventHeapEntry))
        if grown is NULL:
            return -1
        heap.entries = grown
        heap.capacity = capacity
    entry.message = <zmq_msg_t *> malloc(sizeof(zmq_msg_t))
    if entry.message is NULL:
        return -1
    entry.event = header_of(message).value
    entry.since = since
    if returned:
        heap.first_arrival -= 1
        entry.arrival = heap.first_arrival
    else:
        heap.last_arrival += 1
        entry.arrival = heap.last_arrival
    move_message(entry.message, message)
    i = heap.length
    heap.length += 1
    while i > 0:
        parent = (i - 1) // 2
        if not comes_before(&entry, &heap.entries[parent]):
            break
        heap.entries[i] = heap.entries[parent]
        i = parent
    heap.entries[i] = entry
    return 0


cdef inline void pop_first_event(EventHeap *heap, zmq_msg_t *message) noexcept nogil:
    cdef EventHeapEntry last
    cdef size_t i = 0
    cdef size_t child
    move_message(message, heap.entries[0].message)
    free(heap.entries[0].message)
    heap.length -= 1
    last = heap.entries[heap.length]
    while True:
        child = 2 * i + 1
        if child >= heap.length:
            break
        if child + 1 < heap.length and comes_before(
            &heap.entries[child + 1], &heap.entries[child]
        ):
            child += 1
        if not comes_before(&heap.entries[child], &last):
            break
        heap.entries[i] = heap.entries[child]
        i = child
    heap.entries[i] = last


cdef inline void drop_heap(EventHeap *heap, DroppedMessages *dropped) noexcept nogil:
    cdef size_t i
    for i in range(heap.length):
        drop_message(heap.entries[i].message, dropped)
        free(heap.entries[i].message)
    heap.length = 0
