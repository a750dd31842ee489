//! Rust for `wit/1.0.0`, generated once here for all adapters.

wit_bindgen::generate!({
    path: "../../wit/1.0.0",
    world: "runtime",
    pub_export_macro: true,
    export_macro_name: "export_runtime",
    default_bindings_module: "aod_plugin_sdk::bindings",
    additional_derives: [PartialEq],
});
