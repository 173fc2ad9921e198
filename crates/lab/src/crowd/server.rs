//! The server of real servers: answers every request with its name, once or over and over as it asks, on as
//! many connections as come.
//!
//! Several processes share a port; the kernel gives each connection to one of them.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Interval, interval_at};

use crate::crowd::limits::{BACKLOG, raise_backlog, raise_descriptors};
use crate::crowd::{ANSWER, EVERY, REQUEST, STREAM, answer, read_frame};
use crate::entry;

/// Written to the node's log once a process listens.
pub(crate) const READY: &str = "lab: crowd server listens";

/// The hidden subcommand: `NAME PORT`.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    entry::serve("crowd server", arguments, serve_for_ever)
}

fn serve_for_ever(name: &str, port: u16) -> io::Result<Infallible> {
    raise_descriptors()?;
    raise_backlog()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = listen(port)?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        writeln!(io::stderr(), "{READY}")?;
        Ok(serve(&listener, name).await)
    })
}

fn listen(port: u16) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG.into())?;
    Ok(socket.into())
}

pub(super) async fn serve(listener: &TcpListener, name: &str) -> Infallible {
    let name: Arc<str> = name.into();
    loop {
        match listener.accept().await {
            Ok((stream, _client)) => {
                let name = Arc::clone(&name);
                tokio::spawn(async move {
                    // However it ends, its client counts it.
                    let _ended = converse(stream, &name).await;
                });
            }
            Err(err) => {
                let _unheard = writeln!(io::stderr(), "lab: crowd server: {err}");
                // Out of descriptors, most likely: some come back.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, name: &str) -> io::Result<Infallible> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut next = pin!(read_frame::<REQUEST>(reader));
    let mut streamed = None;
    loop {
        let frame = tokio::select! {
            read = &mut next => {
                let (reader, request) = read?;
                next.set(read_frame(reader));
                let frame = answer(request, name);
                if request[0] & STREAM != 0 {
                    streamed = Some((frame, interval_at(Instant::now() + EVERY, EVERY)));
                }
                frame
            }
            frame = next_of(&mut streamed) => frame,
        };
        writer.write_all(&frame).await?;
    }
}

/// The next answer of a stream, when it is time for it; never where there is none.
async fn next_of(streamed: &mut Option<([u8; ANSWER], Interval)>) -> [u8; ANSWER] {
    match streamed {
        Some((frame, ticks)) => {
            ticks.tick().await;
            *frame
        }
        None => pending().await,
    }
}
