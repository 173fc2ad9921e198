//! The lab's keepalived on a director's node, as tests start and end it.

use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use evenkeel_lab::keepalived::Instance;

use crate::cluster::{LOOK_EVERY, PATIENCE};
use crate::director::Director;

/// A running keepalived; dropping it kills it.
#[derive(Debug)]
pub struct Keepalived(evenkeel_lab::keepalived::Keepalived);

/// Whether it is installed; says so where not.
#[must_use]
pub fn is_there() -> bool {
    are_there(&["keepalived", "tshark"], "keepalived tshark")
}

/// Whether these programs, of those packages, are installed; says so where not.
#[expect(clippy::print_stdout, reason = "a test that can't run says why")]
pub(crate) fn are_there(programs: &[&str], packages: &str) -> bool {
    let mut missing = programs.iter().filter(|program| {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_err()
    });
    match missing.next() {
        Some(program) => {
            println!("skipped: `{program}` is not installed (`apt-get install {packages}`)");
            false
        }
        None => true,
    }
}

/// SIGTERM to a program; when that was. It has ended when this returns.
pub(crate) fn terminate(child: &mut Child, name: &str) -> Instant {
    let pid = i32::try_from(child.id()).expect("pids are small");
    let when = Instant::now();
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is our child");
    let deadline = when + PATIENCE;
    while child.try_wait().expect("it is our child").is_none() {
        assert!(Instant::now() < deadline, "{name} does not end");
        thread::sleep(LOOK_EVERY);
    }
    when
}

impl Keepalived {
    /// Starts it on a node.
    ///
    /// # Panics
    /// Where it is not installed.
    #[must_use]
    pub fn start(director: Director<'_>, instance: &Instance) -> Self {
        let started = evenkeel_lab::keepalived::Keepalived::start(
            director.node(),
            &director.folder().join("keepalived.log"),
            instance,
        );
        Self(started.expect("keepalived starts"))
    }

    /// SIGKILL to both its processes; they are gone when this returns.
    pub fn kill(mut self) -> Instant {
        let when = Instant::now();
        self.0.signal(Signal::SIGKILL);
        drop(self.0.wait());
        when
    }

    /// Waits until it has ended, killed by somebody else.
    pub fn wait(mut self) {
        drop(self.0.wait());
    }

    /// SIGTERM; when that was. It is gone when this returns.
    ///
    /// # Panics
    /// If it does not end.
    pub fn terminate(mut self) -> Instant {
        let when = Instant::now();
        self.0.terminate();
        while !self.0.has_ended().expect("it is our child") {
            assert!(when.elapsed() < PATIENCE, "keepalived does not end");
            thread::sleep(LOOK_EVERY);
        }
        when
    }
}

impl Deref for Keepalived {
    type Target = evenkeel_lab::keepalived::Keepalived;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
