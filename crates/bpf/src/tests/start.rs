use std::path::Path;

use super::support::*;
use crate::{DataPlane, Mode, Options, StartError, attach_pass, lock, purge};

fn refused(options: &Options) -> StartError {
    DataPlane::start(options).map(|_| ()).unwrap_err()
}

#[test]
fn a_fresh_start_attaches_the_program_and_pins_it_and_its_maps() {
    in_room(|room| {
        let options = room.options();
        let (mut plane, adopted) = DataPlane::start(&options).unwrap();
        assert!(adopted.is_empty());
        assert_eq!(room.attached(), Some(plane.program_id().unwrap()));
        drop(plane);
        assert!(room.attached().is_some());
        let maps = std::fs::read_dir(options.pin_dir.join("maps")).unwrap();
        assert_eq!(maps.count(), evenkeel_abi::map::ALL.len());
    });
}

#[test]
fn purge_leaves_nothing_and_may_be_repeated() {
    in_room(|room| {
        let options = room.options();
        drop(DataPlane::start(&options).unwrap());
        purge(&options.pin_dir).unwrap();
        assert!(room.pins().is_empty());
        wait_until("the program is off", || room.attached().is_none());
        purge(&options.pin_dir).unwrap();
    });
}

#[test]
fn a_held_pin_directory_is_refused_to_others() {
    in_room(|room| {
        let options = room.options();
        let held = lock(&options.pin_dir).unwrap();
        let error = lock(&options.pin_dir).unwrap_err();
        assert!(matches!(error, StartError::InUse { .. }), "{error}");
        // A first start takes the directory as it is.
        drop(DataPlane::start(&options).unwrap());
        assert!(lock(&options.pin_dir).is_err());
        drop(held);
        drop(lock(&options.pin_dir).unwrap());
        purge(&options.pin_dir).unwrap();
    });
}

#[test]
fn generic_mode_runs_beside_no_driver_program() {
    in_room(|room| {
        let mut options = room.options();
        options.mode = Mode::Generic;
        drop(DataPlane::start(&options).unwrap());
        let text = ip(&["-d", "link", "show", "dev", "eth0"]);
        assert!(text.contains("xdpgeneric"), "{text}");
    });
}

#[test]
fn another_program_on_the_interface_is_refused_and_nothing_is_left() {
    in_room(|room| {
        let options = room.options();
        let _other = attach_pass("eth0", options.link_index, Mode::Native).unwrap();
        let before = room.attached();
        let error = refused(&options);
        assert!(
            matches!(error, StartError::ForeignProgram { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("ip link set dev eth0 xdp off"));
        assert!(room.pins().is_empty());
        assert_eq!(room.attached(), before);
    });
}

#[test]
fn a_pass_program_leaves_when_its_handle_goes() {
    in_room(|room| {
        let pass = attach_pass("eth0", index("eth0"), Mode::Native).unwrap();
        assert!(room.attached().is_some());
        drop(pass);
        wait_until("the program is off", || room.attached().is_none());
    });
}

#[test]
fn a_directory_on_another_file_system_is_refused_with_the_mount_command() {
    in_room(|room| {
        let mut options = room.options();
        options.pin_dir = room.plain.join("evenkeel");
        let error = refused(&options);
        assert!(matches!(error, StartError::NotBpffs { .. }), "{error}");
        assert!(error.to_string().contains("mount -t bpf bpf /sys/fs/bpf"));
    });
}

#[test]
fn a_missing_interface_is_named() {
    in_room(|room| {
        let mut options = room.options();
        options.interface = "eth9".to_owned();
        let error = refused(&options);
        assert!(error.to_string().contains("`eth9`"), "{error}");
        assert!(room.pins().is_empty());
    });
}

#[test]
fn a_driver_that_refuses_is_told_from_other_errors() {
    in_room(|room| {
        ip(&["link", "set", "eth0", "mtu", "9000"]);
        ip(&["link", "set", PEER, "mtu", "9000"]);
        let error = refused(&room.options());
        assert!(
            matches!(error, StartError::NativeUnsupported { .. }),
            "{error}"
        );
        assert!(room.pins().is_empty());
    });
}

#[test]
fn an_interrupted_first_start_is_begun_anew() {
    in_room(|room| {
        let options = room.options();
        drop(DataPlane::start(&options).unwrap());
        std::fs::remove_file(options.pin_dir.join("links/eth0")).unwrap();
        std::fs::remove_file(options.pin_dir.join("maps/VIPS")).unwrap();
        wait_until("the program is off", || room.attached().is_none());
        let (_plane, adopted) = DataPlane::start(&options).unwrap();
        assert!(adopted.is_empty());
        assert!(room.attached().is_some());
    });
}

#[test]
fn a_user_without_privileges_is_told_which_are_missing() {
    let source = std::io::Error::from_raw_os_error(libc::EPERM);
    let error = crate::error::failed("load an XDP program", source);
    assert!(matches!(error, StartError::NotPermitted { .. }));
    assert!(error.to_string().contains("CAP_BPF"));
}

#[test]
fn kernels_below_the_floor_are_too_old() {
    use crate::plane::is_too_old;
    assert!(is_too_old("5.15.0-91-generic"));
    assert!(is_too_old("6.0.19"));
    assert!(!is_too_old("6.1.0-13-amd64"));
    assert!(!is_too_old("6.18.44"));
    assert!(!is_too_old("7.0-rc1"));
    assert!(!is_too_old("unreadable"));
}

#[test]
fn purging_where_nothing_is_does_nothing() {
    purge(Path::new("/nonexistent/evenkeel")).unwrap();
}
