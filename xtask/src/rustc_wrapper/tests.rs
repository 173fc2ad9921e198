use super::without_location;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn our_crates_get_the_same_metadata_everywhere() {
    let args = words("--crate-name evenkeel_wire -C metadata=1f2e -C extra-filename=-1f2e");
    assert_eq!(
        without_location(&args),
        words("--crate-name evenkeel_wire -C metadata=evenkeel -C extra-filename=-1f2e")
    );
}

#[test]
fn the_object_of_measurements_is_ours_too() {
    let args = words("--crate-name bench -C metadata=1f2e");
    assert_eq!(
        without_location(&args),
        words("--crate-name bench -C metadata=evenkeel")
    );
}

#[test]
fn other_crates_keep_theirs() {
    let args = words("--crate-name core -C metadata=1f2e");
    assert_eq!(without_location(&args), args);
}

#[test]
fn a_question_about_the_compiler_passes_unchanged() {
    let args = words("-vV");
    assert_eq!(without_location(&args), args);
}
