"""A client of the official API: random search and evolution, knowing only its names."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np

INPUT, OUTPUT = "input", "output"
CONV1X1, CONV3X3, MAXPOOL3X3 = "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"

History = list[tuple[float, float, float]]


class Client:
    """What the notebooks of papers do with ``nasbench.api``."""

    def __init__(self, api: Any, nasbench: Any, vertices: int = 7, epochs: int = 108) -> None:
        self.api, self.nasbench = api, nasbench
        self.vertices, self.epochs = vertices, epochs
        self.rng = np.random.RandomState(0)

    def random_spec(self) -> Any:
        """Draw matrices until one is valid."""
        while True:
            matrix = np.triu(self.rng.choice([0, 1], size=(self.vertices, self.vertices)), 1)
            ops = self.rng.choice([CONV3X3, CONV1X1, MAXPOOL3X3], size=self.vertices).tolist()
            ops[0], ops[-1] = INPUT, OUTPUT
            spec = self.api.ModelSpec(matrix=matrix, ops=ops)
            if self.nasbench.is_valid(spec):
                return spec

    def mutated(self, spec: Any) -> Any:
        """Flip one edge or change one operation until the result is valid."""
        while True:
            matrix = copy.deepcopy(spec.original_matrix)
            ops = copy.deepcopy(spec.original_ops)
            if self.rng.rand() < 0.5:
                source, target = sorted(self.rng.choice(self.vertices, 2, replace=False))
                matrix[source, target] = 1 - matrix[source, target]
            else:
                place = self.rng.randint(1, self.vertices - 1)
                ops[place] = self.rng.choice(
                    [op for op in self.nasbench.config["available_ops"] if op != ops[place]]
                )
            new = self.api.ModelSpec(matrix, ops)
            if self.nasbench.is_valid(new):
                return new

    def random_search(self, budget: float) -> History:
        """(seconds, validation, test) of the best so far, until the budget is passed."""
        self.nasbench.reset_budget_counters()
        history: History = [(0.0, 0.0, 0.0)]
        while history[-1][0] < budget:
            self._extend(history, self.nasbench.query(self.random_spec(), epochs=self.epochs))
        return history

    def evolution(self, budget: float, population_size: int = 20, sample: int = 5) -> History:
        """The same by tournament selection and ageing."""
        self.nasbench.reset_budget_counters()
        history: History = [(0.0, 0.0, 0.0)]
        population: list[tuple[float, Any]] = []
        while history[-1][0] < budget:
            if len(population) < population_size:
                spec = self.random_spec()
            else:
                picked = random.Random(len(history)).sample(population, sample)
                spec = self.mutated(max(picked, key=lambda member: member[0])[1])
                population.pop(0)
            data = self.nasbench.query(spec, epochs=self.epochs)
            population.append((data["validation_accuracy"], spec))
            self._extend(history, data)
        return history

    def _extend(self, history: History, data: dict[str, Any]) -> None:
        seconds, _ = self.nasbench.get_budget_counters()
        found = data["validation_accuracy"], data["test_accuracy"]
        history.append((seconds, *(found if found[0] > history[-1][1] else history[-1][1:])))
