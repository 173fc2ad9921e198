//! A daemon that gives prepared answers, for what a command prints of them.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use tempfile::TempDir;

/// Longest wait for a request that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers one request after the other, then hangs up on whoever asks on.
pub(crate) struct Daemon {
    directory: TempDir,
    requests: Receiver<String>,
}

impl Daemon {
    /// Listens on a socket of its own from now on.
    pub(crate) fn start(answers: Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let requests = serve(&socket(&directory), answers);
        Self {
            directory,
            requests,
        }
    }

    /// Listens again, in the place of the one that gave its last answer.
    pub(crate) fn restart(&mut self, answers: Vec<String>) {
        self.requests = serve(&self.socket(), answers);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.directory)
    }

    /// The next request's path and query, and behind a blank its body if it has one.
    pub(crate) fn request(&self) -> String {
        self.requests
            .recv_timeout(PATIENCE)
            .expect("a request comes in time")
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("api.sock")
}

fn serve(path: &Path, answers: Vec<String>) -> Receiver<String> {
    let listener = UnixListener::bind(path).expect("the socket can be bound");
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || answer_all(&listener, &path, answers.into(), &sender));
    receiver
}

fn answer_all(
    listener: &UnixListener,
    path: &Path,
    mut answers: VecDeque<String>,
    requests: &Sender<String>,
) {
    while let Some(answer) = answers.pop_front() {
        let Ok((stream, _peer)) = listener.accept() else {
            return;
        };
        let last = answers.is_empty();
        if last {
            // Whoever asks again must not find this socket.
            drop(std::fs::remove_file(path));
        }
        if let Ok(request) = converse(stream, &answer) {
            drop(requests.send(request));
        }
    }
}

fn converse(mut stream: UnixStream, answer: &str) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, length)| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}"
    )?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    Ok(format!("{path} {body}").trim_end().to_owned())
}
