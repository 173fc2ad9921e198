//! What a test runs on a real server beside its web server: a stream server, and a health page that can be
//! made to fail or hang.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::streams::{Ended, STREAMS, serve};

/// Port of the health page.
pub const HEALTH: u16 = 8080;

/// What the health page does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Answers 200.
    Good,
    /// Answers 503.
    Bad,
    /// Accepts, and never answers.
    Hung,
}

/// The streams that a server has or had, by number; `None`: it still runs.
type Book = Arc<Mutex<BTreeMap<u64, Option<Result<Ended, String>>>>>;

/// The servers on one node; dropping this ends them.
#[derive(Debug)]
pub struct Backend {
    health: watch::Sender<Health>,
    streams: Book,
}

impl Backend {
    /// Starts them; they listen when this returns.
    ///
    /// # Panics
    /// Where a port is taken or the node is off.
    #[must_use]
    pub fn start(cluster: &Cluster, node: &str) -> Self {
        let (health, told) = watch::channel(Health::Good);
        let streams = Book::default();
        let book = Arc::clone(&streams);
        let (ready, opened) = mpsc::sync_channel(1);
        let thread = cluster.node(node).task(move || async move {
            let health = TcpListener::bind((Ipv4Addr::UNSPECIFIED, HEALTH)).await;
            let streams = TcpListener::bind((Ipv4Addr::UNSPECIFIED, STREAMS)).await;
            let (health, streams) = (health.expect("free"), streams.expect("free"));
            ready.send(()).expect("the test waits");
            accept(&health, &streams, told, &book).await;
        });
        drop(thread.expect("the node is on"));
        opened.recv().expect("the servers listen");
        Self { health, streams }
    }

    /// Changes what the health page does, for checks from now on.
    pub fn set_health(&self, health: Health) {
        self.health.send_replace(health);
    }

    /// Numbers of the streams that run.
    #[must_use]
    pub fn running(&self) -> Vec<u64> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let running = streams.iter().filter(|(_, end)| end.is_none());
        running.map(|(number, _)| *number).collect()
    }

    /// How the streams ended that are over, by number.
    #[must_use]
    pub fn ended(&self) -> BTreeMap<u64, Result<Ended, String>> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = streams.iter();
        ended
            .filter_map(|(number, end)| Some((*number, end.clone()?)))
            .collect()
    }
}

/// Serves until the backend is dropped.
async fn accept(
    health: &TcpListener,
    streams: &TcpListener,
    mut told: watch::Receiver<Health>,
    book: &Book,
) {
    loop {
        tokio::select! {
            changed = told.changed() => if changed.is_err() {
                return;
            },
            Ok((stream, _)) = health.accept() => {
                let health = *told.borrow();
                tokio::spawn(answer(stream, health));
            }
            Ok((stream, _)) = streams.accept() => {
                tokio::spawn(stream_of(stream, Arc::clone(book)));
            }
        }
    }
}

/// Answers one check.
async fn answer(mut stream: TcpStream, health: Health) {
    let mut request = [0; 1024];
    // Whatever is asked, the answer is the same.
    if stream.read(&mut request).await.is_err() {
        return;
    }
    let status = match health {
        Health::Good => "200 OK",
        Health::Bad => "503 Service Unavailable",
        Health::Hung => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return;
        }
    };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    // A check that went away wants no answer.
    drop(stream.write_all(text.as_bytes()).await);
}

async fn stream_of(mut stream: TcpStream, book: Book) {
    let Ok(number) = stream.read_u64().await else {
        // A check by connection says nothing.
        return;
    };
    let enter = |end| {
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        book.insert(number, end);
    };
    enter(None);
    let end = serve(stream, number).await;
    enter(Some(end.map_err(|error| error.to_string())));
}
