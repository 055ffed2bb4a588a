/* What travels between a worker and the router.
 *
 * Every message starts with this header, in the first frame; a pickle follows
 * it in the same frame, and its large buffers are frames of their own. Sixteen
 * bytes, so that a small pickle still fits into a zmq_msg_t without a malloc.
 */
#ifndef CTAPIPE_PIPELINE_WIRE_H
#define CTAPIPE_PIPELINE_WIRE_H

#include <stdint.h>

typedef struct {
    uint8_t kind;
    uint8_t failed;  /* ACKNOWLEDGE: how many of the jobs raised an exception */
    uint16_t step;   /* MESSAGE: the index of the step that it is for */
    uint32_t jobs;   /* ACKNOWLEDGE: how many jobs ended */
    uint64_t value;  /* MESSAGE, JOB: event number. ACKNOWLEDGE: busy time in ns */
} wire_header;

enum {
    WIRE_MESSAGE = 1,  /* worker to router: a message for a step */
    WIRE_ACKNOWLEDGE,  /* worker to router: jobs ended, all they sent came before */
    WIRE_GOODBYE,      /* worker to router: nothing will follow */
    WIRE_JOB,          /* router to worker: a message to work on */
    WIRE_STOP,         /* router to worker: no job will follow */
};

/* What the router, its workers and the main thread tell each other besides. */
typedef struct {
    int producing_ended;  /* the producer must stop; what it sent runs out */
    int discarding;       /* the run has failed: nothing more is worked on */
} wire_flags;

static inline int flag_is_up(const int *flag) {
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline void raise_flag(int *flag) {
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

#endif
