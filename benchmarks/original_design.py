"""The router that ctapipe's first pipeline had (2016), as a baseline.

One thread of pure Python with a ROUTER socket that every worker talks to with REQ sockets:
a message is offered, and answered with OK, or with FULL, after which its sender offers it
again; a worker without a job says that it is ready and waits for an answer. The loop polls
with a timeout of 100 ms. Written anew from the description of that design.
"""

import pickle
import threading
import time
from collections import deque

import zmq

POLL_MS = 100
RETRY_S = 0.0001
OFFER, READY, END = b"offer", b"ready", b"end"
OK, FULL, STOP = b"ok", b"full", b"stop"


class OriginalPipeline:
    """A producer, a stage on some threads and a consumer, with a router of pure Python.

    Parameters
    ----------
    messages : iterable
        What the producer sends.
    process : callable
        The stage: takes a message, returns what it sends on.
    consume : callable
        The consumer: takes a message.
    n_threads : int
        How many threads run the stage.
    queue_limit : int
        How many messages may wait for the stage, and for the consumer.
    router_pickles : bool
        Whether the router unpickles what it queues and pickles it again, as it did then.
    """

    def __init__(
        self,
        messages,
        process,
        consume,
        n_threads=2,
        queue_limit=100,
        router_pickles=False,
    ):
        self.messages = messages
        self.process = process
        self.consume = consume
        self.n_threads = n_threads
        self.queue_limit = queue_limit
        self.router_pickles = router_pickles
        self.address = f"inproc://original-{id(self)}"
        self.context = zmq.Context()

    def run(self):
        """Run to the end."""
        router = self.context.socket(zmq.ROUTER)
        router.bind(self.address)
        threads = [threading.Thread(target=self.route, args=(router,))]
        threads += [threading.Thread(target=self.produce)]
        threads += [threading.Thread(target=self.work_stage) for _ in range(self.n_threads)]
        threads += [threading.Thread(target=self.work_consumer)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.context.term()

    def route(self, router):
        queues = {b"stage": deque(), b"consumer": deque()}
        idle = {b"stage": deque(), b"consumer": deque()}
        n_workers = self.n_threads + 1
        in_flight = 0
        producing = True
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        while n_workers:
            if poller.poll(POLL_MS):
                identity, _, kind, step, payload = router.recv_multipart()
                if kind == READY:
                    if payload:
                        in_flight -= 1
                    idle[step].append(identity)
                elif kind == END:
                    producing = False
                    router.send_multipart([identity, b"", OK])
                elif len(queues[step]) >= self.queue_limit:
                    router.send_multipart([identity, b"", FULL])
                else:
                    queues[step].append(pickle.loads(payload) if self.router_pickles else payload)
                    in_flight += 1
                    router.send_multipart([identity, b"", OK])
            for step, queue in queues.items():
                while queue and idle[step]:
                    job = queue.popleft()
                    payload = pickle.dumps(job) if self.router_pickles else job
                    router.send_multipart([idle[step].popleft(), b"", payload])
            if not producing and in_flight == 0:
                for waiting in idle.values():
                    while waiting:
                        router.send_multipart([waiting.popleft(), b"", STOP])
                        n_workers -= 1
        router.close()

    def connect(self):
        socket = self.context.socket(zmq.REQ)
        socket.connect(self.address)
        return socket

    def offer(self, socket, step, message):
        payload = pickle.dumps(message)
        while True:
            socket.send_multipart([OFFER, step, payload])
            if socket.recv() == OK:
                return
            time.sleep(RETRY_S)

    def produce(self):
        with self.connect() as socket:
            for message in self.messages:
                self.offer(socket, b"stage", message)
            socket.send_multipart([END, b"", b""])
            socket.recv()

    def jobs(self, socket, step):
        socket.send_multipart([READY, step, b""])
        while (payload := socket.recv()) != STOP:
            yield pickle.loads(payload)
            socket.send_multipart([READY, step, b"done"])

    def work_stage(self):
        with self.connect() as jobs, self.connect() as out:
            for message in self.jobs(jobs, b"stage"):
                self.offer(out, b"consumer", self.process(message))

    def work_consumer(self):
        with self.connect() as jobs:
            for message in self.jobs(jobs, b"consumer"):
                self.consume(message)
