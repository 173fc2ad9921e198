//! Whatever is done to a config file, reading it gives a director or mistakes with places in it.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::fs;
use std::path::Path;

use evenkeel_config::parse;
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Mutation {
    DeleteLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    Overwrite(Index, u8),
    Insert(Index, String),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "{",
        "}",
        ",",
        "=",
        "\n",
        "\r\n",
        "\t",
        "#",
        "0",
        "-",
        ".",
        ":",
        "é",
        "\u{feff}",
        "\0",
        "\"\"\"",
        "99999999999999999999",
        "\\u0000",
        "🦀",
        "[service]",
    ]);
    prop_oneof![
        any::<Index>().prop_map(Mutation::DeleteLine),
        any::<Index>().prop_map(Mutation::RepeatLine),
        any::<(Index, Index)>().prop_map(|(a, b)| Mutation::SwapLines(a, b)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::Overwrite(at, byte)),
        (any::<Index>(), pieces).prop_map(|(at, piece)| Mutation::Insert(at, piece.to_owned())),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut bytes = text.as_bytes().to_vec();
    match mutation {
        _ if text.is_empty() => {}
        Mutation::DeleteLine(at) => {
            lines.remove(at.index(lines.len()));
            bytes = lines.concat().into_bytes();
        }
        Mutation::RepeatLine(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            bytes = lines.concat().into_bytes();
        }
        Mutation::SwapLines(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            bytes = lines.concat().into_bytes();
        }
        Mutation::Overwrite(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn all_samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    ["valid", "invalid"]
        .iter()
        .flat_map(|kind| fs::read_dir(folder.join(kind)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn check_places(text: &str) {
    let Err(diagnostics) = parse("mutated.toml", text, "host") else {
        return;
    };
    let list = diagnostics.as_slice();
    assert!(!list.is_empty());
    assert!(list.is_sorted_by_key(|diagnostic| diagnostic.span.start));
    for diagnostic in list {
        let before = text.get(..diagnostic.span.start).unwrap();
        let at_fault = text.get(diagnostic.span.clone()).unwrap();
        assert!(!at_fault.contains('\n'));
        assert_eq!(at_fault.chars().count(), diagnostic.length);
        assert_eq!(before.matches('\n').count() + 1, diagnostic.line);
        let line = before.rsplit('\n').next().unwrap();
        assert_eq!(line.chars().count() + 1, diagnostic.column);
        assert!(!diagnostic.message.is_empty() && !diagnostic.hint.is_empty());
        assert!(!diagnostic.expected.is_empty());
    }
    assert!(!diagnostics.render(false).is_empty());
    assert!(!diagnostics.render(true).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    #[test]
    fn mutated_samples_never_panic_and_places_are_in_the_text(
        sample in prop::sample::select(all_samples()),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let text = mutations.iter().fold(sample, |text, mutation| mutate(&text, mutation));
        check_places(&text);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        check_places(&text);
    }
}
