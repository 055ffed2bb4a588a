"""Where the steps of a graph are drawn: level by level, from left to right."""

import dataclasses
import itertools
from collections.abc import Sequence

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout, VertexViewer

__all__ = ["Layout", "Link", "lay_out"]

Point = tuple[float, float]

LEVEL_GAP = 56.0
ROW_GAP = 26.0
BAND_GAP = 44.0
LANE = 9.0
# About what there is room for, and how large a step need not be shown larger.
USUAL_WIDTH, USUAL_HEIGHT = 1020.0, 430.0
LARGEST_SCALE = 0.8
MOST_BANDS = 8
# So many links may go from the end of a band to the begin of the next.
MOST_CUT = 4


@dataclasses.dataclass(frozen=True)
class Link:
    """The way from a step to one that it sends to.

    Parameters
    ----------
    source, target : int
        The steps.
    points : tuple of (float, float)
        Where it goes, from the right of the one to the left of the other.
    is_angular : bool
        Whether it goes in straight lines, between the steps: to an earlier one, or to the
        next band.
    is_backward : bool
        Whether it goes to an earlier step, or to its own.
    """

    source: int
    target: int
    points: tuple[Point, ...]
    is_angular: bool
    is_backward: bool


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where all is drawn.

    Parameters
    ----------
    positions : tuple of (float, float)
        Per step, the left end and the middle of its height.
    links : tuple of Link
        What connects them.
    """

    positions: tuple[Point, ...]
    links: tuple[Link, ...]


class _EdgePoints:
    """Takes the points of an edge."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def setpath(self, points: list[Point]) -> None:
        self.points = list(points)


def lay_out(next_steps: Sequence[Sequence[int]], width: float, heights: Sequence[float]) -> Layout:
    """Place steps by level, with few crossings; long graphs in several bands.

    The levels, the order within each, and what long links pass are those of
    Sugiyama, Tagawa and Toda, IEEE Transactions on Systems, Man, and Cybernetics 11 (1981)
    109, as `grandalf` computes them.

    Parameters
    ----------
    next_steps : sequence of sequence of int
        Per step, those that it sends to.
    width : float
        Of every step.
    heights : sequence of float
        Of each step.
    """
    forward, backward = _split(next_steps)
    placed, passed = _place(len(next_steps), forward, width, heights)
    bands, shifts = _wrap(placed, forward, width, heights)
    positions = [
        (x + shifts[band][0], y + shifts[band][1])
        for (x, y), band in zip(placed, bands, strict=True)
    ]
    bottoms = [bottom for _, bottom in _extents(positions, heights, bands, len(shifts))]
    links = []
    n_around = [0] * len(shifts)
    for source, target in [*forward, *backward]:
        is_backward = (source, target) in backward
        begin = (positions[source][0] + width, positions[source][1])
        end = positions[target]
        points = [begin]
        if bands[source] == bands[target] and not is_backward:
            shift_x, shift_y = shifts[bands[source]]
            for x, y in passed[source, target]:
                points += [(x + shift_x, y + shift_y), (x + shift_x + width, y + shift_y)]
            links.append(Link(source, target, (*points, end), False, False))
            continue
        # Around: down behind the source, back below its band, and up or down to the target.
        band = max(bands[source], bands[target]) if is_backward else bands[source]
        lane = n_around[band]
        n_around[band] += 1
        right = begin[0] + LEVEL_GAP / 3 + LANE * (lane % 3)
        left = end[0] - LEVEL_GAP / 3 - LANE * (lane % 3)
        below = bottoms[band] + BAND_GAP / 3 + LANE * (lane % 4)
        points += [(right, begin[1]), (right, below), (left, below), (left, end[1]), end]
        links.append(Link(source, target, tuple(points), True, is_backward))
    return Layout(tuple(positions), tuple(links))


def _split(
    next_steps: Sequence[Sequence[int]],
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], None]]:
    """The links that go forward, and those that close a cycle."""
    forward: list[tuple[int, int]] = []
    backward: dict[tuple[int, int], None] = {}
    done: set[int] = set()
    for root in range(len(next_steps)):
        if root in done:
            continue
        # Depth first, without recursion: a step that is on the path closes a cycle.
        path, on_path = [(root, iter(next_steps[root]))], {root}
        while path:
            step, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                on_path.discard(step)
                done.add(step)
            elif following in on_path:
                backward[step, following] = None
            else:
                forward.append((step, following))
                if following not in done:
                    path.append((following, iter(next_steps[following])))
                    on_path.add(following)
    return forward, backward


def _place(
    n_steps: int, links: list[tuple[int, int]], width: float, heights: Sequence[float]
) -> tuple[list[Point], dict[tuple[int, int], list[Point]]]:
    """Each step's place, and what each link passes on its way: places of the same size."""
    # The library goes from top to bottom.
    vertices = [Vertex(i) for i in range(n_steps)]
    for vertex, height in zip(vertices, heights, strict=True):
        vertex.view = VertexViewer(w=height, h=width)
    edges = [Edge(vertices[source], vertices[target]) for source, target in links]
    for edge in edges:
        edge.view = _EdgePoints()
    positions: list[Point] = [(0.0, 0.0)] * n_steps
    passed: dict[tuple[int, int], list[Point]] = {link: [] for link in links}
    top = 0.0
    for component in Graph(vertices, edges).C:
        layout = SugiyamaLayout(component)
        layout.xspace, layout.yspace = ROW_GAP, LEVEL_GAP
        roots = [vertex for vertex in component.sV if not vertex.e_in()]
        layout.init_all(roots=roots, inverted_edges=[])
        layout.draw()
        members = list(component.sV)
        lowest = min(vertex.view.xy[0] - heights[vertex.data] / 2 for vertex in members)
        shift = top - lowest
        for vertex in members:
            y, x = vertex.view.xy
            positions[vertex.data] = (x - width / 2, y + shift)
        for edge in component.sE:
            # All but its two ends.
            passed[edge.v[0].data, edge.v[1].data] = [
                (x - width / 2, y + shift) for y, x in edge.view.points[1:-1]
            ]
        top = ROW_GAP + max(
            positions[vertex.data][1] + heights[vertex.data] / 2 for vertex in members
        )
    return positions, passed


def _wrap(
    positions: list[Point],
    links: list[tuple[int, int]],
    width: float,
    heights: Sequence[float],
) -> tuple[list[int], list[Point]]:
    """Break a long graph into bands, one below the other, where few links are cut.

    Returns the band of each step, and how far each band is moved.
    """
    columns = sorted({x for x, _ in positions})
    level = {x: i for i, x in enumerate(columns)}
    levels = [level[x] for x, _ in positions]
    # How many links there are between a level and the one before.
    cut = [
        sum(levels[source] < i <= levels[target] for source, target in links)
        for i in range(len(columns))
    ]
    best: tuple[float, list[int]] | None = None
    for n_bands in range(1, min(MOST_BANDS, len(columns)) + 1):
        begins = _begins(len(columns), n_bands, cut)
        if any(cut[begin] > MOST_CUT for begin in begins[1:]):
            continue
        bands = [sum(begin <= i for begin in begins) - 1 for i in levels]
        total_width = max(
            end - begin for begin, end in itertools.pairwise([*begins, len(columns)])
        ) * (width + LEVEL_GAP)
        total_height = sum(
            bottom - top + BAND_GAP + ROW_GAP
            for top, bottom in _extents(positions, heights, bands, len(begins))
        )
        # How large it can be shown; a band more has to be worth it.
        scale = min(USUAL_WIDTH / total_width, USUAL_HEIGHT / total_height, LARGEST_SCALE)
        scale *= 0.92**n_bands
        if best is None or scale > best[0]:
            best = (scale, begins)
    begins = [0] if best is None else best[1]
    bands = [sum(begin <= i for begin in begins) - 1 for i in levels]
    extents = _extents(positions, heights, bands, len(begins))
    shifts = []
    below = 0.0
    for band, (top, bottom) in enumerate(extents):
        shifts.append((-columns[begins[band]], below - top))
        below += bottom - top + BAND_GAP + ROW_GAP
    return bands, shifts


def _begins(n_levels: int, n_bands: int, cut: list[int]) -> list[int]:
    """The first level of each band: where it makes them equal, or beside it if that cuts less."""
    begins = [0]
    for band in range(1, n_bands):
        middle = round(n_levels * band / n_bands)
        near = [i for i in (middle, middle - 1, middle + 1) if begins[-1] < i < n_levels]
        if near:
            begins.append(min(near, key=lambda i: cut[i]))
    return begins


def _extents(
    positions: list[Point], heights: Sequence[float], bands: list[int], n_bands: int
) -> list[tuple[float, float]]:
    """The top and the bottom of each band."""
    extents = []
    for k in range(n_bands):
        rows = [
            (y - height / 2, y + height / 2)
            for (_, y), height, band in zip(positions, heights, bands, strict=True)
            if band == k
        ]
        extents.append((min(top for top, _ in rows), max(bottom for _, bottom in rows)))
    return extents
