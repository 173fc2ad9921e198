use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_model::{
    Edited, Persistence, Protocol, Scheduler, SchedulerFlags, ServerSettings, ServiceEdit,
    ServiceKey, ServiceSettings, Thresholds, Timeouts, Weight,
};

use super::*;

fn key(port: u16) -> ServiceKey {
    ServiceKey::Single {
        protocol: Protocol::Udp,
        address: ([198, 18, 14, 146], port).into(),
    }
}

/// An overlay with everything that an overlay can have.
fn full() -> Overlay {
    let settings = ServiceSettings {
        scheduler: Scheduler::SourceHash,
        flags: SchedulerFlags {
            port: true,
            fallback: true,
        },
        persistence: Some(Persistence {
            timeout: Duration::from_secs(360),
            prefix: 24,
        }),
        one_packet: true,
    };
    let server = |last: u8| SocketAddr::from(([198, 18, 14, last], 53));
    let weight = |weight, upper| ServerSettings {
        weight: Weight::try_from(weight).unwrap(),
        thresholds: Thresholds { upper, lower: 3 },
    };
    let servers = vec![
        (server(13), Edited::Added(weight(0, 9))),
        (server(12), Edited::Changed(weight(65_535, u32::MAX))),
        (server(14), Edited::Removed),
    ];
    let edits = [
        Some(Edited::Added(settings)),
        Some(Edited::Changed(settings)),
        Some(Edited::Removed),
        None,
    ];
    let services = (53..).zip(edits).map(|(port, service)| {
        let mut servers = servers.clone();
        for (address, _) in &mut servers {
            address.set_port(port);
        }
        let edit = ServiceEdit {
            service,
            drained: servers
                .iter()
                .map(|(address, _)| *address)
                .take(2)
                .collect(),
            servers,
        };
        (key(port), edit)
    });
    Overlay {
        services: services.collect(),
        timeouts: Timeouts {
            tcp: Some(Duration::from_secs(900)),
            tcp_fin: None,
            udp: Some(Duration::from_secs(1)),
            sctp: None,
        },
    }
}

#[test]
fn what_is_kept_is_found_by_the_next_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("evenkeel.sock");
    let (mut file, none) = EditsFile::open(&socket);
    assert!(none.is_empty());
    let totals = Totals {
        conns: 1,
        in_packets: 2,
        in_bytes: 3,
    };
    let counted = [
        Counted::Service(key(53)),
        Counted::Server(key(53), ([198, 18, 14, 13], 53).into()),
    ];
    file.baselines = counted.into_iter().map(|of| (of, totals)).collect();
    file.keep(&full()).unwrap();
    let (again, overlay) = EditsFile::open(&socket);
    assert_eq!(overlay, full());
    assert_eq!(again.baselines, file.baselines);
    // Nothing but the file is left, and without edits nothing at all.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    file.baselines.clear();
    file.keep(&Overlay::default()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_of_no_use_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("evenkeel.sock");
    let path = EditsFile::path_for(&socket);
    let (mut file, _) = EditsFile::open(&socket);
    file.keep(&full()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let bad = [
        good[..good.len() / 2].to_owned(),
        good.replacen("\"version\":1", "\"version\":2", 1),
        good.replace("198.18.14.146", "224.0.0.1"),
        good.replace("\"sh\"", "\"shh\""),
        String::new(),
    ];
    for text in bad {
        fs::write(&path, &text).unwrap();
        let (_, overlay) = EditsFile::open(&socket);
        assert!(overlay.is_empty(), "{text}");
        assert!(!path.exists());
        let aside = folder.path().join("evenkeel.edits.json.bad");
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}

#[test]
fn edits_that_can_not_be_written_are_told_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut file, _) = EditsFile::open(&folder.path().join("gone/evenkeel.sock"));
    let error = file.keep(&full()).unwrap_err();
    assert!(
        error.to_string().contains("gone/evenkeel.edits.json"),
        "{error}"
    );
}
