use super::code_of;

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(code_of(source).trim_end(), expected);
}

#[test]
fn comments_are_blank_and_lines_stay() {
    check("a // unsafe\nb", "a          \nb");
    check("/* x /* y */\n z */ b", "            \n      b");
}

#[test]
fn strings_are_blank() {
    check(r#"f("a \" // b") + g"#, r#"f(           ) + g"#);
    check(r##"f(r#"a " b"#, br"\")"##, "f(          ,      )");
}

#[test]
fn characters_are_blank_and_lifetimes_stay() {
    check(r"f('{', '\'', b'}')", "f(   ,     , b   )");
    check(
        "fn f<'a>(x: &'a str, y: &'static str)",
        "fn f<'a>(x: &'a str, y: &'static str)",
    );
}

#[test]
fn a_word_that_ends_in_r_begins_no_raw_string() {
    check(r#"var"x""#, "var");
}
