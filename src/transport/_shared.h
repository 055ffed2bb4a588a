/* Memory that the processes of a run share: where the large buffers of messages lie.
 *
 * The segment is divided into pages. A block is a run of pages and is named by the number
 * of its first one, as the segment's page 0 is the header's, so that 0 names no block.
 * There is an entry for each page; that of a block's first page is the block's. So there
 * is always an entry for a new block, and none that could be lost.
 *
 *     header  entries  control  arena 0  arena 1 ...
 *
 * An arena is one sender's. Its blocks follow each other without a gap, so that each says
 * where the next one is. Only the arena's owner divides and joins them, with one store, so
 * that a process that is killed between any two instructions leaves an arena whole.
 *
 * Everybody else only changes states. A state says who needs the block; whoever is the
 * last to let go of it has freed it by that.
 */
#ifndef CTAPIPE_PIPELINE_SHARED_H
#define CTAPIPE_PIPELINE_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* Linux maps shared memory copy on write, and shows in it what others write to a page
 * until that is copied. Others do not have to, and macOS refuses. */
#if defined(__linux__) && !defined(SHARED_MAPS_PRIVATE)
#define SHARED_MAPS_PRIVATE 1
#elif !defined(SHARED_MAPS_PRIVATE)
#define SHARED_MAPS_PRIVATE 0
#endif

typedef struct {
    uint32_t pages;
    uint32_t state;
} shared_entry;

typedef struct {
    uint32_t first;
    uint32_t end;
} shared_arena;

typedef struct {
    uint64_t magic;
    uint64_t size;
    uint64_t control; /* where it begins, bytes */
    uint64_t control_size;
    uint32_t page_size;
    uint32_t n_pages;
    uint32_t entries; /* where they begin, bytes */
    uint32_t n_arenas;
    shared_arena arenas[];
} shared_memory;

/* To be changed with the layout, so that no other version's is attached. */
#define SHARED_MAGIC UINT64_C(0x6374617069706502)

/* The states; of none of them, a block is free. */
enum {
    SHARED_HOLDER = 0xffff,   /* a receiver's arrays lie on it: its number, plus one */
    SHARED_WRITTEN = 1 << 16, /* its sender has it, the router knows nothing of it */
    SHARED_SENT = 1 << 17,    /* the router has accepted the message that it is of */
};

/* The numbers of receivers are less than this. */
enum { SHARED_MOST_HOLDERS = SHARED_HOLDER };

/* So that arrays lie on cache lines of their own, bytes. */
enum { SHARED_ALIGNMENT = 64 };

static inline shared_entry *shared_entries(const shared_memory *memory) {
    return (shared_entry *) ((char *) memory + memory->entries);
}

static inline uint32_t shared_state(const shared_memory *memory, uint64_t block) {
    return __atomic_load_n(&shared_entries(memory)[block].state, __ATOMIC_ACQUIRE);
}

/* How many pages a block has. The router reads it while the owner changes it. */
static inline uint32_t shared_pages(const shared_memory *memory, uint64_t block) {
    return __atomic_load_n(&shared_entries(memory)[block].pages, __ATOMIC_ACQUIRE);
}

static inline void shared_set_pages(shared_memory *memory, uint64_t block, uint64_t pages) {
    __atomic_store_n(&shared_entries(memory)[block].pages, (uint32_t) pages, __ATOMIC_RELEASE);
}

/* Take a state away from a block: the last thing that its holder does with it. */
static inline uint32_t shared_clear(shared_memory *memory, uint64_t block, uint32_t state) {
    return __atomic_fetch_and(&shared_entries(memory)[block].state, ~state, __ATOMIC_ACQ_REL);
}

static inline int shared_change(
        shared_memory *memory, uint64_t block, uint32_t from, uint32_t to) {
    if (block >= memory->n_pages)
        return -1;
    return __atomic_compare_exchange_n(
        &shared_entries(memory)[block].state, &from, to, 0, __ATOMIC_ACQ_REL,
        __ATOMIC_RELAXED) ? 0 : -1;
}

/* ------------------------------------------------------------------ the owner of an arena */

/* A block of at least this size, WRITTEN; 0 if there is no room.
 *
 * The first that is large enough: what is used stays small, and in the cache.
 */
static inline uint64_t shared_allocate(shared_memory *memory, uint32_t arena, uint64_t size) {
    const uint64_t end = memory->arenas[arena].end;
    const uint64_t wanted = size ? (size - 1) / memory->page_size + 1 : 1;
    uint64_t block, pages, next;
    for (block = memory->arenas[arena].first; block < end; block += pages) {
        pages = shared_pages(memory, block);
        if (pages == 0)
            return 0; /* somebody has written where they must not */
        if (shared_state(memory, block))
            continue;
        next = block + pages;
        while (pages < wanted && next < end && shared_state(memory, next) == 0) {
            pages += shared_pages(memory, next);
            next = block + pages;
        }
        if (pages < wanted) {
            /* So that the next search is shorter. */
            shared_set_pages(memory, block, pages);
            continue;
        }
        if (pages > wanted)
            shared_set_pages(memory, block + wanted, pages - wanted);
        shared_set_pages(memory, block, wanted);
        __atomic_store_n(
            &shared_entries(memory)[block].state, SHARED_WRITTEN, __ATOMIC_RELEASE);
        return block;
    }
    return 0;
}

/* -------------------------------------------------------------------------- the router */

/* Its message is accepted: the block is the router's; 0, or -1 if it is not WRITTEN. */
static inline int shared_mark_sent(shared_memory *memory, uint64_t block) {
    return shared_change(memory, block, SHARED_WRITTEN, SHARED_SENT);
}

/* Its message is acknowledged or dropped: it is free once no array lies on it; 0, or -1
 * if it is no message's. */
static inline int shared_free(shared_memory *memory, uint64_t block) {
    const uint32_t message = SHARED_WRITTEN | SHARED_SENT;
    if (block >= memory->n_pages)
        return -1;
    return shared_clear(memory, block, message) & message ? 0 : -1;
}

/* What a dead sender has not brought to the router is free; 0, or -1 for a wrong number.
 * No other may have the arena yet. */
static inline int shared_reclaim_arena(shared_memory *memory, uint32_t arena) {
    uint64_t block, pages;
    if (arena >= memory->n_arenas)
        return -1;
    for (block = memory->arenas[arena].first; block < memory->arenas[arena].end; block += pages) {
        pages = shared_pages(memory, block);
        if (pages == 0)
            return -1;
        if (shared_state(memory, block) & SHARED_WRITTEN)
            shared_clear(memory, block, SHARED_WRITTEN);
    }
    return 0;
}

/* No array of a dead receiver lies on anything: what is still SENT can be given to another
 * one, the rest is free; 0, or -1 for a wrong number.
 *
 * The owners of the arenas may divide and join free blocks meanwhile. A block that was
 * joined to the one before it still says where it ended, and no block of the receiver's is
 * ever joined to another, so none is missed.
 */
static inline int shared_reclaim_holder(shared_memory *memory, uint32_t holder) {
    uint64_t block, pages;
    uint32_t arena;
    if (holder >= SHARED_MOST_HOLDERS)
        return -1;
    for (arena = 0; arena < memory->n_arenas; arena++) {
        const uint64_t end = memory->arenas[arena].end;
        for (block = memory->arenas[arena].first; block < end; block += pages) {
            pages = shared_pages(memory, block);
            if (pages == 0)
                return -1;
            if ((shared_state(memory, block) & SHARED_HOLDER) == holder + 1)
                shared_clear(memory, block, SHARED_HOLDER);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------ a receiver */

/* A receiver's arrays come to lie on it; 0, or -1 if it is not SENT or has a holder. */
static inline int shared_hold(shared_memory *memory, uint64_t block, uint32_t holder) {
    if (holder >= SHARED_MOST_HOLDERS)
        return -1;
    return shared_change(memory, block, SHARED_SENT, SHARED_SENT | (holder + 1));
}

/* The last of them is gone. */
static inline void shared_let_go(shared_memory *memory, uint64_t block) {
    shared_clear(memory, block, SHARED_HOLDER);
}

/* Whether a part of a private mapping may have been written to, as /proc/self/pagemap says,
 * of which `pagemap` is a descriptor, or -1. */
static inline int shared_may_be_changed(
        int pagemap, const void *part, size_t size, size_t page_size) {
    const uint64_t there = UINT64_C(3) << 62; /* in memory, or swapped */
    const uint64_t of_file = UINT64_C(1) << 61; /* and not a copy of the file's page */
    uint64_t entries[512];
    uint64_t page = (uintptr_t) part / page_size;
    const uint64_t end = page + size / page_size;
    while (page < end) {
        const size_t n = end - page < 512 ? end - page : 512;
        size_t i;
        if (pread(pagemap, entries, n * 8, (off_t) (page * 8)) != (ssize_t) (n * 8))
            return 1;
        for (i = 0; i < n; i++)
            if (entries[i] & there && !(entries[i] & of_file))
                return 1;
        page += n;
    }
    return 0;
}

/* Forget what was changed in a part of a private mapping, so that what others write there
 * is seen again; 0, or -1 if it cannot be done.
 *
 * Pages that were only read stay where they are: to find them again, one by one, takes
 * longer than to copy them.
 */
static inline int shared_forget(int pagemap, void *part, size_t size, size_t page_size) {
#if SHARED_MAPS_PRIVATE
    if (!shared_may_be_changed(pagemap, part, size, page_size))
        return 0;
    return madvise(part, size, MADV_DONTNEED);
#else
    (void) pagemap;
    (void) part;
    (void) size;
    (void) page_size;
    return -1;
#endif
}

#endif
