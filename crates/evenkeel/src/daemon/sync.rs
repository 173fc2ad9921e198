//! Connection sync: joins the director's sessions to its socket and to the data plane.

mod key_file;
mod turns;
mod view;
mod words;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_control::Report;
use evenkeel_control::mirror::Mirror;
use evenkeel_model::Director;
use evenkeel_net::PeerSocket;
use evenkeel_sync::Key;

use crate::command_error::CommandError;

pub(crate) use self::turns::wait;
use self::words::Plane;

/// Datagrams that are taken in before anything else is done: a session's window.
const BURST: usize = 64;

/// Longest datagram.
const DATAGRAM_MAX: usize = 2048;

/// The event loop's part in connection sync.
pub(crate) struct Sync {
    mirror: Mirror,
    socket: PeerSocket,
    buffer: Box<[u8]>,
}

impl Sync {
    /// Opens the socket and the sessions.
    pub(crate) fn start(director: &Director, now: Instant) -> Result<Option<Self>, CommandError> {
        let Some(config) = director.sync.as_deref().cloned() else {
            return Ok(None);
        };
        let keys = config.key_files.iter().map(|path| key_file::read(path));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>().map_err(|error| {
            let hint = error.hint();
            CommandError::new(error).hint(hint)
        })?;
        let socket = PeerSocket::open(config.port).map_err(|error| {
            CommandError::new(error).hint("Give connection sync another `port` on all directors.")
        })?;
        let seeds = config.peers.iter().map(|_| random());
        let seeds: Vec<_> = seeds.collect::<Result<_, _>>().map_err(CommandError::new)?;
        let mirror =
            Mirror::new(config, director, &keys, &seeds, now).map_err(CommandError::new)?;
        Ok(Some(Self {
            mirror,
            socket,
            buffer: vec![0; DATAGRAM_MAX].into(),
        }))
    }

    /// Waits for a datagram of somebody; it may be called anew at any time.
    pub(crate) async fn receive(&mut self) {
        let came = self.socket.receive(&mut self.buffer).await;
        self.take(came);
        for _ in 1..BURST {
            let came = self.socket.try_receive(&mut self.buffer);
            if matches!(&came, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
            self.take(came);
        }
    }

    fn take(&mut self, came: io::Result<(usize, SocketAddr)>) {
        // That a peer's port is closed is told by its silence.
        let Ok((len, from)) = came else {
            return;
        };
        if let Some(datagram) = self.buffer.get(..len) {
            self.mirror.handle_datagram(datagram, from, Instant::now());
        }
    }

    /// Tells and takes in what there is.
    fn turn(&mut self, mut plane: Plane<'_>, director: &Director, now: Instant) -> Vec<Report> {
        let reports = self.mirror.turn(&mut plane, director, now);
        while let Some((to, datagram)) = self.mirror.poll_datagram() {
            // What the kernel does not take is lost, and told again.
            let _sent = self.socket.send(&datagram, to);
        }
        reports
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
