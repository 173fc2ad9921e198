use super::*;

fn list(problems: &Problems) -> Vec<(String, u32)> {
    problems
        .list()
        .map(|problem| (problem.what, problem.attempts))
        .collect()
}

#[test]
fn a_problem_stands_until_the_command_succeeds() {
    let address = IpAddr::from([198, 18, 14, 146]);
    let add = Command::AddAddress(address);
    let mut problems = Problems::default();
    assert!(!problems.failed(&add, "not now"));
    assert!(problems.failed(&add, "not now"));
    assert!(!problems.failed(&add, "not now either"));
    assert_eq!(
        list(&problems),
        [("add address 198.18.14.146".to_owned(), 3)]
    );
    problems.executed(&add);
    assert!(list(&problems).is_empty());
    assert!(!problems.failed(&add, "not now either"));
}

#[test]
fn undoing_settles_what_could_not_be_done() {
    let address = IpAddr::from([198, 18, 14, 146]);
    let mut problems = Problems::default();
    assert!(!problems.failed(&Command::AddAddress(address), "no"));
    assert!(!problems.failed(&Command::Announce(address), "no"));
    assert!(!problems.failed(&Command::RemoveAddress(address), "no"));
    problems.executed(&Command::RemoveAddress(address));
    assert!(list(&problems).is_empty());
}
