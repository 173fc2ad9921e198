use std::thread;

use evenkeel_net::realtime;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::guard::drop_capabilities;

const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// The number after `name` in a `status` file of /proc, of the radix.
fn status(path: &str, name: &str, radix: u32) -> u64 {
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), radix).unwrap()
}

fn may(capability: u32) -> bool {
    status("/proc/thread-self/status", "CapEff:", 16) & (1 << capability) != 0
}

/// Scheduling policy and real-time priority of the calling thread: fields 41 and 40 of proc_pid_stat(5).
fn policy_and_priority() -> (u32, u32) {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The name, field 2, may hold anything.
    let (_name, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    (
        fields[41 - 3].parse().unwrap(),
        fields[40 - 3].parse().unwrap(),
    )
}

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;

#[test]
fn with_the_capabilities_a_thread_is_real_time_and_its_memory_locked() {
    if !may(CAP_SYS_NICE) || !may(CAP_IPC_LOCK) {
        println!("skipped: needs CAP_SYS_NICE and CAP_IPC_LOCK");
        return;
    }
    let thread = thread::spawn(|| {
        let got = realtime::enter(2);
        got.scheduler.unwrap();
        got.memory.unwrap();
        assert_eq!(policy_and_priority(), (SCHED_FIFO, 2));
        assert!(status("/proc/self/status", "VmLck:", 10) > 0);
        // Whom it starts is ordinary.
        thread::spawn(policy_and_priority).join().unwrap()
    });
    assert_eq!(thread.join().unwrap(), (SCHED_OTHER, 0));
    assert_eq!(policy_and_priority(), (SCHED_OTHER, 0));
}

#[test]
fn without_the_capabilities_it_says_so_and_goes_on() {
    // Lower limits can't harm the other tests, which have the capabilities.
    for (resource, limit) in [
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_MEMLOCK, 1 << 20),
    ] {
        let (_soft, hard) = getrlimit(resource).unwrap();
        setrlimit(resource, limit.min(hard), hard).unwrap();
    }
    let thread = thread::spawn(|| {
        drop_capabilities();
        let got = realtime::enter(2);
        assert_eq!(policy_and_priority(), (SCHED_OTHER, 0));
        (got, status("/proc/self/status", "VmLck:", 10))
    });
    let (got, locked_kib) = thread.join().unwrap();
    let refused = got.scheduler.unwrap_err().raw_os_error();
    assert_eq!(refused, Some(libc::EPERM));
    let refused = got.memory.unwrap_err().raw_os_error();
    assert_eq!(refused, Some(libc::ENOMEM));
    // The stack is, within the limit.
    assert!(locked_kib >= 128, "{locked_kib}");
}
