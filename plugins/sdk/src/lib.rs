//! For authors of runtime adapters: the aod:runtime interface and what every adapter needs.
