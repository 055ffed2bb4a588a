"""How often things took how long: counts in bins that grow with the time.

Eight bins for each power of two, so that a time is known to 1/8, as in the histograms of G. Tene
(HdrHistogram, https://hdrhistogram.org).
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long) noexcept nogil

cdef enum:
    BITS = 3
    BINS_PER_OCTAVE = 8
    # The last one is for all from 2**45 ns on, ten hours.
    N_BINS = 344


cdef inline uint64_t *new_counts() noexcept nogil:
    """All 0, to be freed; or NULL."""
    return <uint64_t *> calloc(N_BINS, sizeof(uint64_t))


cdef inline int bin_of(uint64_t time) noexcept nogil:
    cdef int exponent
    if time < BINS_PER_OCTAVE:
        return <int> time
    exponent = 63 - leading_zeros(time)
    return min(
        N_BINS - 1,
        ((exponent - BITS + 1) << BITS)
        + <int> ((time >> (exponent - BITS)) & (BINS_PER_OCTAVE - 1)),
    )


cdef inline void count_time(uint64_t *counts, uint64_t time) noexcept nogil:
    counts[bin_of(time)] += 1


cdef inline double middle_of(int i) noexcept nogil:
    """The middle of a bin, in ns."""
    cdef int octave = i >> BITS
    if octave == 0:
        return i
    return (BINS_PER_OCTAVE + (i & (BINS_PER_OCTAVE - 1)) + 0.5) * (1ull << (octave - 1))


cdef inline double percentile(const uint64_t *counts, uint64_t n, double percent) noexcept nogil:
    """What so many percent of n times are not above, in ns."""
    cdef double rest = n * percent / 100
    cdef int i
    for i in range(N_BINS):
        rest -= counts[i]
        if rest <= 0 and counts[i]:
            return middle_of(i)
    return middle_of(N_BINS - 1)


cdef inline object percentiles_of(const uint64_t *counts):
    """The median and the 99th percentile in seconds; None of nothing."""
    cdef uint64_t n = 0
    cdef int i
    for i in range(N_BINS):
        n += counts[i]
    if n == 0:
        return None
    return percentile(counts, n, 50) * 1e-9, percentile(counts, n, 99) * 1e-9
