//! A client process: opens its connections, holds them, and asks on all of them when it is told to.
//!
//! One thread; a second one only reads the orders. Every connection is a task of its own, which keeps its
//! habit until the order comes and ends with what came of it.

use std::future::pending;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval_at, sleep, sleep_until, timeout};

use crate::crowd::limits::raise_descriptors;
use crate::crowd::{ANSWER, Asked, ClientSpec, EVERY, Habit, Opened, Order, Outcome, Reported};
use crate::crowd::{monotonic, parts, read_frame, request, stream_request};

/// Most connections of a process that are being opened.
const OPENING_MAX: usize = 64;

/// Time in which a connection must be open and have its first answer: some of a SYN's repetitions.
const OPENING_TIME: Duration = Duration::from_secs(15);

/// An open connection.
pub(super) struct Connection {
    pub(super) port: u16,
    habit: Habit,
    server: String,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

/// What is told to the process, line by line.
pub(super) type Lines = mpsc::UnboundedReceiver<String>;

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
    let (heard, lines) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name(String::from("orders"))
        .spawn(move || {
            let lines = io::stdin().lock().lines().map_while(Result::ok);
            for line in lines {
                if heard.send(line).is_err() {
                    return;
                }
            }
        })?;
    runtime.block_on(obey(lines))
}

async fn obey(mut lines: Lines) -> io::Result<()> {
    let Some(line) = lines.recv().await else {
        return Ok(());
    };
    let spec: ClientSpec = serde_json::from_str(&line)?;
    let (opened, mut connections, mut line) = open(&spec, &mut lines).await?;
    report(&Reported::Opened(opened))?;
    for round in 1.. {
        let holding = Holding::start(connections, round);
        let order = match line.take() {
            Some(order) => Some(order),
            None => lines.recv().await,
        };
        let Some(order) = order else {
            return Ok(());
        };
        let (asked, whole) = holding.ask(serde_json::from_str(&order)?).await?;
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

/// Opens the connections; also the line that ended this, where one does.
pub(super) async fn open(
    spec: &ClientSpec,
    lines: &mut Lines,
) -> io::Result<(Vec<Opened>, Vec<Connection>, Option<String>)> {
    let window = Arc::new(Semaphore::new(OPENING_MAX));
    let begun = Instant::now();
    let mut opening = JoinSet::new();
    let mut ended = None;
    let ports = (spec.first_port..).take(spec.connections.into());
    let habits = spec.habits.iter().copied().cycle();
    for ((number, port), habit) in (0u32..).zip(ports).zip(habits) {
        tokio::select! {
            line = lines.recv(), if spec.until_asked => {
                ended = line;
                break;
            }
            () = sleep_until(begun + Duration::from_secs(1) * number / spec.rate.max(1)) => {}
        }
        let service = spec.service;
        let window = Arc::clone(&window);
        opening.spawn(async move {
            // It is never closed, so there is a permit in the end.
            let _permit = window.acquire_owned().await.ok();
            let mut established = None;
            let opened = open_one(service, port, habit, &mut established);
            let opened = timeout(OPENING_TIME, opened).await;
            let opened = opened.map_or(Err(Outcome::Unanswered), |opened| {
                opened.map_err(|err| {
                    if err.kind() == io::ErrorKind::InvalidData {
                        Outcome::OtherServer
                    } else {
                        Outcome::Reset
                    }
                })
            });
            Ok::<_, io::Error>((port, established, monotonic()?, opened))
        });
    }
    let all = opening.join_all().await.into_iter();
    let mut all = all.collect::<io::Result<Vec<_>>>()?;
    all.sort_unstable_by_key(|(port, ..)| *port);
    let mut opened = Vec::with_capacity(all.len());
    let mut connections = Vec::with_capacity(all.len());
    for (port, established, known, result) in all {
        let server = result.map(|connection: Connection| {
            let server = connection.server.clone();
            connections.push(connection);
            server
        });
        opened.push(Opened {
            port,
            established,
            known,
            server,
        });
    }
    Ok((opened, connections, ended))
}

async fn open_one(
    service: SocketAddrV4,
    port: u16,
    habit: Habit,
    established: &mut Option<Duration>,
) -> io::Result<Connection> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    let stream = socket.connect(service.into()).await?;
    *established = Some(monotonic()?);
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let request = match habit {
        Habit::Streaming => stream_request(port),
        Habit::Idle | Habit::Asking => request(port, 0),
    };
    writer.write_all(&request).await?;
    let (reader, answer) = read_frame::<ANSWER>(reader).await?;
    let name = parts(&answer).filter(|(answered, _name)| *answered == request);
    let (_request, name) = name.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Connection {
        port,
        habit,
        server: name.to_owned(),
        reader,
        writer,
    })
}

/// Connections that keep their habits and wait for an order.
pub(super) struct Holding {
    order: watch::Sender<Option<Order>>,
    held: JoinSet<io::Result<(Asked, Option<Connection>)>>,
}

impl Holding {
    /// Lets the connections begin; `round` is the number of the order that they wait for, from 1.
    pub(super) fn start(connections: Vec<Connection>, round: u32) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX).max(1);
        let (order, ordered) = watch::channel(None);
        let mut held = JoinSet::new();
        for (number, connection) in (0u32..).zip(connections) {
            let share = f64::from(number) / f64::from(count);
            held.spawn(hold(connection, round, share, ordered.clone()));
        }
        Self { order, held }
    }

    /// Asks on every connection; what came of each, and those that are still whole.
    pub(super) async fn ask(self, order: Order) -> io::Result<(Vec<Asked>, Vec<Connection>)> {
        self.order.send_replace(Some(order));
        let mut asked = Vec::new();
        let mut whole = Vec::new();
        for result in self.held.join_all().await {
            let (one, connection) = result?;
            asked.push(one);
            whole.extend(connection);
        }
        asked.sort_unstable_by_key(|one| one.port);
        whole.sort_unstable_by_key(|connection| connection.port);
        Ok((asked, whole))
    }
}

/// Keeps a connection's habit until the order comes, asks, and ends with the answer, or with what breaks the
/// connection at whatever time.
async fn hold(
    connection: Connection,
    round: u32,
    share: f64,
    ordered: watch::Receiver<Option<Order>>,
) -> io::Result<(Asked, Option<Connection>)> {
    let Connection {
        port,
        habit,
        server,
        reader,
        mut writer,
    } = connection;
    let question = request(port, round);
    let mut next = pin!(read_frame::<ANSWER>(reader));
    let mut due = pin!(due(ordered, share));
    let mut ticks =
        (habit == Habit::Asking).then(|| interval_at(Instant::now() + EVERY.mul_f64(share), EVERY));
    let mut asked: Option<(Duration, Instant)> = None;
    let (outcome, reader) = loop {
        let patience = asked.map(|(_sent, until)| until);
        let written = tokio::select! {
            read = &mut next => match read {
                Ok((reader, frame)) => match parts(&frame) {
                    Some((_request, name)) if name != server => break (Outcome::OtherServer, None),
                    Some((answered, _name)) if answered == question => {
                        break (Outcome::Answered, Some(reader));
                    }
                    Some(_) => {
                        next.set(read_frame(reader));
                        Ok(())
                    }
                    None => break (Outcome::OtherServer, None),
                },
                Err(_) => break (Outcome::Reset, None),
            },
            patience = &mut due, if asked.is_none() => {
                asked = Some((monotonic()?, Instant::now() + patience));
                writer.write_all(&question).await
            }
            () = tick(&mut ticks), if asked.is_none() => {
                writer.write_all(&request(port, 0)).await
            }
            () = until(patience) => break (Outcome::Unanswered, None),
        };
        if written.is_err() {
            break (Outcome::Reset, None);
        }
    };
    let known = monotonic()?;
    let sent = asked.map_or(known, |(sent, _until)| sent);
    if reader.is_none() {
        // Nothing is to be repeated on it; where that is refused, its repetitions do no harm.
        let _refused = writer.as_ref().set_zero_linger();
    }
    let whole = reader.map(|reader| Connection {
        port,
        habit,
        server,
        reader,
        writer,
    });
    Ok((
        Asked {
            port,
            sent,
            known,
            outcome,
        },
        whole,
    ))
}

/// Waits for the order, and for this connection's share of its spread; its patience.
async fn due(mut ordered: watch::Receiver<Option<Order>>, share: f64) -> Duration {
    let order = ordered.wait_for(Option::is_some).await;
    let order = order.ok().and_then(|order| order.clone());
    match order {
        Some(Order { spread, patience }) => {
            sleep(spread.mul_f64(share)).await;
            patience
        }
        // Nothing will be ordered any more.
        None => pending().await,
    }
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
