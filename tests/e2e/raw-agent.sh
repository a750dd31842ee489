#!/bin/sh
# An agent that does what its prompt says and nothing else: the prompt is a script. What it writes
# is what the script writes, and behind that one line that ends the turn well.
if [ "$1" = -c ]; then
    echo 1.0.0
    exit
fi
eval "$(cat)"
echo '{"demo":"result","text":"","failure":null,"stop":"done"}' 2>/dev/null
