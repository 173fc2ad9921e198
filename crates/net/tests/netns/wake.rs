use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_net::{Waker, wait_readable};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(60);

fn waited(fds: &[BorrowedFd<'_>], timeout: Duration) -> Duration {
    let before = Instant::now();
    wait_readable(fds, Some(timeout)).unwrap();
    before.elapsed()
}

#[test]
fn a_wait_ends_near_its_timeout() {
    let (_waker, reader) = Waker::pair().unwrap();
    for fds in [&[][..], &[reader.as_fd()], &[reader.as_fd(); 4]] {
        let waits: Vec<Duration> = (0..20).map(|_| waited(fds, SHORT)).collect();
        assert!(waits.iter().all(|wait| *wait >= SHORT), "{waits:?}");
        // The machine may be busy, but not each time.
        let best = waits.iter().min().unwrap();
        assert!(*best < SHORT + Duration::from_millis(1), "{waits:?}");
    }
}

#[test]
fn another_thread_ends_a_wait() {
    let (waker, reader) = Waker::pair().unwrap();
    let before = Instant::now();
    let other = waker.clone();
    let waking = thread::spawn(move || other.wake());
    wait_readable(&[reader.as_fd()], Some(LONG)).unwrap();
    waking.join().unwrap();
    assert!(before.elapsed() < LONG);

    // Woken once or often, it is readable until it is drained.
    waker.wake();
    assert!(waited(&[reader.as_fd()], LONG) < LONG);
    reader.drain();
    reader.drain();
    assert!(waited(&[reader.as_fd()], SHORT) >= SHORT);
}

#[test]
fn any_of_the_file_descriptors_ends_a_wait() {
    let pairs: Vec<_> = (0..4).map(|_| Waker::pair().unwrap()).collect();
    let fds: Vec<BorrowedFd<'_>> = pairs.iter().map(|(_, reader)| reader.as_fd()).collect();
    for (waker, reader) in &pairs {
        waker.wake();
        wait_readable(&fds, None).unwrap();
        reader.drain();
        assert!(waited(&fds, SHORT) >= SHORT);
    }
}

#[test]
fn more_than_four_file_descriptors_are_refused() {
    let (_waker, reader) = Waker::pair().unwrap();
    let error = wait_readable(&[reader.as_fd(); 5], None).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
