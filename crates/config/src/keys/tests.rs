use super::*;

const MANUAL: &str = include_str!("../../../../packaging/man/evenkeel.toml.5");

/// The manual's lines from a heading to the next one, with plain hyphens.
fn section(heading: &str) -> Vec<String> {
    let lines = MANUAL.lines().map(|line| line.replace("\\-", "-"));
    let is_heading = |line: &str| line.starts_with(".SH ") || line.starts_with(".SS ");
    let mut lines = lines.skip_while(|line| !is_heading(line) || &line[4..] != heading);
    assert!(lines.next().is_some(), "no section `{heading}`");
    lines.take_while(|line| !is_heading(line)).collect()
}

#[test]
fn the_manual_describes_every_key_and_no_other() {
    for table in ROOT.keys {
        section(table.example);
    }
    for schema in &SCHEMAS[1..] {
        let heading = schema.title.split('`').nth(1).unwrap();
        let lines = section(heading);
        let described = lines.windows(2).filter(|pair| pair[0] == ".TP");
        let mut described: Vec<&str> = described
            .map(|pair| pair[1].strip_prefix(".B ").unwrap())
            .collect();
        let mut keys: Vec<&str> = schema.keys.iter().map(|key| key.name).collect();
        described.sort_unstable();
        keys.sort_unstable();
        assert_eq!(described, keys, "{heading}");
    }
}

#[test]
fn the_manuals_example_is_valid() {
    let example = MANUAL.split("\n.EX\n").nth(1).unwrap();
    let example = example.split(".EE\n").next().unwrap().replace("\\-", "-");
    let director = crate::parse("example", &example, "director1").unwrap();
    assert_eq!(director.virtual_routers[0].priority.get(), 150);
    assert_eq!(director.services[0].servers.len(), 3);
}
