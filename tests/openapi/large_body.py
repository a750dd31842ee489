"""Sends a body that is too large as two libraries do; prints what each was answered.

Arguments: a method, a URL, and the size of the body in MiB. The token is in AOD_API_TOKEN.
"""

import json
import os
import sys

import httpx
import requests

method, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
headers = {"Authorization": f"Bearer {os.environ['AOD_API_TOKEN']}"}
piece = b" " * (1 << 20)


def pieces():
    for _ in range(size):
        yield piece


for name, send in [("httpx", httpx.request), ("requests", requests.request)]:
    for how, body in [("whole", piece * size), ("in pieces", pieces())]:
        field = "content" if name == "httpx" else "data"
        reply = send(method, url, headers=headers, timeout=120, **{field: body})
        said = {"status": reply.status_code, "detail": reply.json().get("detail")}
        print(json.dumps({"client": f"{name}, {how}"} | said), flush=True)
