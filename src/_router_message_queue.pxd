"""First in, first out: the messages that wait for a step."""

from libc.stdlib cimport free, malloc

from _libzmq cimport zmq_msg_t
from _router_messages cimport DroppedMessages, drop_message, move_message


cdef struct MessageQueue:
    zmq_msg_t *slots
    size_t capacity
    size_t first
    size_t length


cdef inline int push_back(MessageQueue *queue, zmq_msg_t *message) noexcept nogil:
    cdef size_t i, capacity
    cdef zmq_msg_t *slots
    if queue.length == queue.capacity:
        capacity = 2 * queue.capacity if queue.capacity else 16
        slots = <zmq_msg_t *> malloc(capacity * sizeof(zmq_msg_t))
        if slots is NULL:
            return -1
        for i in range(queue.length):
            move_message(&slots[i], &queue.slots[(queue.first + i) & (queue.capacity - 1)])
        free(queue.slots)
        queue.slots = slots
        queue.capacity = capacity
        queue.first = 0
    move_message(&queue.slots[(queue.first + queue.length) & (queue.capacity - 1)], message)
    queue.length += 1
    return 0


cdef inline int push_front(MessageQueue *queue, zmq_msg_t *message) noexcept nogil:
    """Put a message before all others."""
    cdef size_t last
    # At the end first, which makes room.
    if push_back(queue, message) < 0:
        return -1
    last = (queue.first + queue.length - 1) & (queue.capacity - 1)
    queue.first = (queue.first - 1) & (queue.capacity - 1)
    if last != queue.first:
        move_message(&queue.slots[queue.first], &queue.slots[last])
    return 0


cdef inline zmq_msg_t *pop_front(MessageQueue *queue) noexcept nogil:
    """The first message: to be used before the next push."""
    cdef zmq_msg_t *message = &queue.slots[queue.first]
    queue.first = (queue.first + 1) & (queue.capacity - 1)
    queue.length -= 1
    return message


cdef inline void drop_queue(MessageQueue *queue, DroppedMessages *dropped) noexcept nogil:
    while queue.length:
        drop_message(pop_front(queue), dropped)
