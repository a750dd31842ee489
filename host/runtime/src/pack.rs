//! From a core module, which compilers give, to a component, which hosts load.

use wit_component::ComponentEncoder;

/// A module cannot be made a component.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is one already.
    #[error("this is a component already: use it as it is")]
    Component,
    /// It is no WASM.
    #[error("this is not a WASM module")]
    NotWasm,
    /// It lacks what components are made from.
    #[error(
        "the module cannot be made a component: {0}; it must be built for wasm32-unknown-unknown \
         from a library of type cdylib that exports an adapter, in Rust by `export_adapter!`"
    )]
    Module(String),
}

/// Makes a component of a core module that was built with bindings for the interface. What the
/// component is worth, [`trial::run`](crate::trial::run) says.
///
/// # Errors
///
/// The module is none, or says nothing of the interface.
pub fn pack(module: &[u8]) -> Result<Vec<u8>, PackError> {
    match module.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => {}
        Some([0, b'a', b's', b'm', ..]) => return Err(PackError::Component),
        _ => return Err(PackError::NotWasm),
    }
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| PackError::Module(format!("{error:#}")))
}
