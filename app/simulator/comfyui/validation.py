"""What is wrong with a graph, in ComfyUI's words: an output is good when all on which it depends is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.simulator.comfyui.classes import CLASSES, inputs, outputs
from app.simulator.comfyui.graphs import Graph, cycle

Fault = dict[str, Any]
NodeErrors = dict[str, dict[str, Any]]

_CONVERTED: Final[dict[str, Callable[[Any], Any]]] = {"INT": int, "FLOAT": float, "STRING": str}


class Refused(Exception):
    """The graph is not run: the answer's `error` and `node_errors`."""

    def __init__(self, error: Fault, node_errors: NodeErrors | None = None) -> None:
        super().__init__(error["message"])
        self.error = error
        self.node_errors = node_errors or {}


class Validation:
    """One graph's. `told` says what a class takes, `is_picture` whether there is an uploaded file of that name."""

    def __init__(self, graph: Graph, told: Callable[[str], dict[str, Any]], is_picture: Callable[[str], bool]) -> None:
        self._graph = graph
        self._told = told
        self._is_picture = is_picture
        self._faults: dict[str, tuple[bool, list[Fault]]] = {}
        """By node, as far as any was looked at: whether it is good, and what is wrong with itself."""

    def run(self, *, old: bool) -> tuple[list[str], NodeErrors]:
        """The outputs that are good, and what is wrong with the others. Raises `Refused` when none is."""
        _have_classes(self._graph, old=old)
        found = outputs(self._graph)
        if not found:
            raise Refused(fault("prompt_no_outputs", "Prompt has no outputs"))
        if circle := cycle(self._graph):
            raise Refused(_all_bad([]), {} if old else self._circular(circle, found))
        good: list[str] = []
        own: list[Fault] = []
        errors: NodeErrors = {}
        for output in found:
            if self._is_good(output):
                good.append(output)
                continue
            own += self._faults[output][1]
            for node in [node for node, (fine, faults) in self._faults.items() if faults and not fine]:
                told = {"errors": self._faults[node][1], "dependent_outputs": [], "class_type": self._kind(node)}
                errors.setdefault(node, told)["dependent_outputs"].append(output)
        if not good:
            raise Refused(_all_bad(own), errors)
        return good, errors

    def _circular(self, circle: list[str], found: list[str]) -> NodeErrors:
        path = " -> ".join(f"{node} ({self._kind(node)})" for node in [*circle, circle[0]])
        return {
            node: {
                "errors": [
                    fault("dependency_cycle", "Dependency cycle detected", path, node_id=node, cycle_nodes=circle)
                ],
                "dependent_outputs": found,
                "class_type": self._kind(node),
            }
            for node in circle
        }

    def _kind(self, node: str) -> str:
        return str(self._graph[node]["class_type"])

    def _is_good(self, output: str) -> bool:
        try:
            return self._check(output)
        except (LookupError, TypeError) as error:
            message = "Exception when validating node"
            told = fault("exception_during_validation", message, str(error), **_exception(error))
            self._faults[output] = (False, [told])
            return False

    def _check(self, node: str) -> bool:
        """Raises `LookupError` for what ComfyUI's own code does not expect."""
        if node in self._faults:
            return self._faults[node][0]
        values = self._graph[node]["inputs"]
        faults: list[Fault] = []
        good = True
        for name, (form, required) in inputs(self._told(self._kind(node))).items():
            if name not in values:
                if required:
                    faults.append(fault("required_input_missing", "Required input is missing", name, input_name=name))
            elif isinstance(values[name], list):
                good &= self._check_link(name, form, values[name], faults)
            elif (wrong := self._wrong_value(name, form, values[name])) is not None:
                faults.append(wrong)
        self._faults[node] = (good and not faults, faults)
        return self._faults[node][0]

    def _check_link(self, name: str, form: list[Any], link: list[Any], faults: list[Fault]) -> bool:
        told = {"input_name": name, "input_config": _config(form)}
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            faults.append(fault("bad_linked_input", message, name, **told, received_value=link))
            return True
        source = link[0]
        received = tuple(CLASSES[self._kind(source)]["output"])[link[1]]
        if received != form[0]:
            message = "Return type mismatch between linked nodes"
            details = f"{name}, received_type({received}) mismatch input_type({form[0]})"
            told |= {"received_type": received, "linked_node": link}
            faults.append(fault("return_type_mismatch", message, details, **told))
            return True
        try:
            return self._check(source)
        except (LookupError, TypeError) as error:
            message, told = "Exception when validating inner node", {**told, "exception_message": str(error)}
            told |= {**_exception(error), "linked_node": link}
            self._faults[source] = (
                False,
                [fault("exception_during_inner_validation", message, str(error), **told)],
            )
            return False

    def _wrong_value(self, name: str, form: list[Any], value: Any) -> Fault | None:
        kind, limits = form[0], form[1] if len(form) > 1 else {}
        told = {"input_name": name, "input_config": _config(form), "received_value": value}
        if limits.get("image_upload"):
            message = "Custom validation failed for node"
            details = f"{name} - Invalid image file: {value}"
            good = self._is_picture(value)
            return None if good else fault("custom_validation_failed", message, details, input_name=name)
        try:
            value = _CONVERTED.get(str(kind), lambda given: given)(value)
        except (TypeError, ValueError) as error:
            message = f"Failed to convert an input value to a {kind} value"
            details = f"{name}, {value}, {error}"
            return fault("invalid_input_type", message, details, **told, exception_message=str(error))
        if "min" in limits and value < limits["min"]:
            message = f"Value {value} smaller than min of {limits['min']}"
            return fault("value_smaller_than_min", message, name, **told)
        if "max" in limits and value > limits["max"]:
            return fault("value_bigger_than_max", f"Value {value} bigger than max of {limits['max']}", name, **told)
        if isinstance(kind, list) and value not in kind:
            return fault("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {kind}", **told)
        return None


def fault(kind: str, message: str, details: str = "", **extra: Any) -> Fault:
    """One, as an answer has it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _have_classes(graph: Graph, *, old: bool) -> None:
    for node, told in graph.items():
        kind, title = told.get("class_type"), told.get("_meta", {}).get("title")
        if kind in CLASSES:
            continue
        where = f"Node ID '#{node}'"
        if old:
            lacks = "a node is missing the class_type property" if kind is None else f"node {kind} does not exist"
            raise Refused(fault("invalid_prompt", f"Cannot execute because {lacks}.", where))
        extra = {"node_id": node, "class_type": kind, "node_title": title}
        words = f"Node '{title or kind}' not found. The custom node may not be installed."
        if kind is None:
            words = f"Node 'ID #{node}' has no class_type. The workflow may be corrupted or a custom node is missing."
        raise Refused(fault("missing_node_type", words, where, **extra))


def _all_bad(faults: list[Fault]) -> Fault:
    details = "\n".join(f"{each['message']}: {each['details']}" for each in faults)
    return fault("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)


def _config(form: list[Any]) -> list[Any]:
    return form if len(form) > 1 else [form[0], {}]


def _exception(error: Exception) -> dict[str, Any]:
    return {"exception_type": type(error).__name__, "traceback": ["  File /srv/comfy/execution.py", "    validate"]}
