//! The web server of real servers: HTTP/1.1 over hyper, one name as its whole content.
//!
//! | path | answer |
//! |---|---|
//! | `/` | 200, the node's name and a newline |
//! | `/status/N` | status N, the node's name and a newline |
//! | `/bytes/N` | 200, N bytes |
//! | `/hang` | none, ever |

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::entry;

/// Longest body of `/bytes/N`.
const BYTES_MAX: usize = 1 << 24;

/// The hidden subcommand: `NAME PORT`.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    entry::serve("web server", arguments, serve_for_ever)
}

fn serve_for_ever(name: &str, port: u16) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        Ok(serve(listener, name).await)
    })
}

/// Serves the listener's connections; never ends by itself. Each is a task of the current runtime.
pub async fn serve(listener: TcpListener, name: &str) -> Infallible {
    let name: Arc<str> = name.into();
    loop {
        match listener.accept().await {
            Ok((stream, _client)) => {
                tokio::spawn(connection(stream, Arc::clone(&name)));
            }
            Err(err) => {
                tracing::warn!(%err, "a connection was lost");
                // Out of descriptors, most likely: some come back.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, name: Arc<str>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&name)));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(err) = served {
        tracing::debug!(%err, "connection");
    }
}

async fn answer(
    request: Request<Incoming>,
    name: Arc<str>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let mut status = StatusCode::OK;
    let mut body = Bytes::from(format!("{name}\n"));
    if path == "/hang" {
        std::future::pending::<()>().await;
    } else if let Some(code) = path.strip_prefix("/status/") {
        status = code.parse().unwrap_or(StatusCode::BAD_REQUEST);
    } else if let Some(length) = path.strip_prefix("/bytes/") {
        match length.parse() {
            Ok(length) if length <= BYTES_MAX => body = Bytes::from(vec![b'x'; length]),
            Ok(_) | Err(_) => status = StatusCode::BAD_REQUEST,
        }
    } else if path != "/" {
        status = StatusCode::NOT_FOUND;
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}

/// A config with which nginx answers `/` as the built-in server does, in the foreground, with all its
/// files on the node's own /run.
pub(crate) fn nginx_config(name: &str, port: u16) -> String {
    format!(
        "daemon off;
worker_processes 1;
user root;
pid /run/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  keepalive_timeout 1h;
  client_body_temp_path /run/nginx-body;
  proxy_temp_path /run/nginx-proxy;
  fastcgi_temp_path /run/nginx-fastcgi;
  uwsgi_temp_path /run/nginx-uwsgi;
  scgi_temp_path /run/nginx-scgi;
  server {{
    listen {port};
    location = / {{ default_type text/plain; return 200 \"{name}\\n\"; }}
  }}
}}
"
    )
}
