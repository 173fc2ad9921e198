//! The server of real servers: answers every request with its name, on as many connections as come.
//!
//! Several processes share a port; the kernel gives each connection to one of them.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::crowd::limits::{BACKLOG, raise_backlog, raise_descriptors};
use crate::crowd::{REQUEST, answer};
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

async fn converse(mut stream: TcpStream, name: &str) -> io::Result<Infallible> {
    loop {
        let mut request = [0; REQUEST];
        stream.read_exact(&mut request).await?;
        stream.write_all(&answer(request, name)).await?;
    }
}
