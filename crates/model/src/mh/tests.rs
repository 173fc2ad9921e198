use std::net::Ipv4Addr;

use super::*;

fn server(last: u8, weight: u16) -> (SocketAddr, u16) {
    ((Ipv4Addr::new(192, 0, 2, last), 80).into(), weight)
}

fn counts(table: &[usize], servers: usize) -> Vec<usize> {
    let count = |index| table.iter().filter(|owner| **owner == index).count();
    (0..servers).map(count).collect()
}

#[test]
fn the_hash_is_the_kernels() {
    // lib/tests/siphash_kunit.c, test_vectors_hsiphash of 64-bit kernels, four bytes.
    let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    assert_eq!(siphash(0x0302_0100, key), 0x88d3_8328);
}

#[test]
fn every_bucket_is_taken_in_proportion_to_the_weights() {
    let even: Vec<_> = (1..=7).map(|last| server(last, 9)).collect();
    let table = build(&even);
    assert_eq!(table.len(), BUCKETS);
    assert!(counts(&table, 7).iter().all(|n| (584..=585).contains(n)));
    let table = build(&[server(1, 1), server(2, 3), server(3, 0)]);
    let [one, three, none] = counts(&table, 3)[..] else {
        panic!("three servers");
    };
    assert_eq!(none, 0);
    assert!((one * 3).abs_diff(three) <= 3, "{one} {three}");
}

#[test]
fn weights_are_cut_to_six_bits() {
    let table = build(&[server(1, 1), server(2, 6400)]);
    let [one, most] = counts(&table, 2)[..] else {
        panic!("two servers");
    };
    // 6400 >> 7 = 50, and 1 >> 7 counts as 1.
    assert!((one * 50).abs_diff(most) <= 50, "{one} {most}");
}

#[test]
fn without_a_weight_there_is_no_table() {
    assert!(build(&[]).is_empty());
    assert!(build(&[server(1, 0)]).is_empty());
}
