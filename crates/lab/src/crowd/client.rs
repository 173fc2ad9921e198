//! A client process: opens its connections, holds them, and asks on all of them when it is told to.

use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::crowd::limits::raise_descriptors;
use crate::crowd::{ANSWER, Asked, ClientSpec, Opened, Order, Outcome, Reported};
use crate::crowd::{monotonic, name_in};

/// Most connections of a process that are being opened.
const OPENING_MAX: usize = 64;

/// Time in which a connection must be open and have its first answer: some of a SYN's repetitions.
const OPENING_TIME: Duration = Duration::from_secs(15);

/// An open connection.
pub(super) struct Connection {
    pub(super) port: u16,
    server: String,
    stream: TcpStream,
}

/// The hidden subcommand; it ends with its standard input.
pub(crate) fn run() -> ExitCode {
    match converse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Whoever started it reads this.
            let _unheard = writeln!(io::stderr(), "lab: crowd client: {err}");
            ExitCode::FAILURE
        }
    }
}

fn converse() -> io::Result<()> {
    raise_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut lines = io::stdin().lock().lines();
    let Some(line) = lines.next() else {
        return Ok(());
    };
    let spec: ClientSpec = serde_json::from_str(&line?)?;
    let (opened, mut connections) = runtime.block_on(open(&spec));
    report(&Reported::Opened(opened))?;
    for (round, line) in (1..).zip(lines) {
        let order: Order = serde_json::from_str(&line?)?;
        let (asked, whole) = runtime.block_on(ask(connections, &order, round))?;
        connections = whole;
        report(&Reported::Asked(asked))?;
    }
    Ok(())
}

fn report(reported: &Reported) -> io::Result<()> {
    let mut line = serde_json::to_string(reported)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

pub(super) async fn open(spec: &ClientSpec) -> (Vec<Opened>, Vec<Connection>) {
    let window = Arc::new(Semaphore::new(OPENING_MAX));
    let begun = Instant::now();
    let mut opening = JoinSet::new();
    for (number, port) in (0u32..).zip((spec.first_port..).take(spec.connections.into())) {
        sleep_until(begun + Duration::from_secs(1) * number / spec.rate.max(1)).await;
        // It is never closed, so there is a permit in the end.
        let permit = Arc::clone(&window).acquire_owned().await.ok();
        let service = spec.service;
        opening.spawn(async move {
            let opened = timeout(OPENING_TIME, open_one(service, port)).await;
            drop(permit);
            let opened = opened.unwrap_or_else(|late| Err(late.into()));
            (port, opened)
        });
    }
    let mut all = opening.join_all().await;
    all.sort_unstable_by_key(|(port, _opened)| *port);
    let mut opened = Vec::with_capacity(all.len());
    let mut connections = Vec::with_capacity(all.len());
    for (port, result) in all {
        let server = match result {
            Ok(connection) => {
                let server = connection.server.clone();
                connections.push(connection);
                Ok(server)
            }
            Err(err) => Err(err.to_string()),
        };
        opened.push(Opened { port, server });
    }
    (opened, connections)
}

async fn open_one(service: SocketAddrV4, port: u16) -> io::Result<Connection> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    let mut stream = socket.connect(service.into()).await?;
    let server = request(&mut stream, port, 0)
        .await?
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(Connection {
        port,
        server,
        stream,
    })
}

/// Asks on every connection; what came of each, and those that are still whole.
pub(super) async fn ask(
    connections: Vec<Connection>,
    order: &Order,
    round: u32,
) -> io::Result<(Vec<Asked>, Vec<Connection>)> {
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
    let patience = order.patience;
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for (number, connection) in (0u32..).zip(connections) {
        sleep_until(begun + order.spread.mul_f64(f64::from(number) / f64::from(count))).await;
        asking.spawn(ask_one(connection, round, patience));
    }
    let mut asked = Vec::new();
    let mut whole = Vec::new();
    for result in asking.join_all().await {
        let (one, connection) = result?;
        asked.push(one);
        whole.extend(connection);
    }
    asked.sort_unstable_by_key(|one| one.port);
    whole.sort_unstable_by_key(|connection| connection.port);
    Ok((asked, whole))
}

async fn ask_one(
    mut connection: Connection,
    round: u32,
    patience: Duration,
) -> io::Result<(Asked, Option<Connection>)> {
    let Connection { port, .. } = connection;
    let sent = monotonic()?;
    let answered = timeout(patience, request(&mut connection.stream, port, round)).await;
    let outcome = match answered {
        Ok(Ok(Some(name))) if name == connection.server => Outcome::Answered(monotonic()?),
        Ok(Ok(_)) => Outcome::OtherServer,
        Ok(Err(_)) => Outcome::Reset,
        Err(_late) => Outcome::Unanswered,
    };
    let whole = if matches!(outcome, Outcome::Answered(_)) {
        Some(connection)
    } else {
        // Nothing is to be repeated on it; where that is refused, its repetitions do no harm.
        let _refused = connection.stream.set_zero_linger();
        None
    };
    Ok((
        Asked {
            port,
            sent,
            outcome,
        },
        whole,
    ))
}

/// Sends the request of a round and awaits its answer: the server's name, `None` where it is no answer to it.
async fn request(stream: &mut TcpStream, port: u16, round: u32) -> io::Result<Option<String>> {
    let request = (u64::from(port) << 32 | u64::from(round)).to_be_bytes();
    stream.write_all(&request).await?;
    let mut answer = [0; ANSWER];
    stream.read_exact(&mut answer).await?;
    Ok(name_in(&answer, request))
}
