"""That what ours is compared with may have as many messages in flight."""

import time

from baselines import IN_FLIGHT
from ours import ours
from workloads import Pass, Workload

HOPS = 2


def test_others_may_have_as_many_messages_in_flight():
    class Producer:
        sent = 0

        def run(self):
            for i in range(20_000):
                Producer.sent += 1
                yield i

    class Consumer:
        received = 0
        in_flight = 0

        def run(self, message):
            Consumer.received += 1
            # Late enough for the workers to have all the credit that they can get.
            if Consumer.received == 10_000:
                before = -1
                while Producer.sent != before:
                    before = Producer.sent
                    time.sleep(0.1)
                Consumer.in_flight = Producer.sent - Consumer.received

    ours(Workload(20_000, Producer, Pass, Consumer))
    assert 0 < Consumer.in_flight <= HOPS * IN_FLIGHT
