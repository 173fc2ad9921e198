//! A network namespace that lives as long as its guard, and two of them joined by a veth pair.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use evenkeel_net::NetEvent;
use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::mpsc::Receiver;

/// Longest wait for anything that must happen; the kernel's own timers are 5 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct NetNs {
    handle: File,
}

impl NetNs {
    pub(crate) fn new() -> Self {
        let handle = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self {
            handle: handle.join().unwrap(),
        };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `inside` on a thread of its own in the namespace.
    pub(crate) fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET).unwrap();
                inside()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs what `make` makes on a runtime of its own in the namespace.
    pub(crate) fn block_on<F: Future<Output: Send>>(
        &self,
        make: impl FnOnce() -> F + Send,
    ) -> F::Output {
        self.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(make())
        })
    }

    /// Runs `ip` in the namespace and returns what it prints.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        self.enter(|| {
            let output = Command::new("ip")
                .args(arguments.split_whitespace())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "ip {arguments}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        })
    }

    /// Runs many `ip` commands at once.
    pub(crate) fn ip_batch(&self, commands: &str) {
        self.enter(|| {
            let mut child = Command::new("ip")
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(commands.as_bytes()).unwrap();
            drop(input);
            assert!(child.wait().unwrap().success());
        });
    }

    /// Names the namespace for `ip`.
    pub(crate) fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.handle.as_raw_fd()
        )
    }
}

/// A director with 10.0.0.1 and a real server with 10.0.0.2, each on its `eth0`.
pub(crate) fn pair() -> (NetNs, NetNs) {
    let director = NetNs::new();
    let server = NetNs::new();
    director.ip(&format!(
        "link add eth0 address 02:00:00:00:00:01 type veth \
         peer name eth0 address 02:00:00:00:00:02 netns {}",
        server.path()
    ));
    for (namespace, host) in [(&director, 1), (&server, 2)] {
        namespace.ip(&format!("addr add 10.0.0.{host}/24 dev eth0"));
        namespace.ip("link set eth0 up");
    }
    (director, server)
}

/// Waits for an event that fits, and returns it.
pub(crate) async fn wait_for(
    events: &mut Receiver<NetEvent>,
    fits: impl Fn(&NetEvent) -> bool,
) -> NetEvent {
    let mut seen = Vec::new();
    let fitting = async {
        while let Some(event) = events.recv().await {
            if fits(&event) {
                return Some(event);
            }
            seen.push(event);
        }
        None
    };
    match tokio::time::timeout(PATIENCE, fitting).await {
        Ok(Some(event)) => event,
        Ok(None) => panic!("the events ended after {seen:?}"),
        Err(_) => panic!("nothing fits in {seen:?}"),
    }
}

/// Takes all capabilities from the calling thread, as long as it lives.
pub(crate) fn drop_capabilities() {
    // _LINUX_CAPABILITY_VERSION_3 of the calling thread; then effective, permitted and inheritable
    // sets, twice 32 bits each.
    let header = [0x2008_0522_u32, 0];
    let sets = [0_u32; 6];
    // SAFETY: the kernel reads 8 and 24 bytes, which the two arrays have, and changes this thread only.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
