use super::{Executable, parse};

#[test]
fn only_test_programs_are_listed() {
    let messages = r#"{"reason":"compiler-artifact","manifest_path":"/p/tests/netns/Cargo.toml","target":{"name":"parity"},"profile":{"test":true},"executable":"/p/target/debug/deps/parity-1f"}
{"reason":"compiler-artifact","manifest_path":"/p/crates/wire/Cargo.toml","target":{"name":"wire"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/p/crates/evenkeel/Cargo.toml","target":{"name":"evenkeel"},"profile":{"test":false},"executable":"/p/target/debug/evenkeel"}
{"reason":"build-finished","success":true}
"#;
    assert_eq!(
        parse(messages).unwrap(),
        [Executable {
            folder: "/p/tests/netns".into(),
            name: "parity".to_owned(),
            path: "/p/target/debug/deps/parity-1f".into(),
        }]
    );
}
