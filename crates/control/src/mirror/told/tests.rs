use evenkeel_config::parse;

use super::*;

const CONFIG: &str = r#"
[director]
interface = "eth0"

[[virtual-router]]
name = "front"
id = 51
addresses = ["198.18.14.146"]

[[virtual-router]]
name = "back"
id = 52
addresses = ["198.18.14.147"]

[[service]]
name = "web"
listen = "198.18.14.146:80"
servers = [{ address = "198.18.14.12" }]

[[service]]
name = "all"
listen = ["198.18.14.147:80", "198.18.14.147:443"]
number = 7
servers = [{ address = "198.18.14.12" }]
"#;

#[test]
fn connections_are_told_of_what_a_director_is_active_for_and_was_a_moment_ago() {
    let director = parse("test.toml", CONFIG, "director").unwrap();
    let (front, back) = ([198, 18, 14, 146].into(), [198, 18, 14, 147].into());
    let group = Ipv4Addr::from_bits(7).into();
    let ids: Vec<VirtualRouterId> = director.virtual_routers.iter().map(|r| r.id).collect();
    let (mut told, now) = (Told::default(), Instant::now());
    told.reckon(&director, now);
    assert!(told.is_empty());
    told.role(ids[0], Role::Active, now);
    told.reckon(&director, now);
    assert!(told.has(front) && !told.has(back) && !told.has(group));
    told.role(ids[0], Role::Backup, now);
    told.role(ids[1], Role::Active, now);
    told.reckon(&director, now);
    assert!(told.has(front) && told.has(back) && told.has(group));
    assert_eq!(told.active().iter().collect::<Vec<_>>(), [52]);
    told.expire(&director, now + AFTERGLOW);
    assert!(!told.has(front) && told.has(back));
}
