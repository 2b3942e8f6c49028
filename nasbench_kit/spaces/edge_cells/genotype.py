"""A genotype's text: per cell the operations of every node, each with the node that it reads.

Two forms, both read with or without blanks. Flat, of quark0/darts::

    Genotype(normal=[('sep_conv_3x3',0),('skip_connect',1),...],normal_concat=range(2,6),reduce=[...],...)

Nested, of Katib, a list of pairs a node and with names of its own::

    Genotype(normal=[[('separable_convolution_3x3',0),('skip_connection',1)],...],...)

Source: Liu et al., DARTS, quark0/darts, genotypes.py; kubeflow/katib, DARTS trial image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: (operation, node that it reads), as many of each node.
Cell = Sequence[tuple[str, int]]

#: How Katib writes the beginnings of names.
_KATIB = {
    "sep_conv": "separable_convolution",
    "dil_conv": "dilated_convolution",
    "avg_pool": "avg_pooling",
    "max_pool": "max_pooling",
    "skip_connect": "skip_connection",
}
_PAIR = r"\('([\w]+)',(\d+)\)"
_FORM = re.compile(
    r"Genotype\(normal=\[(?P<normal>[^=]*)\],normal_concat=(?P<normal_concat>[^=]*),"
    r"reduce=\[(?P<reduce>[^=]*)\],reduce_concat=(?P<reduce_concat>[^=]*)\)"
)


def flat(cells: Sequence[Cell], joined: Sequence[Sequence[int]]) -> str:
    """The text of a normal and a reduction cell, and of the nodes that each concatenates."""
    return _written([",".join(f"('{name}',{source})" for name, source in c) for c in cells], joined)


def nested(cells: Sequence[Cell], joined: Sequence[Sequence[int]], inputs: int = 2) -> str:
    """The same as Katib writes it, so many edges a node."""
    texts = []
    for cell in cells:
        pairs = [f"('{_katib(name)}',{source})" for name, source in cell]
        nodes = [pairs[first : first + inputs] for first in range(0, len(pairs), inputs)]
        texts.append(",".join(f"[{','.join(node)}]" for node in nodes))
    return _written(texts, joined)


def parse(text: str) -> tuple[list[list[tuple[str, int]]], list[list[int]]]:
    """The normal and the reduction cell of either form, and the nodes that each concatenates.

    Raises:
        ValueError: another form.
    """
    form = _FORM.fullmatch(re.sub(r"\s", "", text).replace('"', "'"))
    if form is None:
        raise ValueError(text)
    cells = []
    for kind in ("normal", "reduce"):
        cell = [(_ours(name), int(source)) for name, source in re.findall(_PAIR, form[kind])]
        if re.sub(_PAIR, "", form[kind]).strip("[],"):  # anything but pairs
            raise ValueError(text)
        cells.append(cell)
    return cells, [_nodes(form[f"{kind}_concat"]) for kind in ("normal", "reduce")]


def _written(cells: Sequence[str], joined: Sequence[Sequence[int]]) -> str:
    (normal, reduce), (of_normal, of_reduce) = cells, map(_concat, joined)
    return (
        f"Genotype(normal=[{normal}],normal_concat={of_normal},"
        f"reduce=[{reduce}],reduce_concat={of_reduce})"
    )


def _concat(nodes: Sequence[int]) -> str:
    if list(nodes) == list(range(nodes[0], nodes[-1] + 1)):
        return f"range({nodes[0]},{nodes[-1] + 1})"
    return f"[{','.join(map(str, nodes))}]"


def _nodes(text: str) -> list[int]:
    if span := re.fullmatch(r"range\((\d+),(\d+)\)", text):
        if int(span[2]) > 100:
            raise ValueError(text)
        return list(range(int(span[1]), int(span[2])))
    if not re.fullmatch(r"\[\d+(,\d+)*\]", text):
        raise ValueError(text)
    return [int(node) for node in text[1:-1].split(",")]


def _katib(name: str) -> str:
    for ours, theirs in _KATIB.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def _ours(name: str) -> str:
    for ours, theirs in _KATIB.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
