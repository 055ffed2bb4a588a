"""The router between compiled endpoints."""

from routing import raw_hop, routed


def test_a_message_costs_few_raw_hops(compare, size):
    n = size(300_000, 5_000_000)
    compare("router.hop", lambda: (routed(n, n_workers=2), raw_hop(n)))


def test_many_workers(compare, size):
    n = size(300_000, 5_000_000)
    compare("router.many_workers", lambda: (routed(n, n_workers=64), routed(n, n_workers=2)))
