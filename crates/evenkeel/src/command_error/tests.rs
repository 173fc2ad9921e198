use super::*;

#[test]
fn words_are_quoted_where_a_shell_would_take_them_apart() {
    let line =
        |words: &[&str]| shell_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        line(&["./evenkeel", "run", "--log=json"]),
        "./evenkeel run --log=json"
    );
    assert_eq!(line(&["sh", "-c", "a b"]), "sh -c 'a b'");
    assert_eq!(line(&["echo", "", "it's"]), r"echo '' 'it'\''s'");
    assert_eq!(line(&["$HOME;", "~"]), "'$HOME;' '~'");
}
