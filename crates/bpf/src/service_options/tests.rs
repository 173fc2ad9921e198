use evenkeel_model::{Listens, Protocol, Scheduler};

use super::*;

#[test]
fn options_are_read_back_as_they_were_written() {
    for (address, prefixes) in [
        ("192.0.2.1:53", [1, 8, 24, 31, 32]),
        ("[2001:db8::1]:53", [1, 32, 64, 127, 128]),
    ] {
        let key = ServiceKey::single(Protocol::Udp, address.parse().unwrap());
        read_back(key, prefixes);
    }
}

fn entry(key: ServiceKey, options: ServiceOptions) -> ServiceEntry {
    ServiceEntry {
        key,
        group: Listens::default(),
        scheduler: Scheduler::RoundRobin,
        options,
        servers: Vec::new(),
        held: Vec::new(),
    }
}

fn read_back(key: ServiceKey, prefixes: [u8; 5]) {
    for seconds in [1, 2, 3, 59, 299, 301, 86_399, 31 * 86_400] {
        let time = Some(Duration::from_secs(seconds));
        for prefix in prefixes {
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
            write(&half, &entry(key, options));
            assert_eq!(read(&half, 101), options);
        }
    }
    for on_removal in [OnRemoval::Drop, OnRemoval::Keep] {
        let options = ServiceOptions {
            on_removal,
            ..ServiceOptions::default()
        };
        let half = Service::default();
        write(&half, &entry(key, options));
        assert_eq!(read(&half, 101), options);
    }
}

#[test]
fn masks_lie_as_in_packets() {
    assert_eq!(mask(24, false), u32::from_ne_bytes([255, 255, 255, 0]));
    assert_eq!(mask(32, false), u32::MAX);
    assert_eq!(mask(1, false), u32::from_ne_bytes([128, 0, 0, 0]));
}
