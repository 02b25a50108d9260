"""The steps every scripting client takes: steps.json, its variables, and what an answer must be like.

A step has an operation and its input, and either the result or the error it should have. A result is a pattern: members that are
not in it are not looked at, "*" is anything, numbers are compared to a thousandth, and each item of a list must be like one of the
answer's. "$name" is a variable; "save" keeps parts of an answer as variables; "until" asks again until the answer is right.
Each step prints one line of JSON: operation, ok, and what went wrong.
"""

import json
import os
import threading
import time

PATIENCE_SECONDS = 30


def load(variables_path):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "steps.json"), encoding="ascii") as file:
        steps = json.load(file)
    with open(variables_path, encoding="ascii") as file:
        return steps, json.load(file)


def filled(value, variables):
    if isinstance(value, dict):
        return {name: filled(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, variables) for inner in value]
    if isinstance(value, str) and value.startswith("$"):
        return variables[value[1:]]
    return value


def is_like(value, pattern):
    if pattern == "*":
        return value is not None and value != ""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(is_like(value.get(name), inner) for name, inner in pattern.items())
    if isinstance(pattern, list):
        if not isinstance(value, list) or (value and not pattern):
            return False
        return all(any(is_like(item, inner) for item in value) for inner in pattern)
    if isinstance(pattern, bool) or isinstance(value, bool):
        return value is pattern
    if isinstance(pattern, (int, float)):
        return isinstance(value, (int, float)) and abs(value - pattern) < 0.001
    return value == pattern


def at(value, path):
    for name in path.split("."):
        value = value[name]
    return value


def drive(offered, call, variables_path):
    """Takes every step with call(operation, input), which returns ("result", answer) or ("error", class name, text)."""
    print(json.dumps({"offered": sorted(offered)}), flush=True)
    steps, variables = load(variables_path)
    pace = threading.Event()
    for step in steps:
        line = {"operation": step["operation"], "expected": step.get("error", "result")}
        try:
            given_up = time.monotonic() + (PATIENCE_SECONDS if step.get("until") else 0)
            while True:
                problem = attempt(step, call, variables)
                if problem is None or time.monotonic() > given_up:
                    break
                pace.wait(0.05)
        except Exception as error:  # A client may fail in any way; that is what is looked for.
            problem = f"{type(error).__name__}: {error}"
        line["ok"] = problem is None
        if problem is not None:
            line["problem"] = problem
        print(json.dumps(line), flush=True)


def attempt(step, call, variables):
    answer = call(step["operation"], filled(step["input"], variables))
    if "error" in step:
        due = ("error", step["error"])
        if answer[:2] != due:
            return f"{due} was due, not {answer}"
        return None if answer[2] else "an error without a text"
    if answer[0] != "result":
        return f"a result was due, not {answer}"
    pattern = filled(step["result"], variables)
    if not is_like(answer[1], pattern):
        return f"{json.dumps(pattern)} was due, not {json.dumps(answer[1], default=str)}"
    for name, path in step.get("save", {}).items():
        variables[name] = at(answer[1], path)
    return None
