//! A stand-in for the model providers' HTTP APIs, for tests.
