"""Prints the OpenAPI document without what the clients' types do not need: the headers of responses, and links.

    firstcome openapi | document.py > openapi.json
"""

import json
import sys

document = json.load(sys.stdin)
operations = [operation for path in document["paths"].values() for operation in path.values()]
responses = [response for operation in operations for response in operation["responses"].values()]
for response in [*responses, *document["components"]["responses"].values()]:
    response.pop("headers", None)
    response.pop("links", None)
del document["components"]["headers"]
json.dump(document, sys.stdout)
