"""How many messages of each event there are: a hash table with open addressing."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free


cdef enum:
    # What has become of an event; a bit that no count of messages reaches.
    EVENT_ENDED = 1
    EVENT_LOST = 1 << 30


cdef struct EventCounts:
    # Their numbers plus one; 0 is an empty slot.
    uint64_t *events
    # With `EVENT_LOST`, if a message of the event has failed.
    uint32_t *counts
    # When the first message of each came.
    uint64_t *begun
    size_t capacity
    # 64 less the binary logarithm of the capacity.
    int shift
    size_t length


cdef inline void free_counts(EventCounts *table) noexcept nogil:
    free(table.events)
    free(table.counts)
    free(table.begun)
    table.events = NULL
    table.counts = NULL
    table.begun = NULL


cdef inline size_t home_of(EventCounts *table, uint64_t event) noexcept nogil:
    """The slot where to begin to look for an event.

    Events that live follow one another; next to each other they would make one run of
    full slots, all of which a removal would go through. The golden ratio scatters them
    (Knuth, The Art of Computer Programming 3, section 6.4, Fibonacci hashing).
    """
    return (event * <uint64_t> 0x9E3779B97F4A7C15) >> table.shift


cdef inline size_t find_event(EventCounts *table, uint64_t event) noexcept nogil:
    cdef size_t slot = home_of(table, event)
    while table.events[slot] != 0 and table.events[slot] != event + 1:
        slot = (slot + 1) & (table.capacity - 1)
    return slot


cdef inline int grow_counts(EventCounts *table) noexcept nogil:
    cdef EventCounts grown
    cdef size_t i, slot
    grown.capacity = 2 * table.capacity if table.capacity else 256
    grown.shift = table.shift - 1 if table.capacity else 56
    grown.length = table.length
    grown.events = <uint64_t *> calloc(grown.capacity, sizeof(uint64_t))
    grown.counts = <uint32_t *> calloc(grown.capacity, sizeof(uint32_t))
    grown.begun = <uint64_t *> calloc(grown.capacity, sizeof(uint64_t))
    if grown.events is NULL or grown.counts is NULL or grown.begun is NULL:
        free_counts(&grown)
        return -1
    for i in range(table.capacity):
        if table.events[i]:
            slot = find_event(&grown, table.events[i] - 1)
            grown.events[slot] = table.events[i]
            grown.counts[slot] = table.counts[i]
            grown.begun[slot] = table.begun[i]
    free_counts(table)
    table[0] = grown
    return 0


cdef inline bint has_messages(EventCounts *table, uint64_t event) noexcept nogil:
    return table.events[find_event(table, event)] != 0


cdef inline int count_message(EventCounts *table, uint64_t event, uint64_t time) noexcept nogil:
    cdef size_t slot
    if 2 * table.length >= table.capacity and grow_counts(table) < 0:
        return -1
    slot = find_event(table, event)
    if table.events[slot] == 0:
        table.events[slot] = event + 1
        table.counts[slot] = 0
        table.begun[slot] = time
        table.length += 1
    table.counts[slot] += 1
    return 0


cdef inline int discount_message(
    EventCounts *table, uint64_t event, bint failed, uint64_t *begun
) noexcept nogil:
    """0; if it was the last of its event, `EVENT_ENDED`, or `EVENT_LOST` if any has failed.

    Then ``begun`` is when the first message of the event came.
    """
    cdef size_t mask = table.capacity - 1
    cdef size_t slot = find_event(table, event)
    cdef size_t hole, home
    cdef int ended
    table.counts[slot] -= 1
    if failed:
        table.counts[slot] |= <uint32_t> EVENT_LOST
    if table.counts[slot] & ~<uint32_t> EVENT_LOST:
        return 0
    ended = EVENT_LOST if table.counts[slot] else EVENT_ENDED
    begun[0] = table.begun[slot]
    # Close the gap, so that no search ends at it too early (Knuth, The Art of
    # Computer Programming 3, section 6.4, algorithm R).
    table.length -= 1
    hole = slot
    while True:
        slot = (slot + 1) & mask
        if table.events[slot] == 0:
            break
        home = home_of(table, table.events[slot] - 1)
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            table.events[hole] = table.events[slot]
            table.counts[hole] = table.counts[slot]
            table.begun[hole] = table.begun[slot]
            hole = slot
    table.events[hole] = 0
    return ended
