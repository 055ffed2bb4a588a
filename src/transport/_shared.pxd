"""Memory that the processes of a run share (see `_shared.h`)."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from "_shared.h" nogil:
    ctypedef struct shared_entry:
        uint32_t pages
        uint32_t state

    ctypedef struct shared_arena:
        uint32_t first
        uint32_t end

    ctypedef struct shared_memory:
        uint64_t magic
        uint64_t size
        uint64_t control
        uint64_t control_size
        uint32_t page_size
        uint32_t n_pages
        uint32_t entries
        uint32_t n_arenas
        shared_arena *arenas

    const uint64_t SHARED_MAGIC
    const bint SHARED_MAPS_PRIVATE
    const uint32_t SHARED_HOLDER
    const uint32_t SHARED_WRITTEN
    const uint32_t SHARED_SENT
    const uint32_t SHARED_MOST_HOLDERS
    const uint64_t SHARED_ALIGNMENT

    uint32_t shared_state(const shared_memory *memory, uint64_t block)
    uint32_t shared_pages(const shared_memory *memory, uint64_t block)
    void shared_set_pages(shared_memory *memory, uint64_t block, uint64_t pages)

    uint64_t shared_allocate(shared_memory *memory, uint32_t arena, uint64_t size)

    int shared_mark_sent(shared_memory *memory, uint64_t block)
    int shared_free(shared_memory *memory, uint64_t block)
    int shared_reclaim_arena(shared_memory *memory, uint32_t arena)
    int shared_reclaim_holder(shared_memory *memory, uint32_t holder)

    int shared_hold(shared_memory *memory, uint64_t block, uint32_t holder)
    void shared_let_go(shared_memory *memory, uint64_t block)
    int shared_forget(int pagemap, void *part, size_t size, size_t page_size)
