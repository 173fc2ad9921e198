use super::*;

const SMALL: &str = r#"
[lab]
name = "small"
network = "198.18.14.0/24"
domain = "example.test"

[hosts]
www = "198.18.14.146"

[[node]]
name = "web"
kind = "real-server"
address = "198.18.14.12"
"#;

fn mistake(from: &str, to: &str) -> String {
    let text = SMALL.replace(from, to);
    assert_ne!(text, SMALL, "`{from}` is not in the sample");
    Topology::parse("small.toml", &text)
        .expect_err("a mistake was accepted")
        .to_string()
}

#[test]
fn the_papers_cluster_has_six_nodes_and_two_daemons() {
    let paper = Topology::parse("paper.toml", PAPER).unwrap();
    let names: Vec<&str> = paper.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(
        names,
        ["client", "laicoz", "laicoy", "laico2", "laico3", "laico4"]
    );
    let with_config: Vec<&str> = paper
        .nodes
        .iter()
        .filter(|node| node.config.is_some())
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(with_config, ["laicoz", "laicoy"]);
    let with_echo: Vec<&str> = paper
        .nodes
        .iter()
        .filter(|node| node.echo == Some(7))
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(with_echo, ["laico2", "laico3", "laico4"]);
    assert!(
        paper
            .hosts
            .contains("198.18.14.12 laico2.laico.cic.unb.br laico2\n")
    );
}

#[test]
fn a_real_server_serves_port_80_unless_told_otherwise() {
    let small = Topology::parse("small.toml", SMALL).unwrap();
    assert_eq!(small.nodes[0].http, Some(80));
    let none = SMALL.to_owned() + "http = 0\n";
    let none = Topology::parse("small.toml", &none).unwrap();
    assert_eq!(none.nodes[0].http, None);
}

#[test]
fn an_echo_server_is_told_which_addresses_it_serves() {
    let served = SMALL.to_owned() + "virtual = [\"198.18.14.146\"]\necho = 7\n";
    let served = Topology::parse("small.toml", &served).unwrap();
    assert_eq!(served.nodes[0].echo, Some(7));
    let nowhere = SMALL.to_owned() + "echo = 7\n";
    let mistake = Topology::parse("small.toml", &nowhere).unwrap_err();
    assert!(mistake.to_string().contains("`web` has none in `virtual`"));
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    assert_eq!(
        mistake("198.18.14.12", "198.18.15.12"),
        "small.toml:13:11: `198.18.15.12` is not a host address of the network 198.18.14.0/24\n   \
         |\n13 | address = \"198.18.15.12\"\n   |           ^^^^^^^^^^^^^^"
    );
}

#[test]
fn an_unknown_key_is_refused_at_its_place() {
    let text = mistake("kind = ", "colour = 1\nkind = ");
    assert!(
        text.starts_with("small.toml:12:1: unknown field `colour`"),
        "{text}"
    );
}

#[test]
fn names_that_no_interface_can_have_are_refused() {
    for name in ["", "Web", "a-name-that-is-long", "br0", "a/b"] {
        let text = mistake("name = \"web\"", &format!("name = \"{name}\""));
        assert!(text.contains("can't name a node"), "{text}");
    }
}

#[test]
fn two_nodes_cannot_share_a_name_or_an_address() {
    let second = "\n[[node]]\nname = \"web\"\nkind = \"client\"\naddress = \"198.18.14.13\"\n";
    let same_name = Topology::parse("f", &(SMALL.to_owned() + second)).unwrap_err();
    assert!(
        same_name
            .to_string()
            .contains("another node is named `web`")
    );
    let second = second.replace("web", "bew").replace(".13", ".12");
    let same_address = Topology::parse("f", &(SMALL.to_owned() + &second)).unwrap_err();
    assert!(
        same_address
            .to_string()
            .contains("another node has the address")
    );
}

#[test]
fn only_a_director_has_a_config() {
    let text = mistake("kind = ", "config = \"\"\nkind = ");
    assert!(text.contains("`web` is a real-server"), "{text}");
}

#[test]
fn a_network_has_no_host_bits_and_keeps_its_ends_for_itself() {
    for wrong in [
        "198.18.14.1/24",
        "198.18.14.0",
        "198.18.14.0/31",
        "x/24",
        "0.0.0.0/0",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
    let network: Network = "198.18.14.0/24".parse().unwrap();
    assert!(!network.has_host(Ipv4Addr::new(198, 18, 14, 0)));
    assert!(network.has_host(Ipv4Addr::new(198, 18, 14, 1)));
    assert!(!network.has_host(Ipv4Addr::new(198, 18, 14, 255)));
}
