"""Reduces the OpenAPI document to the operations of one listener, since `Allow` names only methods of the same listener."""

import json
import sys

document = json.load(sys.stdin)
document["paths"] = {
    path: operations
    for path, item in document["paths"].items()
    if (operations := {method: op for method, op in item.items() if sys.argv[1] in op["tags"]})
}
json.dump(document, sys.stdout)
