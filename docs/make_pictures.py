"""Draw ``pipeline.svg``, the way of an event through a pipeline.

Run ``python docs/make_pictures.py`` after a change; the picture is kept beside this script. It has
a background of its own, so that it is legible on a white and on a dark page.
"""

import itertools
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1000, 540

PAPER, INK, FAINT, LINE = "#f8fafc", "#1e293b", "#64748b", "#94a3b8"
ROUTER, ON_ROUTER, SLOT = "#1e293b", "#e2e8f0", "#475569"
MESSAGE = "#f59e0b"
ROLES = {
    "producer": ("#0369a1", "#e0f2fe"),
    "stage": ("#047857", "#d1fae5"),
    "consumer": ("#7e22ce", "#f3e8ff"),
}
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# The steps of examples/brainstorm/pipeline/pipeline_py/example.json: name, role, the middle of its
# column, what its workers do, and how many messages wait for it.
STEPS = (
    ("SHOWERS", "producer", 112, ["yield event"], 0),
    ("CLEANING", "stage", 368, ["return event", "return event"], 3),
    ("HILLAS", "stage", 636, ["idle", "return event"], 0),
    ("TABLE", "consumer", 892, ["write row"], 2),
)
# What the numbers on the way say, in two lines: where the number is, where its words are.
NOTES = (
    ((112, 205), (42, 428), ("sent: run() yields or returns", "a value, or calls send_msg")),
    ((209.5, 270), (42, 484), ("queued: where a queue is full,", "its senders wait")),
    ((307, 205), (676, 428), ("taken by the worker that has", "waited longest")),
    ((892, 205), (676, 484), ("counted: an event has ended when", "nothing made of it is left")),
)
WORKER_TOP, WORKER_HEIGHT, WORKER_WIDTH = 88, 72, 112
ROUTER_TOP, ROUTER_HEIGHT = 236, 124
QUEUE_Y = ROUTER_TOP + 66
N_SLOTS, SLOT_SIZE = 4, 20


def text(x, y, content, size=16, fill=INK, anchor="middle", weight=400, family=SANS):
    """One line of text."""
    return (
        f'<text x="{x}" y="{y}" font-family="{family}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}" font-weight="{weight}">{escape(content)}</text>'
    )


def box(x, y, width, height, fill, stroke="none", radius=8, more=""):
    """A rectangle with round corners."""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.5" {more}/>'
    )


def dot(x, y, radius=7):
    """A message."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{MESSAGE}"/>'


def arrow(path, colour=LINE, more=""):
    """A curve with a head at its end."""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.5" '
        f'stroke-linecap="round" marker-end="url(#head)" {more}/>'
    )


def number(x, y, n):
    """A number in a circle, on the way of the event."""
    return (
        f'<circle cx="{x}" cy="{y}" r="13" fill="{PAPER}" stroke="{LINE}" stroke-width="1.5"/>'
        + text(x, y + 5, str(n), 14, INK, weight=700)
    )


def workers_of(middle, jobs):
    """The left edges of a step's workers."""
    gap = 10
    width = len(jobs) * WORKER_WIDTH + (len(jobs) - 1) * gap
    return [middle - width / 2 + i * (WORKER_WIDTH + gap) for i in range(len(jobs))]


def draw_step(name, role, middle, jobs):
    """A step's name and its workers."""
    dark, light = ROLES[role]
    title = role if len(jobs) == 1 else f"{role}, {len(jobs)} workers"
    yield text(middle, 42, title, 15, dark)
    yield text(middle, 68, name, 19, INK, weight=700, family=MONO)
    for left, job in zip(workers_of(middle, jobs), jobs, strict=True):
        centre = left + WORKER_WIDTH / 2
        if job == "idle":
            more = 'stroke-dasharray="5 4"'
            yield box(left, WORKER_TOP, WORKER_WIDTH, WORKER_HEIGHT, PAPER, dark, more=more)
            yield text(centre, WORKER_TOP + 41, "idle", 15, FAINT)
        else:
            yield box(left, WORKER_TOP, WORKER_WIDTH, WORKER_HEIGHT, light, dark)
            yield text(centre, WORKER_TOP + 28, job, 13.5, INK, family=MONO)
            yield dot(centre, WORKER_TOP + 51)


def draw_queue(name, middle, n_waiting):
    """A step's queue in the router; what came first is on the right."""
    left = middle - N_SLOTS * SLOT_SIZE / 2
    for i in range(N_SLOTS):
        x = left + i * SLOT_SIZE
        yield box(x, QUEUE_Y - SLOT_SIZE / 2, SLOT_SIZE, SLOT_SIZE, ROUTER, SLOT, radius=3)
        if i >= N_SLOTS - n_waiting:
            yield dot(x + SLOT_SIZE / 2, QUEUE_Y)
    yield text(middle, QUEUE_Y + 32, f"queue of {name}", 14, ON_ROUTER)


def draw_way(sender, receiver):
    """From a sender's last worker through the receiver's queue to its first worker."""
    bottom = WORKER_TOP + WORKER_HEIGHT
    start = workers_of(*sender)[-1] + WORKER_WIDTH / 2
    end = workers_of(*receiver)[0] + WORKER_WIDTH / 2
    middle = (start + end) / 2
    tail, head = middle - N_SLOTS * SLOT_SIZE / 2 - 5, middle + N_SLOTS * SLOT_SIZE / 2 + 5
    y = QUEUE_Y
    yield arrow(f"M{start} {bottom + 5} V{y - 14} Q{start} {y} {start + 14} {y} H{tail}")
    yield arrow(f"M{head} {y} H{end - 14} Q{end} {y} {end} {y - 14} V{bottom + 7}")


def draw():
    """The whole picture, as the lines of an SVG file."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title">'
    )
    yield '<title id="title">The way of an event through a pipeline</title>'
    yield (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="5" '
        f'markerHeight="5" orient="auto"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>'
    )
    yield box(1, 1, WIDTH - 2, HEIGHT - 2, PAPER, "#cbd5e1", radius=16)
    yield box(24, ROUTER_TOP, WIDTH - 48, ROUTER_HEIGHT, ROUTER, radius=12)
    yield text(44, QUEUE_Y + 34, "Router", 20, "#ffffff", "start", 700)

    for name, role, middle, jobs, _ in STEPS:
        yield from draw_step(name, role, middle, jobs)
    for sender, receiver in itertools.pairwise(STEPS):
        start = workers_of(*sender[2:4])[-1]
        end = workers_of(*receiver[2:4])[0]
        yield from draw_queue(receiver[0], (start + end + WORKER_WIDTH) / 2, receiver[4])
        yield from draw_way(sender[2:4], receiver[2:4])

    for n, (place, (x, y), lines) in enumerate(NOTES, start=1):
        yield number(*place, n)
        yield number(x + 4, y + 3, n)
        for i, line in enumerate(lines):
            yield text(x + 30, y + 21 * i, line, 15, INK, "start")

    yield arrow(f"M500 {ROUTER_TOP + ROUTER_HEIGHT + 5} V420", more='stroke-dasharray="1 7"')
    yield text(514, 398, "snapshots", 14, FAINT, "start")
    yield box(390, 426, 220, 86, "#ffffff", LINE)
    yield text(500, 451, "window", 15, INK, weight=700)
    for i, (length, (dark, _)) in enumerate(zip((58, 16, 84), ROLES.values(), strict=True)):
        yield box(410, 464 + 14 * i, 180, 8, "#e2e8f0", radius=4)
        yield box(410, 464 + 14 * i, 1.8 * length, 8, dark, radius=4)
    yield "</svg>"


if __name__ == "__main__":
    target = Path(__file__).with_name("pipeline.svg")
    target.write_text("\n".join(draw()) + "\n", encoding="utf-8")
