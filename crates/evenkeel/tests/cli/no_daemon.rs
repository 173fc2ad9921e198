use crate::{evenkeel, path, program, told};

#[test]
fn commands_that_ask_the_daemon_say_how_to_start_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");
    for words in [
        &["status"][..],
        &["reload"],
        &["failover"],
        &["standby", "--off"],
        &["maintenance", "off"],
        &["events"],
        &["events", "--follow"],
        &["trace", "198.18.14.1:4000", "198.18.14.146:80"],
        &["connections"],
        &["drain", "web/198.18.14.12"],
        &["drain", "web/198.18.14.12", "--wait"],
        &["ready", "web/198.18.14.12"],
    ] {
        let told = evenkeel(&[words, &["--socket", path(&socket)]].concat());
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.out.is_empty(), "{told:?}");
        let expected = format!(
            "Error: the daemon is not running: nobody listens on `{}`\n",
            socket.display()
        );
        assert!(told.err.starts_with(&expected), "{told:?}");
        assert!(told.err.contains("systemctl start evenkeel"), "{told:?}");
        assert!(told.err.contains("sudo evenkeel run"), "{told:?}");
    }
}

#[test]
fn the_socket_is_also_named_by_the_environment() {
    let mut command = program("evenkeel");
    command
        .arg("status")
        .env("EVENKEEL_SOCKET", "/no/such.sock");
    let told = told(command);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.err.contains("`/no/such.sock`"), "{told:?}");
}

#[test]
fn ipvsadm_fails_as_where_the_kernel_has_no_ipvs() {
    let mut command = program("ipvsadm");
    command.arg("-Ln").env("EVENKEEL_SOCKET", "/no/such.sock");
    let told = told(command);
    assert_eq!(told.code, Some(2), "{told:?}");
    let expected =
        "Can't initialize ipvs: the daemon is not running: nobody listens on `/no/such.sock`\n";
    assert!(told.err.starts_with(expected), "{told:?}");
}
