//! Connections that carry checked data both ways until the test ends them.
//!
//! Both ends know what the other must send, byte for byte, and count what they sent and received.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel_lab::NetnsThread;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, vip};

/// Port of the stream servers.
pub const STREAMS: u16 = 81;

/// Port of the client's first stream: above those of [`evenkeel_lab::load::Ports`].
pub const FIRST_PORT: u16 = 60_000;

/// Each end sends a chunk so often.
const EVERY: Duration = Duration::from_millis(20);

/// Bytes of a chunk.
const CHUNK: usize = 200;

/// What one end counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub sent: u64,
    pub received: u64,
}

/// Which end a byte comes from.
#[derive(Clone, Copy)]
enum End {
    Client,
    Server,
}

/// Running streams from the client to [`STREAMS`] of the virtual address; dropping this ends them.
#[derive(Debug)]
pub struct Streams {
    thread: NetnsThread<Vec<Result<Ended, String>>>,
    stop: watch::Sender<bool>,
    received: Arc<Vec<AtomicU64>>,
}

impl Streams {
    /// Opens that many, numbered from 0; the client's port of each is [`FIRST_PORT`] and its number.
    ///
    /// # Panics
    /// Where the client is off.
    #[must_use]
    pub fn start(cluster: &Cluster, count: u16) -> Self {
        Self::start_from(cluster, 0, count)
    }

    /// As [`start`](Self::start), numbered from `first`: beside others that run.
    ///
    /// # Panics
    /// Where the client is off.
    #[must_use]
    pub fn start_from(cluster: &Cluster, first: u16, count: u16) -> Self {
        let (stop, stopped) = watch::channel(false);
        let received: Arc<Vec<AtomicU64>> =
            Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
        let counted = Arc::clone(&received);
        let thread = cluster.node("client").task(move || async move {
            let mut running = JoinSet::new();
            for (place, number) in (first..first + count).enumerate() {
                let (stopped, counted) = (stopped.clone(), Arc::clone(&counted));
                running.spawn(async move {
                    let counter = counted.get(place).expect("one for each stream");
                    (number, open(number, stopped, counter).await)
                });
            }
            drop(stopped);
            let mut ends = running.join_all().await;
            ends.sort_by_key(|(number, _)| *number);
            let ends = ends.into_iter();
            ends.map(|(_, end)| end.map_err(|error| error.to_string()))
                .collect()
        });
        let thread = thread.expect("the client is on");
        Self {
            thread,
            stop,
            received,
        }
    }

    /// Bytes that the client received so far, by stream.
    #[must_use]
    pub fn received(&self) -> Vec<u64> {
        self.received
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed))
            .collect()
    }

    /// Waits until every stream has got some more bytes.
    pub fn all_get_on(&self, cluster: &Cluster) {
        let before = self.received();
        cluster.eventually("every stream gets on", || {
            let now = self.received();
            let chunks = 3 * u64::try_from(CHUNK).unwrap_or(0);
            before
                .iter()
                .zip(&now)
                .all(|(before, now)| now >= &(before + chunks))
        });
    }

    /// Ends them in good order; what the client's ends counted, by number.
    ///
    /// # Panics
    /// Where the client was switched off meanwhile.
    #[must_use]
    pub fn stop(self) -> Vec<Result<Ended, String>> {
        self.stop.send_replace(true);
        self.thread.join().expect("the thread enters the client")
    }
}

async fn open(
    number: u16,
    stopped: watch::Receiver<bool>,
    counter: &AtomicU64,
) -> io::Result<Ended> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::UNSPECIFIED, FIRST_PORT + number).into())?;
    let mut stream = socket.connect(vip(STREAMS)).await?;
    stream.set_nodelay(true)?;
    stream.write_u64(number.into()).await?;
    let (reader, writer) = stream.into_split();
    let (sent, received) = tokio::try_join!(
        send(writer, number.into(), End::Client, stopped),
        receive(reader, number.into(), End::Server, Some(counter)),
    )?;
    Ok(Ended { sent, received })
}

/// The server's end of a stream, until the client closes its own.
pub(crate) async fn serve(stream: TcpStream, number: u64) -> io::Result<Ended> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let (stop, stopped) = watch::channel(false);
    let receiving = async {
        let received = receive(reader, number, End::Client, None).await;
        stop.send_replace(true);
        received
    };
    let (sent, received) = tokio::try_join!(send(writer, number, End::Server, stopped), receiving)?;
    Ok(Ended { sent, received })
}

async fn send(
    mut writer: OwnedWriteHalf,
    number: u64,
    end: End,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<u64> {
    let mut ticks = tokio::time::interval(EVERY);
    let mut sent = 0;
    loop {
        tokio::select! {
            // A dropped sender ends the stream as well.
            _ = stopped.wait_for(|stop| *stop) => break,
            _ = ticks.tick() => {}
        }
        let chunk: Vec<u8> = (sent..)
            .take(CHUNK)
            .map(|place| byte(number, end, place))
            .collect();
        writer.write_all(&chunk).await?;
        sent += u64::try_from(CHUNK).unwrap_or(0);
    }
    writer.shutdown().await?;
    Ok(sent)
}

async fn receive(
    mut reader: OwnedReadHalf,
    number: u64,
    end: End,
    counter: Option<&AtomicU64>,
) -> io::Result<u64> {
    let mut received = 0;
    let mut buffer = [0; 4096];
    loop {
        let length = reader.read(&mut buffer).await?;
        if length == 0 {
            return Ok(received);
        }
        let came = buffer.get(..length).unwrap_or(&[]);
        let wanted = (received..).map(|place| byte(number, end, place));
        if !came
            .iter()
            .copied()
            .zip(wanted)
            .all(|(came, wanted)| came == wanted)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a wrong byte came",
            ));
        }
        received += u64::try_from(length).unwrap_or(0);
        if let Some(counter) = counter {
            counter.store(received, Ordering::Relaxed);
        }
    }
}

/// The byte that an end of a stream sends at a place.
fn byte(number: u64, end: End, place: u64) -> u8 {
    let of_end = match end {
        End::Client => 0,
        End::Server => 101,
    };
    let mixed = place ^ (place >> 8) ^ (place >> 16);
    let [low, ..] = mixed.wrapping_add(number * 7 + of_end).to_le_bytes();
    low
}
