use evenkeel_model::Protocol;

use super::*;

#[test]
fn options_are_read_back_as_they_were_written() {
    let key = ServiceKey::single(Protocol::Udp, "192.0.2.1:53".parse().unwrap());
    for seconds in [1, 2, 3, 59, 299, 301, 86_399, 31 * 86_400] {
        let time = Some(Duration::from_secs(seconds));
        for prefix in [1, 8, 24, 31, 32] {
            let options = ServiceOptions {
                one_packet: true,
                persistence: time.map(|timeout| Persistence { timeout, prefix }),
                fragments: Fragments::ByAddress,
                on_removal: OnRemoval::Reset,
                timeouts: Timeouts {
                    tcp: time,
                    tcp_fin: time,
                    udp: time,
                    sctp: None,
                },
                flags: SchedulerFlags {
                    port: true,
                    fallback: true,
                },
                ..ServiceOptions::default()
            };
            let half = Service::default();
            write(&half, &key, &options);
            assert_eq!(read(&half, 101), options);
        }
    }
    let half = Service::default();
    write(&half, &key, &ServiceOptions::default());
    assert_eq!(read(&half, 101), ServiceOptions::default());
}

#[test]
fn masks_lie_as_in_packets() {
    assert_eq!(mask(24), u32::from_ne_bytes([255, 255, 255, 0]));
    assert_eq!(mask(32), u32::MAX);
    assert_eq!(mask(1), u32::from_ne_bytes([128, 0, 0, 0]));
}
