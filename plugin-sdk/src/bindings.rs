//! What wit-bindgen makes of the contract, fenced off: no other file knows it.
//!
//! One small world per exported interface, so that a component exports what its policy
//! implements and nothing else; the component step unites those that a policy links. An
//! import that is never called is not linked either: a component asks for what it uses.

#![allow(unsafe_code, unreachable_pub, clippy::wildcard_enum_match_arm, missing_docs)]

/// The imports and the types all worlds share.
pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-imports;
            world sdk-imports {
                import portcullis:policy/types@0.1.0;
                import portcullis:policy/host@0.1.0;
                import portcullis:policy/statement-text@0.1.0;
                import portcullis:policy/parameters@0.1.0;
                import portcullis:policy/egress@0.1.0;
            }
        ",
        world: "sdk-imports",
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// Exports `plugin`.
pub mod plugin {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-plugin;
            world sdk-plugin { export portcullis:policy/plugin@0.1.0; }
        ",
        world: "sdk-plugin",
        with: {
            "portcullis:policy/types@0.1.0": crate::bindings::imports::portcullis::policy::types,
        },
        runtime_path: "::portcullis_plugin_sdk::wit_bindgen::rt",
        default_bindings_module: "::portcullis_plugin_sdk::bindings::plugin",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// Exports `guardrail`.
pub mod guardrail {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-guardrail;
            world sdk-guardrail { export portcullis:policy/guardrail@0.1.0; }
        ",
        world: "sdk-guardrail",
        with: {
            "portcullis:policy/types@0.1.0": crate::bindings::imports::portcullis::policy::types,
        },
        runtime_path: "::portcullis_plugin_sdk::wit_bindgen::rt",
        default_bindings_module: "::portcullis_plugin_sdk::bindings::guardrail",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// Exports `masker`.
pub mod masker {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-masker;
            world sdk-masker { export portcullis:policy/masker@0.1.0; }
        ",
        world: "sdk-masker",
        with: {
            "portcullis:policy/types@0.1.0": crate::bindings::imports::portcullis::policy::types,
        },
        runtime_path: "::portcullis_plugin_sdk::wit_bindgen::rt",
        default_bindings_module: "::portcullis_plugin_sdk::bindings::masker",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// Exports `classifier`.
pub mod classifier {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-classifier;
            world sdk-classifier { export portcullis:policy/classifier@0.1.0; }
        ",
        world: "sdk-classifier",
        with: {
            "portcullis:policy/types@0.1.0": crate::bindings::imports::portcullis::policy::types,
        },
        runtime_path: "::portcullis_plugin_sdk::wit_bindgen::rt",
        default_bindings_module: "::portcullis_plugin_sdk::bindings::classifier",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// Exports `audit-sink`.
pub mod audit_sink {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package portcullis:sdk-audit-sink;
            world sdk-audit-sink { export portcullis:policy/audit-sink@0.1.0; }
        ",
        world: "sdk-audit-sink",
        with: {
            "portcullis:policy/types@0.1.0": crate::bindings::imports::portcullis::policy::types,
        },
        runtime_path: "::portcullis_plugin_sdk::wit_bindgen::rt",
        default_bindings_module: "::portcullis_plugin_sdk::bindings::audit_sink",
        pub_export_macro: true,
        additional_derives: [PartialEq],
        generate_all,
    });
}
