use super::load_order;

const INDEX: &str = "\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko
kernel/fs/netfs/netfs.ko:
";

#[test]
fn what_a_module_needs_is_loaded_before_it_and_once() {
    assert_eq!(
        load_order(INDEX, &["9p", "9pnet_virtio"]).unwrap(),
        [
            "kernel/fs/netfs/netfs.ko",
            "kernel/net/9p/9pnet.ko",
            "kernel/fs/9p/9p.ko",
            "kernel/net/9p/9pnet_virtio.ko"
        ]
    );
}

#[test]
fn a_missing_module_is_named() {
    let error = load_order(INDEX, &["overlay"]).unwrap_err();
    assert_eq!(error.to_string(), "the kernel has no module `overlay`");
}
