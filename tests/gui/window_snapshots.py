"""Snapshots as pipelines send them, made up for tests of what a window makes of them."""

import json


def snapshot(pipeline="p", done=0, n_steps=3, elapsed_s=1.0, **changes):
    """A snapshot of a chain, as a dictionary."""
    names = [f"STEP_{i}" for i in range(n_steps)]
    roles = ["producer", *["stage"] * (n_steps - 2), "consumer"]
    return {
        "schema": 1,
        "pipeline": pipeline,
        "host": "here",
        "pid": 1,
        "configuration": f"{pipeline}.json",
        "state": "running",
        "executor": "threads",
        "elapsed_s": elapsed_s,
        "events": {"sent": done, "finished": done},
        "age": {"p50_s": 0.01, "p99_s": 0.2},
        "steps": [
            {
                "name": name,
                "role": role,
                "next_steps": names[i + 1 : i + 2],
                "chained": False,
                "workers": 2,
                "worker_states": ["busy", "idle"],
                "queue_limit": 10,
                "running": 1,
                "queue": 0,
                "received": done,
                "done": done,
                "failed": 0,
                "sent": done,
                "busy_s": 0.5,
                "wait": {"p50_s": 0.001, "p99_s": 0.02},
            }
            for i, (name, role) in enumerate(zip(names, roles, strict=True))
        ],
        **changes,
    }


def frames(content):
    """A snapshot as a message."""
    return [content["pipeline"].encode(), json.dumps(content).encode()]
