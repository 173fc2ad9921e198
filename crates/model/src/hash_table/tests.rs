use std::net::SocketAddr;

use super::*;

fn servers(count: u16) -> Vec<(SocketAddr, u32)> {
    (0..count)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            (SocketAddr::from(([10, 0, high, low], 80)), 1)
        })
        .collect()
}

fn slots_of(table: &[u32], index: u32) -> usize {
    table.iter().filter(|&&slot| slot == index).count()
}

fn permutations(of: &[(u32, u32)]) -> Vec<Permutation> {
    of.iter()
        .map(|&(offset, skip)| Permutation {
            offset,
            skip,
            weight: 1,
        })
        .collect()
}

#[test]
fn the_papers_table_one_comes_out() {
    let all = permutations(&[(3, 4), (0, 2), (3, 1)]);
    assert_eq!(fill(7, &all), [1, 0, 1, 0, 2, 2, 0]);
    let without_b1 = [all[0], all[2]];
    assert_eq!(fill(7, &without_b1), [0, 0, 0, 0, 1, 1, 1]);
}

#[test]
fn siphash_gives_its_authors_vectors() {
    let (k0, k1) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    let bytes: Vec<u8> = (0..15).collect();
    assert_eq!(siphash24(k0, k1, &bytes), 0xa129_ca61_49be_45e5);
    assert_eq!(siphash24(k0, k1, &[]), 0x726f_db47_dd0e_0e31);
    assert_eq!(siphash24(k0, k1, &bytes[..8]), 0x93f5_f579_9a93_2462);
}

#[test]
fn sizes_are_primes_of_a_hundred_slots_for_a_power_of_two_of_servers() {
    let sizes = [0, 1, 2, 3, 8, 100, 1024].map(table_size);
    assert_eq!(sizes, [0, 809, 809, 809, 809, 12_809, 102_407]);
}

#[test]
fn slots_are_even_to_within_one() {
    for count in [1, 2, 3, 8, 100, 1000] {
        let table = build(&servers(count), 7);
        let shares: Vec<usize> = (0..u32::from(count)).map(|n| slots_of(&table, n)).collect();
        let (least, most) = (shares.iter().min(), shares.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{count}: {shares:?}");
    }
}

#[test]
fn weights_are_shares_within_two_slots() {
    for weights in [
        vec![2, 1],
        vec![1, 2],
        vec![3, 2, 1],
        vec![65_535, 65_534, 1, 0],
        vec![7, 100, 13, 13, 50],
        vec![5, 5, 5, 1],
    ] {
        let mut servers = servers(u16::try_from(weights.len()).unwrap());
        for (server, weight) in servers.iter_mut().zip(&weights) {
            server.1 = *weight;
        }
        let table = build(&servers, 1);
        let slots = u32::try_from(table.len()).unwrap();
        let sum: u32 = weights.iter().sum();
        for (index, weight) in (0u32..).zip(&weights) {
            let ideal = f64::from(slots) * f64::from(*weight) / f64::from(sum);
            let owned = f64::from(u32::try_from(slots_of(&table, index)).unwrap());
            assert!(
                (owned - ideal).abs() < 2.0,
                "{weights:?}: server {index} owns {owned}, ideal {ideal}"
            );
        }
    }
}

#[test]
fn the_order_of_servers_does_not_matter() {
    let forward: Vec<_> = (1u32..)
        .zip(servers(50))
        .map(|(n, (address, _))| (address, n % 7))
        .collect();
    let mut shuffled = forward.clone();
    shuffled.reverse();
    shuffled.rotate_left(17);
    let owners = |servers: &[(SocketAddr, u32)]| -> Vec<SocketAddr> {
        build(servers, 42)
            .into_iter()
            .map(|slot| servers[slot as usize].0)
            .collect()
    };
    assert_eq!(owners(&forward), owners(&shuffled));
}

#[test]
fn the_seed_changes_the_table() {
    assert_ne!(build(&servers(8), 1), build(&servers(8), 2));
}

#[test]
fn the_table_is_the_same_on_every_machine() {
    let table = build(&servers(3), 0);
    assert_eq!(table[..16], GOLDEN, "{:?}", &table[..16]);
}

const GOLDEN: [u32; 16] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 2];

#[test]
fn quiescing_one_of_a_hundred_moves_few_slots_of_the_others() {
    let all = servers(100);
    let before = build(&all, 3);
    let mut without = all;
    without[40].1 = 0;
    let after = build(&without, 3);
    assert_eq!(before.len(), after.len());
    assert_eq!(slots_of(&after, 40), 0);
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(was, is)| **was != 40 && was != is)
        .count();
    let percent = 100 * moved / before.len();
    assert!(percent < 3, "{moved} of {} slots moved", before.len());
}

#[test]
fn two_to_one_is_two_to_one_within_a_percent() {
    for count in [2, 3, 10, 100] {
        let mut servers = servers(count);
        for (server, weight) in servers.iter_mut().zip([2, 1].into_iter().cycle()) {
            server.1 = weight;
        }
        let table = build(&servers, 5);
        let owned = |weight| -> f64 {
            let of_weight = (0u32..).zip(&servers).filter(|(_, s)| s.1 == weight);
            let (slots, owners) = of_weight.fold((0, 0), |(slots, owners), (index, _)| {
                (slots + slots_of(&table, index), owners + 1)
            });
            f64::from(u32::try_from(slots).unwrap()) / f64::from(owners)
        };
        let ratio = owned(2) / owned(1);
        assert!((ratio - 2.0).abs() < 0.02, "{count}: {ratio}");
    }
}

/// Share of all slots, in percent, that change their owner although both owners stay, when servers go.
fn disruption(size: u32, count: u16, gone: u16, seed: u64) -> f64 {
    let mut servers = servers(count);
    let before = build_sized(&servers, seed, size);
    for server in &mut servers[..usize::from(gone)] {
        server.1 = 0;
    }
    let after = build_sized(&servers, seed, size);
    let pairs = before.iter().zip(&after);
    let moved = pairs.filter(|(was, is)| **was >= u32::from(gone) && was != is);
    100.0 * f64::from(u32::try_from(moved.count()).unwrap()) / f64::from(size)
}

#[test]
fn slots_of_servers_that_stay_move_as_rarely_as_with_ideal_hashes() {
    // Size, servers, of which so many go, and percent of slots moved: a simulation with ideal hashes.
    for (size, count, gone, reference) in [
        (65_537, 100, 1, 0.578),
        (65_537, 100, 5, 0.897),
        (65_537, 8, 1, 0.173),
        (16_381, 100, 1, 1.41),
        (4_093, 100, 1, 2.87),
        (4_093, 8, 1, 1.268),
    ] {
        let seeds = if count > 8 { 4 } else { 24 };
        let sum: f64 = (0..seeds)
            .map(|seed| disruption(size, count, gone, seed))
            .sum();
        let mean = sum / f64::from(u32::try_from(seeds).unwrap());
        assert!(
            mean < reference * 1.25,
            "{size} {count} {gone}: {mean} %, not {reference} %"
        );
    }
}

#[test]
fn nobody_with_a_weight_means_no_table() {
    assert!(build(&[], 1).is_empty());
    let mut quiesced = servers(2);
    quiesced[0].1 = 0;
    quiesced[1].1 = 0;
    assert!(build(&quiesced, 1).is_empty());
}

#[test]
#[should_panic(expected = "not a prime")]
fn a_size_that_is_no_prime_is_refused_rather_than_looped_over() {
    let _ = fill(8, &permutations(&[(0, 2)]));
}
