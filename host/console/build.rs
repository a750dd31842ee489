//! The files are read while the crate is compiled, so that it is compiled again when they change.

fn main() {
    println!("cargo::rerun-if-changed=../../console/dist");
}
