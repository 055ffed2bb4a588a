/* Memory for the large buffers of messages, used again and again.
 *
 * The kernel clears every page of fresh memory when it is first touched, which takes
 * longer than the copy of an array into it, and the cache knows nothing of it. So what
 * comes back is kept for the next message. Buffers of one size class are used last in,
 * first out.
 *
 * A receiver keeps a buffer for as long as it likes and gives it back in any thread:
 * a mutex guards the pool, which lives until its owner and every buffer have gone.
 */
#ifndef CTAPIPE_PIPELINE_BUFFERS_H
#define CTAPIPE_PIPELINE_BUFFERS_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "_libzmq.h"

enum {
    SIZE_CLASSES = 128,
    ALIGNMENT = 64,
};

/* How much memory is kept at most, bytes. */
static const size_t MOST_KEPT = 64 << 20;

typedef struct buffer {
    struct buffer_pool *pool;
    struct buffer *next;
    int size_class;
} buffer;

typedef struct buffer_pool {
    pthread_mutex_t mutex;
    buffer *kept[SIZE_CLASSES];
    size_t kept_size;
    size_t users;
} buffer_pool;

/* Four to an octave, from 4 kB on: a fifth of a buffer is unused at most. */
static inline size_t capacity_of(int size_class) {
    return (size_t)(4 + size_class % 4) << (10 + size_class / 4);
}

static inline int size_class_of(size_t size) {
    int size_class = 0;
    while (size_class < SIZE_CLASSES - 4 && capacity_of(size_class + 4) < size)
        size_class += 4;
    while (size_class < SIZE_CLASSES - 1 && capacity_of(size_class) < size)
        size_class++;
    return size_class;
}

static inline buffer_pool *new_pool(void) {
    buffer_pool *pool = (buffer_pool *)calloc(1, sizeof(buffer_pool));
    if (pool) {
        pthread_mutex_init(&pool->mutex, NULL);
        pool->users = 1;
    }
    return pool;
}

/* To be called with the mutex held, which it lets go of. */
static inline void drop_user(buffer_pool *pool) {
    size_t users = --pool->users;
    pthread_mutex_unlock(&pool->mutex);
    if (users == 0) {
        pthread_mutex_destroy(&pool->mutex);
        free(pool);
    }
}

/* For the owner: what is kept goes now, the pool itself with its last buffer. */
static inline void release_pool(buffer_pool *pool) {
    int i;
    buffer *next;
    pthread_mutex_lock(&pool->mutex);
    for (i = 0; i < SIZE_CLASSES; i++)
        for (; pool->kept[i]; pool->kept[i] = next) {
            next = pool->kept[i]->next;
            free(pool->kept[i]);
        }
    pool->kept_size = MOST_KEPT;
    drop_user(pool);
}

static inline void give_back(void *data, void *hint) {
    buffer *given = (buffer *)hint;
    buffer_pool *pool = given->pool;
    size_t capacity = capacity_of(given->size_class);
    (void)data;
    pthread_mutex_lock(&pool->mutex);
    if (pool->kept_size + capacity <= MOST_KEPT) {
        pool->kept_size += capacity;
        given->next = pool->kept[given->size_class];
        pool->kept[given->size_class] = given;
        given = NULL;
    }
    drop_user(pool);
    free(given);
}

/* Make a message of `size` bytes, whose memory goes back to the pool: 0, or -1. */
static inline int init_from_pool(zmq_msg_t *message, size_t size, buffer_pool *pool) {
    int size_class = size_class_of(size);
    size_t capacity = capacity_of(size_class);
    buffer *taken = NULL;
    if (capacity < size)
        return zmq_msg_init_size(message, size);
    pthread_mutex_lock(&pool->mutex);
    taken = pool->kept[size_class];
    if (taken) {
        pool->kept[size_class] = taken->next;
        pool->kept_size -= capacity;
    }
    pool->users++;
    pthread_mutex_unlock(&pool->mutex);
    if (!taken && posix_memalign((void **)&taken, ALIGNMENT, ALIGNMENT + capacity) == 0) {
        taken->pool = pool;
        taken->size_class = size_class;
    }
    if (taken &&
        zmq_msg_init_data(message, (char *)taken + ALIGNMENT, size, give_back, taken) == 0)
        return 0;
    pthread_mutex_lock(&pool->mutex);
    drop_user(pool);
    free(taken);
    errno = ENOMEM;
    return -1;
}

#endif
