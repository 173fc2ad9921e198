//! A UDP echo probe: one small datagram every so often, on a schedule that does not depend on answers,
//! and what became of each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::namespace::NetnsThread;
use crate::node::NodeHandle;
use crate::realtime;
use crate::silence::{Silence, longest_silence};
use crate::stamped;

/// How long answers to the last requests are waited for.
const GRACE: Duration = Duration::from_millis(200);

/// One request of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// When it was sent.
    pub sent: Instant,
    /// When its first answer came, by the kernel's stamp; `None`: lost.
    pub answered: Option<Instant>,
    /// Answers that came, two and more where it was duplicated.
    pub answers: u32,
}

/// A probe's requests, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echoes {
    /// The requests.
    pub requests: Vec<Echo>,
}

impl Echoes {
    /// The longest time between two answers.
    #[must_use]
    pub fn longest_silence(&self, from: Instant, to: Instant) -> Silence {
        let answers = self.requests.iter().filter_map(|echo| echo.answered);
        longest_silence(answers, from, to)
    }

    /// The requests that were sent from `from` to `to`.
    pub fn sent(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Echo> {
        self.requests
            .iter()
            .filter(move |echo| (from..=to).contains(&echo.sent))
    }
}

/// A running probe; dropping it ends it.
#[derive(Debug)]
pub struct UdpProbe {
    /// `None` only once it was stopped.
    thread: Option<NetnsThread<io::Result<Echoes>>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl UdpProbe {
    /// Sends a datagram from a node to `target` every `every`, all from one port, so that they are one
    /// flow to a balancer.
    ///
    /// Its thread takes real-time priority where it may: it stands for a client with processors of its
    /// own.
    ///
    /// # Errors
    /// The node is off, or its network has no way to `target`.
    pub fn start(
        node: NodeHandle<'_>,
        target: SocketAddr,
        every: Duration,
    ) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (ready, opened) = mpsc::sync_channel(1);
        let mut prober = Prober {
            every,
            stop: Arc::clone(&stop),
            answered: Arc::clone(&answered),
            echoes: Echoes::default(),
        };
        let thread = node.thread(move || {
            let socket = match open(target) {
                Ok(socket) => socket,
                Err(error) => {
                    // Whoever started this waits for it.
                    let _told = ready.send(Err(error));
                    return Ok(Echoes::default());
                }
            };
            let _told = ready.send(Ok(()));
            // Without it the probe is as late as this machine is busy.
            let _refused = realtime::enter();
            prober.run(&socket)?;
            Ok(prober.echoes)
        })?;
        opened
            .recv()
            .map_err(io::Error::other)
            .and_then(|opened| opened)
            .map_err(failed)?;
        Ok(Self {
            thread: Some(thread),
            stop,
            answered,
        })
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends nothing more, waits a moment for the last answers, and tells of all requests.
    ///
    /// # Errors
    /// The socket failed, or its thread could not enter the node.
    pub fn stop(mut self) -> Result<Echoes, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().and_then(|echoes| echoes).map_err(failed),
            None => Ok(Echoes::default()),
        }
    }
}

impl Drop for UdpProbe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn failed(source: io::Error) -> LabError {
    LabError::Start {
        what: "the echo probe in the node's namespace",
        source,
    }
}

fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    stamped::prepare(&socket)?;
    // Only answers that come from the target itself are taken then.
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

struct Prober {
    every: Duration,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    echoes: Echoes,
}

impl Prober {
    fn run(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.send(socket);
            self.receive(socket)?;
            // Those that are late are made up for: the rate is the probe's, not the machine's.
            next += self.every;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let end = Instant::now() + GRACE;
        while Instant::now() < end && self.echoes.requests.iter().any(|echo| echo.answers == 0) {
            thread::sleep(self.every);
            self.receive(socket)?;
        }
        Ok(())
    }

    fn send(&mut self, socket: &UdpSocket) {
        let number = u64::try_from(self.echoes.requests.len()).unwrap_or(u64::MAX);
        let sent = Instant::now();
        // What does not even leave is a request without an answer, like one that was lost on the way.
        drop(socket.send(&number.to_be_bytes()));
        self.echoes.requests.push(Echo {
            sent,
            answered: None,
            answers: 0,
        });
    }

    /// Takes all answers that are there.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        loop {
            let mut number = [0; 8];
            match stamped::receive(socket, &mut number) {
                Ok((length, when)) if length == number.len() => {
                    self.take(u64::from_be_bytes(number), when);
                }
                // Nobody's answer.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_of_the_way(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, number: u64, when: Instant) {
        let place = usize::try_from(number).ok();
        let Some(echo) = place.and_then(|place| self.echoes.requests.get_mut(place)) else {
            return;
        };
        echo.answers += 1;
        if echo.answered.is_none() {
            echo.answered = Some(when);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An interruption, or an ICMP error that an earlier request met.
fn is_of_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests;
