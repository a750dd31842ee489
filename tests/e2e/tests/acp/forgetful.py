#!/usr/bin/env python3
"""An agent that speaks the Agent Client Protocol and cannot go on with an earlier conversation. It
answers with all prompts that it has heard."""

import json
import sys

if "--version" in sys.argv:
    print("1.0.0")
    sys.exit()

heard = []


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


for line in sys.stdin:
    request = json.loads(line)
    method, number = request.get("method"), request.get("id")
    if number is None:
        continue
    if method == "initialize":
        result = {"protocolVersion": 1, "agentCapabilities": {}}
    elif method == "session/new":
        heard.clear()
        result = {"sessionId": "one"}
    elif method == "session/prompt":
        heard.append("".join(block.get("text", "") for block in request["params"]["prompt"]))
        content = {"type": "text", "text": " / ".join(heard)}
        update = {"sessionUpdate": "agent_message_chunk", "content": content}
        send({"method": "session/update", "params": {"sessionId": "one", "update": update}})
        result = {"stopReason": "end_turn"}
    else:
        send({"id": number, "error": {"code": -32601, "message": "unknown method"}})
        continue
    send({"id": number, "result": result})
