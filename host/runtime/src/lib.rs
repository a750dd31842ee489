//! Runtime adapters: WASM components, runtimes.toml, the model catalog.
