#!/usr/bin/env python3
"""check_schema.py SCHEMA: says which lines on stdin do not fit the JSON Schema, and what in the schema is not explained."""
import json
import sys

import jsonschema


def unexplained(schema, where=""):
    for key, value in schema.get("properties", {}).items():
        if "description" not in value:
            yield f"{where}/{key}"
        yield from unexplained(value, f"{where}/{key}")
    for part in schema.get("anyOf", []):
        yield from unexplained(part, where)
    if "items" in schema:
        yield from unexplained(schema["items"], where + "[]")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    problems = [f"{key}: is not explained" for key in unexplained(schema)]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    lines = sys.stdin.read().splitlines()
    for line in lines:
        problems += [f"{error.message}: {line}" for error in validator.iter_errors(json.loads(line))]
    if not lines:
        problems.append("there is not one line")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
