/* Makes allocations of the compiled core fail: to be preloaded (see failing_allocations.py).
 *
 * Of the core are the calls that return into a shared object in the directory that
 * FAILING_ALLOCATIONS names. What Python allocates is left alone, and what libzmq does
 * inside of its functions, which ends the process where it cannot.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static long first_to_fail;
static long n_to_fail;
static long count;

/* How many allocations of the core there have been since then. */
long allocations(void) {
    return __atomic_load_n(&count, __ATOMIC_SEQ_CST);
}

/* Count from now on, and let so many fail, beginning with the n-th; with n = 0, stop that. */
void fail_allocation(long n, long how_many) {
    __atomic_store_n(&count, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&n_to_fail, how_many, __ATOMIC_SEQ_CST);
    __atomic_store_n(&first_to_fail, n, __ATOMIC_SEQ_CST);
}

static int fails(void *caller) {
    Dl_info info;
    const char *core = getenv("FAILING_ALLOCATIONS");
    const long first = __atomic_load_n(&first_to_fail, __ATOMIC_SEQ_CST);
    long n;
    if (first == 0 || core == NULL)
        return 0;
    if (!dladdr(caller, &info) || strncmp(info.dli_fname, core, strlen(core)) != 0)
        return 0;
    n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (n < first || n - first >= __atomic_load_n(&n_to_fail, __ATOMIC_SEQ_CST))
        return 0;
    errno = ENOMEM;
    return 1;
}

#define FAILING(result, failure, name, parameters, arguments)        \
    result name parameters {                                         \
        static result (*next) parameters;                            \
        if (fails(__builtin_return_address(0)))                      \
            return failure;                                          \
        if (next == NULL)                                            \
            next = (result (*) parameters) dlsym(RTLD_NEXT, #name);  \
        return next arguments;                                       \
    }

typedef struct zmq_msg_t zmq_msg_t;
int pipe(int ends[2]);

FAILING(void *, NULL, malloc, (size_t size), (size))
FAILING(void *, NULL, calloc, (size_t n, size_t size), (n, size))
FAILING(void *, NULL, realloc, (void *memory, size_t size), (memory, size))
FAILING(int, ENOMEM, posix_memalign, (void **memory, size_t alignment, size_t size),
        (memory, alignment, size))
FAILING(void *, MAP_FAILED, mmap64,
        (void *at, size_t size, int protection, int flags, int fd, off64_t offset),
        (at, size, protection, flags, fd, offset))
FAILING(int, -1, pipe, (int ends[2]), (ends))
FAILING(void *, NULL, zmq_ctx_new, (void), ())
FAILING(void *, NULL, zmq_socket, (void *context, int type), (context, type))
FAILING(int, -1, zmq_bind, (void *socket, const char *address), (socket, address))
FAILING(int, -1, zmq_connect, (void *socket, const char *address), (socket, address))

/* What is so small lies in the zmq_msg_t itself. */
enum { MOST_WITHOUT_MEMORY = 33 };

int zmq_msg_init_size(zmq_msg_t *message, size_t size) {
    static int (*next)(zmq_msg_t *message, size_t size);
    if (size > MOST_WITHOUT_MEMORY && fails(__builtin_return_address(0)))
        return -1;
    if (next == NULL)
        next = (int (*)(zmq_msg_t *, size_t)) dlsym(RTLD_NEXT, "zmq_msg_init_size");
    return next(message, size);
}
