use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn owner(service: u32, host: u8) -> Owner {
    (
        service,
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 80)),
    )
}

#[derive(Clone, Debug)]
enum Op {
    Join(u32, u8),
    Leave(u32, u8),
    Load(u32, bool),
    Pass(u64),
    Sweep,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0u32..2, 0u8..5).prop_map(|(s, h)| Op::Join(s, h)),
        3 => (0u32..2, 0u8..5).prop_map(|(s, h)| Op::Leave(s, h)),
        2 => (0u32..6, any::<bool>()).prop_map(|(n, l)| Op::Load(n, l)),
        2 => (0u64..900).prop_map(Op::Pass),
        2 => Just(Op::Sweep),
    ];
    prop::collection::vec(op, 0..150)
}

proptest! {
    #[test]
    fn a_number_stays_its_servers_while_listed_or_loaded_and_for_a_second(ops in ops()) {
        let mut now = Instant::now();
        let mut numbers = ServerNumbers::new(6);
        let mut listed: HashMap<Owner, u32> = HashMap::new();
        let mut known: HashMap<Owner, u32> = HashMap::new();
        let mut loaded: HashSet<u32> = HashSet::new();
        let mut given_back: HashMap<u32, Instant> = HashMap::new();
        let mut left: HashMap<u32, Instant> = HashMap::new();
        for op in ops {
            match op {
                Op::Join(service, host) => {
                    let owner = owner(service, host);
                    match numbers.join(owner, now) {
                        Ok((number, new)) => {
                            prop_assert_eq!(known.get(&owner).copied(), (!new).then_some(number));
                            if new {
                                prop_assert!(!known.values().any(|n| *n == number));
                                prop_assert!(given_back.get(&number).is_none_or(|t| now - *t >= GRACE));
                            }
                            known.insert(owner, number);
                            listed.insert(owner, number);
                        }
                        Err(_) => prop_assert!(!known.contains_key(&owner)),
                    }
                }
                Op::Leave(service, host) => {
                    let owner = owner(service, host);
                    if let Some(number) = listed.remove(&owner) {
                        numbers.leave(number, owner);
                        left.insert(number, now);
                    }
                }
                Op::Load(number, true) => {
                    // Only servers in a list, or with connections, get connections.
                    if listed.values().any(|n| *n == number) {
                        loaded.insert(number);
                    }
                }
                Op::Load(number, false) => {
                    loaded.remove(&number);
                }
                Op::Pass(ms) => now += Duration::from_millis(ms),
                Op::Sweep => {
                    for number in numbers.sweep(now, |n| !loaded.contains(&n)) {
                        prop_assert!(!loaded.contains(&number));
                        prop_assert!(!listed.values().any(|n| *n == number));
                        prop_assert!(now - left[&number] >= GRACE);
                        known.retain(|_, n| *n != number);
                        given_back.insert(number, now);
                    }
                }
            }
            let distinct: HashSet<_> = known.values().collect();
            prop_assert_eq!(distinct.len(), known.len());
        }
    }
}

#[test]
fn an_idle_leaver_is_freed_after_a_second_and_its_number_lent_after_another() {
    let now = Instant::now();
    let mut numbers = ServerNumbers::new(1);
    assert_eq!(numbers.join(owner(0, 1), now), Ok((0, true)));
    numbers.leave(0, owner(0, 1));
    assert!(numbers.sweep(now, |_| true).is_empty());
    assert_eq!(numbers.join(owner(0, 2), now), Err(Shortage::Full));
    assert_eq!(numbers.sweep(now + GRACE, |_| true), vec![0]);
    assert!(!numbers.serves(0));
    assert_eq!(numbers.join(owner(0, 2), now + GRACE), Err(Shortage::Grace));
    assert_eq!(numbers.join(owner(0, 2), now + GRACE * 2), Ok((0, true)));
}

#[test]
fn a_server_that_comes_back_keeps_its_number() {
    let now = Instant::now();
    let mut numbers = ServerNumbers::new(4);
    let (number, _) = numbers.join(owner(0, 1), now).unwrap();
    numbers.leave(number, owner(0, 1));
    assert_eq!(numbers.join(owner(0, 1), now), Ok((number, false)));
    assert!(numbers.sweep(now + GRACE * 5, |_| true).is_empty());
}

#[test]
fn rebuilt_numbers_lend_the_gaps_first() {
    let now = Instant::now();
    let taken = [(1, owner(0, 1)), (3, owner(0, 2))];
    let mut numbers = ServerNumbers::rebuilt(6, taken.into_iter()).unwrap();
    let lent: Vec<u32> = (10..14)
        .map(|h| numbers.join(owner(0, h), now).unwrap().0)
        .collect();
    assert_eq!(lent, vec![0, 2, 4, 5]);
    assert_eq!(numbers.join(owner(0, 1), now), Ok((1, false)));
    let twice = [(1, owner(0, 1)), (3, owner(0, 1))];
    assert!(ServerNumbers::rebuilt(6, twice.into_iter()).is_none());
}
