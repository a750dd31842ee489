#!/bin/sh
# Makes adapter.py the component counter.wasm.
set -eu
componentize-py --quiet --wit-path ../../../wit/1.0.0 --world runtime \
    componentize adapter --python-path . --output counter.wasm
