use super::*;

#[test]
fn dh_goes_round_the_list() {
    assert_eq!(destination_hash(3)[..5], [0, 1, 2, 0, 1]);
    assert_eq!(destination_hash(300)[255], 255);
    assert!(destination_hash(0).is_empty());
}

#[test]
fn sh_gives_each_server_as_many_buckets_in_a_row_as_it_has_weight() {
    assert_eq!(source_hash(&[1, 3, 0])[..7], [0, 1, 1, 1, 2, 0, 1]);
    assert_eq!(source_hash(&[1000, 1]), [0; BUCKETS]);
    assert_eq!(source_hash(&[1, 2]).len(), BUCKETS);
    assert!(source_hash(&[]).is_empty());
}

#[test]
fn buckets_are_the_kernels() {
    // The top eight bits of the product with the golden ratio.
    assert_eq!(bucket(0), 0);
    assert_eq!(bucket(1), 0x61);
    assert_eq!(bucket(2), 0xc3);
    assert_eq!(bucket(3), 0x25);
}
