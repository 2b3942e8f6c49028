"""NAS-Bench-Graph's networks: which encodings are the same, against a slow and obvious version."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, strategies as st

from nasbench_kit import spaces
from nasbench_kit.errors import InvalidArchitecture, NotInSpace
from nasbench_kit.spaces.graphs.nasbench_graph import LINKS, OPERATIONS, SKIP, NASBenchGraph

SPACE = NASBenchGraph()
Options = tuple[int, ...]
encodings = st.tuples(st.integers(0, 8), *[st.integers(0, 8)] * 4)


def network(options: Options) -> nx.DiGraph:
    """What is computed: operations, joined; skip connections that change nothing are taken out.

    A skip connection passes its input on: to its successors, or to the output. There it changes
    nothing if that node's output counts anyway, and the raw input does not count at all.
    """
    link, *operations = options
    graph = nx.DiGraph()
    graph.add_node(0, operation="input")
    for node, (parent, operation) in enumerate(zip(LINKS[link], operations, strict=True), 1):
        graph.add_node(node, operation=OPERATIONS[operation])
        graph.add_edge(parent, node)
    changed = True
    while changed:
        changed = False
        for node in [n for n, name in graph.nodes("operation") if name == "skip"]:
            (parent,) = graph.predecessors(node)
            children = list(graph.successors(node))
            alone = graph.out_degree(parent) == 1
            if children or alone or parent == 0:
                graph.add_edges_from((parent, child) for child in children)
                graph.remove_node(node)
                changed = True
                break
    return graph


def same(one: Options, other: Options) -> bool:
    return nx.is_isomorphic(
        network(one), network(other), node_match=lambda a, b: a["operation"] == b["operation"]
    )


def test_it_has_26206_networks_by_its_name() -> None:
    assert spaces.named("nasbench-graph") == SPACE
    assert len(SPACE) == 26_206
    assert len({architecture.to_text() for architecture in SPACE}) == 26_206


def test_the_links_are_all_forests_of_four_nodes() -> None:
    """Forests of n nodes are as many as rooted trees of n + 1: 9 for 4 (OEIS A000081)."""
    trees: list[nx.Graph] = []
    for parents in itertools.product(*(range(node) for node in range(1, 5))):
        tree = nx.Graph([(node, parent) for node, parent in enumerate(parents, 1)])
        nx.set_node_attributes(tree, {0: 1}, "root")
        if not any(
            nx.is_isomorphic(tree, seen, node_match=lambda a, b: a.get("root") == b.get("root"))
            for seen in trees
        ):
            trees.append(tree)
    assert len(trees) == len(LINKS) == 9
    assert len(set(LINKS)) == 9


@given(encodings, encodings)
def test_encodings_meet_if_and_only_if_the_graphs_are_isomorphic(
    one: Options, other: Options
) -> None:
    first, second = SPACE.decode(one), SPACE.decode(other)
    assert (first is None) == (set(one[1:]) == {SKIP})
    if first is not None and second is not None:
        assert (first == second) == same(one, other)


def test_classes_are_those_of_isomorphic_graphs() -> None:
    """All encodings of two operations and skip: within a class isomorphic, between classes not."""
    classes: dict[Options, list[Options]] = defaultdict(list)
    for options in itertools.product(range(9), *[(0, 1, SKIP)] * 4):
        architecture = SPACE.decode(options)
        if architecture is not None:
            classes[architecture.options].append(options)
    rng = np.random.default_rng(0)
    for canonical, members in classes.items():
        assert canonical in members
        assert same(canonical, members[int(rng.integers(len(members)))])
    candidates: dict[tuple[object, ...], list[Options]] = defaultdict(list)
    for canonical in classes:
        graph = network(canonical)
        degrees = sorted((name, graph.out_degree(node)) for node, name in graph.nodes("operation"))
        candidates[tuple(degrees)].append(canonical)
    for alike in candidates.values():
        assert not any(same(*pair) for pair in itertools.combinations(alike, 2))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("87072", "87072"),
        ("07721", "01277"),  # no order among roots
        ("80808", "88800"),  # skips of a chain move to its front
        ("53210", "53012"),
        ("38888", None),
    ],
)
def test_texts_are_read_in_any_form(text: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(NotInSpace, match="38888"):
            SPACE.parse(text)
        return
    architecture = SPACE.parse(text)
    assert architecture.to_text() == canonical
    assert architecture.written_as(text)
    assert not architecture.written_as("85555")
    assert not architecture.written_as("no text")


@pytest.mark.parametrize("text", ["0", "9000", "90000", "812345", "8-123"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        SPACE.parse(text)


def test_neighbours_are_other_networks_each_once() -> None:
    for row in range(0, len(SPACE), 997):
        neighbours = SPACE.neighbours(SPACE[row])
        assert SPACE[row] not in neighbours
        assert len(set(neighbours)) == len(neighbours)


def test_drawings_show_the_nodes_between_input_and_output() -> None:
    svg = SPACE.parse("31207")._repr_svg_()
    assert re.findall(r">(\w+)</text>", svg) == ["in", "out", "gcn", "gin", "gat", "fc"]
    assert svg.count("M") == 4 + 2  # an edge a node, and one for each of the two leaves


@pytest.mark.parametrize("link", range(len(LINKS)))
def test_no_box_covers_another_or_an_edge(link: int) -> None:
    """Edges are drawn as points along them; none lies inside a box."""
    svg = SPACE.parse(f"{link}0123")._repr_svg_()
    boxes = [
        tuple(map(float, found))
        for found in re.findall(
            r'<rect x="([\d.]+)" y="([\d.]+)" width="(\d+)" height="(\d+)"', svg
        )
    ]
    assert len(boxes) == 6
    for (x, y, width, height), (left, top, _, _) in itertools.combinations(boxes, 2):
        assert abs(x - left) >= width or abs(y - top) >= height
    (path,) = re.findall(r'<path d="([^"]+)"', svg)
    for line in path.split("M")[1:]:
        points = [tuple(map(float, line.split("V")[0].split("L")[0].split()))]
        for kind, value in re.findall(r"([VL])([\d. ]+)", line):
            end = tuple(map(float, value.split()))
            points.append((points[-1][0], *end) if kind == "V" else end)
        for (x, y), (right, below) in itertools.pairwise(points):
            for part in np.linspace(0.01, 0.99, 50):
                at = x + part * (right - x), y + part * (below - y)
                assert not any(
                    left < at[0] < left + width and top < at[1] < top + height
                    for left, top, width, height in boxes
                )
