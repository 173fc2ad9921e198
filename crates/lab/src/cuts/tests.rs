use std::net::Ipv4Addr;

use evenkeel_chaos::node::Node;
use evenkeel_chaos::rule::{Action, Rule, Traffic, Whom};

use super::{Cut, losers, program};

fn cut(from: Option<Ipv4Addr>, traffic: Traffic, action: Action) -> Cut {
    Cut {
        node: String::from("d1"),
        from,
        rule: Rule {
            from: Whom::Anybody,
            to: Whom::One(Node::Director(0)),
            traffic,
            action,
        },
    }
}

#[test]
fn a_whole_cut_is_one_verdict() {
    let text = program(&cut(None, Traffic::Any, Action::Lose(100)));
    assert_eq!(text.as_deref(), Some("2,6 0 0 2,6 0 0 4294967295"));
}

#[test]
fn every_look_that_finds_something_else_leads_to_the_last_instruction() {
    let from = Some(Ipv4Addr::new(198, 18, 14, 11));
    let text = program(&cut(from, Traffic::Adverts, Action::Lose(50))).expect("it loses");
    let (count, code) = text.split_once(',').expect("a length");
    let code: Vec<Vec<u32>> = code
        .split(',')
        .map(|line| {
            line.split(' ')
                .map(|word| word.parse().expect("a number"))
                .collect()
        })
        .collect();
    assert_eq!(count.parse(), Ok(code.len()));
    for (place, line) in code.iter().enumerate().filter(|(_, line)| line[0] == 0x15) {
        assert_eq!(place + 1 + line[2] as usize, code.len() - 1, "{text}");
        assert_eq!(line[1], 0);
    }
    assert_eq!(code[1][3], u32::from(Ipv4Addr::new(198, 18, 14, 11)));
}

#[test]
fn what_is_not_lost_is_no_filter() {
    let action = Action::Corrupt(10);
    assert_eq!(program(&cut(None, Traffic::Any, action)), None);
}

#[test]
fn what_ports_lost_is_read_from_the_listing_of_tc() {
    let listing = r#"[{"kind":"noqueue","handle":"0:","dev":"d1","root":true,"options":{},"drops":7},
        {"kind":"clsact","handle":"ffff:","dev":"d1","options":{},"bytes":308,"packets":4,"drops":4},
        {"kind":"clsact","handle":"ffff:","dev":"d2","options":{},"bytes":0,"packets":0,"drops":1}]"#;
    let (ports, lost) = losers(listing).expect("it is JSON");
    assert_eq!((ports, lost), (vec!["d1".to_owned(), "d2".to_owned()], 5));
    let none = losers("[]").expect("it is JSON");
    assert_eq!(none, (Vec::new(), 0));
}
