/* What travels between a worker and the router.
 *
 * Every message starts with this header. Between threads the address of a Python object
 * follows it in a message or a job, which owns one reference to it. Twenty-four bytes fit
 * into a zmq_msg_t, so that none of them needs memory of its own. From or to a process a
 * `wire_packed` follows.
 */
#ifndef CTAPIPE_PIPELINE_WIRE_H
#define CTAPIPE_PIPELINE_WIRE_H

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "_libzmq.h"

/* What comes from another process lies anywhere in the buffer that libzmq has read it into. */
#define WIRE_UNALIGNED __attribute__((packed))

typedef struct WIRE_UNALIGNED {
    uint8_t kind;
    uint8_t mark;    /* ACKNOWLEDGE: WIRE_FAILED, WIRE_SKIPPED. MESSAGE, JOB: what the object is */
    uint16_t step;   /* MESSAGE: the index of the step that it is for */
    uint32_t jobs;   /* ACKNOWLEDGE: how many jobs ended. MESSAGE, JOB: how many workers
                      * have died with it */
    uint64_t value;  /* MESSAGE, JOB: event number. ACKNOWLEDGE: busy time in ns */
} wire_header;

enum {
    WIRE_MESSAGE = 1,  /* worker to router: a message for a step */
    WIRE_ACKNOWLEDGE,  /* worker to router: jobs ended, all they sent came before */
    WIRE_GOODBYE,      /* worker to router: nothing will follow */
    WIRE_READY,        /* worker process to router: it takes jobs from now on */
    WIRE_JOB,          /* router to worker: a message to work on */
    WIRE_STOP,         /* router to worker: no job will follow */
};

enum {
    WIRE_FAILED = 1, /* the last of the jobs raised an exception; the run ends */
    WIRE_SKIPPED,    /* the last of the jobs lost a message; the run goes on */
};

enum {
    WIRE_OBJECT = 1,         /* the message itself */
    WIRE_PICKLE,             /* its pickle, bytes */
    WIRE_PICKLE_AND_BUFFERS, /* its pickle, and the list of the buffers out of it */
    WIRE_PACKED,             /* no object: a wire_packed follows */
};

/* A message that can leave the process.
 *
 * The sizes of its buffers, 8 bytes each, and the pickle follow, then the buffers, if they
 * are not in shared memory.
 */
typedef struct WIRE_UNALIGNED {
    uint64_t block; /* of shared memory; 0 if its buffers follow */
    uint32_t n_buffers;
    uint32_t pickle_size;
} wire_packed;

/* What the router, its workers and the main thread tell each other besides. */
typedef struct {
    int producing_ended;  /* the producer must stop; what it sent runs out */
    int discarding;       /* the run has failed: nothing more is worked on */
} wire_flags;

/* How much a worker and the router have sent each other, each written by one of them.
 *
 * A reader that takes no more than this never finds a socket empty, so that libzmq
 * need not signal the next message through the kernel; only a reader that is about to
 * sleep looks into an empty socket. On a cache line each.
 */
typedef struct {
    uint64_t sent;  /* messages that the worker has sent to the router */
    char line_of_its_own[56];
    uint64_t given; /* messages that the router has sent to the worker */
    char another_line[56];
    uint64_t begun; /* jobs that the worker has begun; hardly anybody reads it */
    char a_third_line[56];
} wire_counts;

/* What Python reserves in the memory that processes share, bytes; a cache line for the flags. */
enum { WIRE_FLAGS_SIZE = 64, WIRE_COUNTS_SIZE = 192 };

_Static_assert(sizeof(wire_header) == 16, "with an address, it fits into a zmq_msg_t");
_Static_assert(sizeof(wire_packed) == 16, "the sizes after it are aligned");
_Static_assert(sizeof(wire_flags) <= WIRE_FLAGS_SIZE, "Python reserves enough");
_Static_assert(sizeof(wire_counts) == WIRE_COUNTS_SIZE, "Python reserves as much");
_Static_assert(offsetof(wire_counts, given) == 64, "each is on a cache line of its own");

static inline uint64_t count_of(const uint64_t *count) {
    return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

static inline void set_count(uint64_t *count, uint64_t value) {
    __atomic_store_n(count, value, __ATOMIC_RELEASE);
}

/* How often a worker lets the other threads run before it goes to sleep: tens of
 * microseconds. To sleep would cost it and whoever wakes it about as much. */
enum { WIRE_YIELDS = 50 };

/* Whether a count is greater than a value, or becomes so before long. */
static inline int soon_greater(const uint64_t *count, uint64_t value) {
    int i;
    for (i = 0; i < WIRE_YIELDS && count_of(count) <= value; i++)
        sched_yield();
    return count_of(count) > value;
}

/* Send a frame if there is room for it, or is while the other threads run `yields` times:
 * 0 or more, or -1 with zmq_errno(), EAGAIN if there is none. */
static inline int send_soon(void *socket, zmq_msg_t *frame, int more, int yields) {
    int events;
    size_t length = sizeof(events);
    int rc = zmq_msg_send(frame, socket, ZMQ_DONTWAIT | more);
    while (rc < 0 && zmq_errno() == EAGAIN && yields-- > 0) {
        /* Sending does not look for the news that there is room again; this does. */
        zmq_getsockopt(socket, ZMQ_EVENTS, &events, &length);
        rc = zmq_msg_send(frame, socket, ZMQ_DONTWAIT | more);
        if (rc < 0 && yields > 0)
            sched_yield();
    }
    return rc;
}

static inline int flag_is_up(const int *flag) {
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline void set_flag(int *flag, int value) {
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

static inline void raise_flag(int *flag) {
    set_flag(flag, 1);
}

#endif
