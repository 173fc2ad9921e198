//! The netlink handle: what is asked of the kernel, and how its refusals read.
//!
//! Requests and events use two sockets, so that a flood of events can't lose an answer.

use std::io;

use rtnetlink::Handle;
use tokio::sync::mpsc;

use crate::event::{NetEvent, Order, Watcher};

/// Events that may wait for the receiver before the kernel's own queue fills up.
const EVENT_QUEUE: usize = 256;
/// Orders that may wait for the watcher.
const ORDER_QUEUE: usize = 64;

/// Why the kernel did not do what a netlink request asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The process lacks a capability.
    #[error("the kernel refused for lack of permission; run as root or grant CAP_NET_ADMIN")]
    NotPermitted(#[source] io::Error),
    /// Any other refusal.
    #[error("the netlink request failed")]
    Failed(#[source] io::Error),
}

impl RequestError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotPermitted(error)
        } else {
            Self::Failed(error)
        }
    }

    /// Whether the kernel answered with this `errno`.
    pub(crate) fn is(&self, errno: i32) -> bool {
        let (Self::NotPermitted(error) | Self::Failed(error)) = self;
        error.raw_os_error() == Some(errno)
    }
}

impl From<rtnetlink::Error> for RequestError {
    fn from(error: rtnetlink::Error) -> Self {
        if let rtnetlink::Error::NetlinkError(message) = &error {
            Self::from_io(message.to_io())
        } else {
            Self::Failed(io::Error::other(error))
        }
    }
}

/// Why netlink could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A socket could not be made or bound.
    #[error("could not open a netlink socket; the kernel must have CONFIG_NET and rtnetlink")]
    Socket(#[source] io::Error),
    /// The first look at the links failed.
    #[error("could not list the network interfaces")]
    Links(#[source] RequestError),
    /// The first look at the addresses failed.
    #[error("could not list the addresses of the interfaces")]
    Addresses(#[source] RequestError),
}

/// Addresses, links and neighbours of one network namespace.
///
/// It belongs to the namespace of the thread that called [`Netlink::open`], wherever it is used later.
/// Clones share their sockets and watches. Dropping the last clone ends the event stream; what was
/// written to the kernel stays.
#[derive(Clone, Debug)]
pub struct Netlink {
    pub(crate) requests: Handle,
    pub(crate) orders: mpsc::Sender<Order>,
}

impl Netlink {
    /// Opens netlink in the calling thread's network namespace, within a tokio runtime.
    ///
    /// Every change of a link or an address after this call, and the state of every watched neighbour, comes through
    /// the receiver. A slow receiver loses intermediate states, never the last one. The receiver ends
    /// if the socket fails, which the kernel does not do by itself.
    pub async fn open() -> Result<(Self, mpsc::Receiver<NetEvent>), OpenError> {
        let (connection, requests, _unsolicited) =
            rtnetlink::new_connection().map_err(OpenError::Socket)?;
        tokio::spawn(connection);
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (orders, order_queue) = mpsc::channel(ORDER_QUEUE);
        let watcher = Watcher::start(requests.clone(), order_queue, events).await?;
        tokio::spawn(watcher.run());
        Ok((Self { requests, orders }, receiver))
    }
}
