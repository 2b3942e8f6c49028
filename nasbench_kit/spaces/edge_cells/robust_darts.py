"""RobustDARTS' spaces S1 to S4: DARTS' cells with few operations, on which DARTS goes wrong.

S1 has two operations an edge, each edge its own: those that searches in the whole space of DARTS kept.
S4's noise is worth nothing to any network, and yet DARTS takes it.

Source: Zela et al., Understanding and robustifying differentiable architecture search, ICLR 2020,
section 4 and appendix; S1's operations as automl/RobustDARTS lists them.
"""

from __future__ import annotations

_SKIP_3, _SKIP_5 = ("skip_connect", "dil_conv_3x3"), ("skip_connect", "dil_conv_5x5")
_SKIP_SEPARABLE = ("skip_connect", "sep_conv_3x3")
_DILATED = ("dil_conv_3x3", "dil_conv_5x5")
_POOL_SKIP, _POOLS = ("max_pool_3x3", "skip_connect"), ("max_pool_3x3", "avg_pool_3x3")
_POOL_3, _POOL_SEPARABLE = ("max_pool_3x3", "dil_conv_3x3"), ("max_pool_3x3", "sep_conv_3x3")

#: S1's normal cell, then its reduction cell: a line a node, whose edges come by the node that they read.
_S1 = (
    *(_SKIP_3, _SKIP_5),
    *(_SKIP_5, _SKIP_SEPARABLE, _SKIP_3),
    *(_POOL_SKIP, _SKIP_SEPARABLE, _SKIP_SEPARABLE, _SKIP_3),
    *(_SKIP_SEPARABLE, _POOL_SKIP, _SKIP_3, _DILATED, _DILATED),
    *(_POOLS, _POOL_3),
    *(_POOLS, _POOLS, _SKIP_5),
    *(_POOLS, _POOL_SEPARABLE, _SKIP_3, _SKIP_5),
    *(_POOLS, _POOLS, _SKIP_5, _SKIP_5, _SKIP_5),
)

#: By name, the operations of each of the 28 edges.
VARIANTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "darts-s1": _S1,
    "darts-s2": (_SKIP_SEPARABLE,) * 28,
    "darts-s3": (("none", *_SKIP_SEPARABLE),) * 28,
    "darts-s4": (("noise", "sep_conv_3x3"),) * 28,
}
