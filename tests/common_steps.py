"""Steps and messages that several tests use, and what a run says of its steps."""

import threading


def numbers(n=20):
    """A producer class that sends the numbers below ``n``."""

    class Numbers:
        def run(self):
            yield from range(n)

    return Numbers


class Pass:
    """Sends on what it gets."""

    def run(self, message):
        return message


class Consumer:
    """Does nothing with what it gets."""

    def run(self, message):
        pass


def collector():
    """A consumer class of its own, that keeps what arrives."""

    class Collect:
        received: list = []

        def run(self, message):
            Collect.received.append(message)

    return Collect


class SendsInAnotherThread:
    """Raises what sending there does."""

    def run(self, message):
        errors = []

        def send():
            try:
                self.send_msg(message)
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
        raise errors[0]


class CannotBeLoaded:
    """A message that can be pickled, but not unpickled."""

    def __reduce__(self):
        return (int, ("no number",))


def by_name(summary):
    """What the summary of a run says of each step."""
    return {step["name"]: step for step in summary["steps"]}
