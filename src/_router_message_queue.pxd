"""First in, first out: the messages that wait for a step."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

from _libzmq cimport zmq_msg_t
from _router_messages cimport DroppedMessages, drop_message, move_message


cdef struct MessageQueue:
    zmq_msg_t *slots
    # Since when each has waited.
    uint64_t *since
    size_t capacity
    size_t first
    size_t length


cdef inline void free_slots(MessageQueue *queue) noexcept nogil:
    free(queue.slots)
    free(queue.since)
    queue.slots = NULL
    queue.since = NULL


cdef inline int push_back(
    MessageQueue *queue, zmq_msg_t *message, uint64_t since
) noexcept nogil:
    cdef size_t i, last, capacity
    cdef zmq_msg_t *slots
    cdef uint64_t *grown
    if queue.length == queue.capacity:
        capacity = 2 * queue.capacity if queue.capacity else 16
        slots = <zmq_msg_t *> malloc(capacity * sizeof(zmq_msg_t))
        grown = <uint64_t *> malloc(capacity * sizeof(uint64_t))
        if slots is NULL or grown is NULL:
            free(slots)
            free(grown)
            return -1
        for i in range(queue.length):
            last = (queue.first + i) & (queue.capacity - 1)
            move_message(&slots[i], &queue.slots[last])
            grown[i] = queue.since[last]
        free_slots(queue)
        queue.slots = slots
        queue.since = grown
        queue.capacity = capacity
        queue.first = 0
    last = (queue.first + queue.length) & (queue.capacity - 1)
    move_message(&queue.slots[last], message)
    queue.since[last] = since
    queue.length += 1
    return 0


cdef inline int push_front(
    MessageQueue *queue, zmq_msg_t *message, uint64_t since
) noexcept nogil:
    """Put a message before all others."""
    cdef size_t last
    # At the end first, which makes room.
    if push_back(queue, message, since) < 0:
        return -1
    last = (queue.first + queue.length - 1) & (queue.capacity - 1)
    queue.first = (queue.first - 1) & (queue.capacity - 1)
    if last != queue.first:
        move_message(&queue.slots[queue.first], &queue.slots[last])
    queue.since[queue.first] = since
    return 0


cdef inline uint64_t waits_since(MessageQueue *queue) noexcept nogil:
    """Since when the first message has waited."""
    return queue.since[queue.first]


cdef inline zmq_msg_t *pop_front(MessageQueue *queue) noexcept nogil:
    """The first message: to be used before the next push."""
    cdef zmq_msg_t *message = &queue.slots[queue.first]
    queue.first = (queue.first + 1) & (queue.capacity - 1)
    queue.length -= 1
    return message


cdef inline void drop_queue(MessageQueue *queue, DroppedMessages *dropped) noexcept nogil:
    while queue.length:
        drop_message(pop_front(queue), dropped)
