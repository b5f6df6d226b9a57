"""The operations of one listener out of the OpenAPI document: `Allow` can only name what the same listener serves."""

import json
import sys

document = json.load(sys.stdin)
document["paths"] = {
    path: operations
    for path, item in document["paths"].items()
    if (operations := {method: op for method, op in item.items() if sys.argv[1] in op["tags"]})
}
json.dump(document, sys.stdout)
