"""What a graph is: nodes by their ids, whose inputs are values or links to other nodes."""

from __future__ import annotations

from typing import Any, TypeGuard

Graph = dict[str, dict[str, Any]]


def is_link(value: Any) -> TypeGuard[list[Any]]:
    """`[node, output]`."""
    return isinstance(value, list)


def sources(graph: Graph, node: str) -> list[str]:
    """The nodes that a node needs."""
    return [value[0] for value in graph[node].get("inputs", {}).values() if is_link(value)]


def needed(graph: Graph, outputs: list[str]) -> list[str]:
    """The nodes on which the outputs depend, and they."""
    found: list[str] = []

    def visit(node: str) -> None:
        if node not in found:
            found.append(node)
            for source in sources(graph, node):
                visit(source)

    for node in outputs:
        visit(node)
    return found


def cycle(graph: Graph) -> list[str]:
    """The nodes of a circle, each after the one that needs it; none: there is none."""

    def follow(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        found = (follow(source, [*path, node]) for source in sources(graph, node) if source in graph)
        return next((each for each in found if each), [])

    return next((found for node in reversed(graph) if (found := follow(node, []))), [])
