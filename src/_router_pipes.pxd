"""Pipes within the process: what is read from them wakes a thread that polls."""

from posix.fcntl cimport F_SETFD, F_SETFL, FD_CLOEXEC, O_NONBLOCK, fcntl
from posix.unistd cimport close, pipe

cdef extern from "<poll.h>" nogil:
    ctypedef unsigned long nfds_t
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, nfds_t nfds, int timeout)
    const short POLLIN


cdef struct Pipe:
    int read_end
    int write_end


cdef inline int open_pipe(Pipe *opened) noexcept nogil:
    """Neither end blocks, nor is inherited: 0, or -1 with errno."""
    cdef int ends[2]
    cdef int i
    if pipe(ends) < 0:
        return -1
    for i in range(2):
        fcntl(ends[i], F_SETFL, O_NONBLOCK)
        fcntl(ends[i], F_SETFD, FD_CLOEXEC)
    opened.read_end, opened.write_end = ends[0], ends[1]
    return 0


cdef inline void close_pipe(Pipe *opened) noexcept nogil:
    if opened.read_end >= 0:
        close(opened.read_end)
        close(opened.write_end)
    opened.read_end = opened.write_end = -1
