//! Network interfaces, as the kernel describes them.

use std::pin::pin;

use evenkeel_model::MacAddress;
use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo as LinkDetail, LinkLayerType,
    LinkMessage, LinkXdp, VlanProtocol,
};
use rtnetlink::Handle;

use crate::netlink::{Netlink, RequestError};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Index in its namespace.
    pub index: u32,
    /// Name, such as `eth0`.
    pub name: String,
    /// Hardware address.
    pub mac: MacAddress,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Switched on, with a carrier, and operational: it can send.
    pub up: bool,
    /// Kind of a virtual interface, such as `veth`; `None` for hardware.
    pub kind: Option<String>,
    /// What it is of another interface, where it is a VLAN of that.
    pub vlan: Option<Vlan>,
    /// Id of the XDP program on it, in whichever mode.
    pub xdp_program: Option<u32>,
    /// That program, or another one, runs in the driver (native mode).
    pub xdp_native: bool,
}

/// An interface whose frames are those of another one with an 802.1Q tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the other interface.
    pub link: u32,
    /// Number of the VLAN, 1 to 4,094.
    pub id: u16,
}

/// Why an interface can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No interface has the name.
    #[error("interface `{name}` does not exist; this host has {present}: name one of them")]
    Missing {
        /// The name that was asked for.
        name: String,
        /// The names there are, quoted, with commas.
        present: String,
    },
    /// It has no Ethernet address, as `lo` or a tunnel.
    #[error("interface `{name}` is not an Ethernet interface; name one that is (`ip link`)")]
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// The kernel could not be asked.
    #[error("could not look up interface `{name}`")]
    Request {
        /// The interface.
        name: String,
        /// The kernel's answer.
        #[source]
        source: RequestError,
    },
}

impl Netlink {
    /// Describes the Ethernet interface of this name.
    pub async fn link(&self, name: &str) -> Result<LinkInfo, LinkError> {
        let asked = async {
            let mut found = pin!(
                self.requests
                    .link()
                    .get()
                    .match_name(name.to_owned())
                    .execute()
            );
            found.try_next().await.map_err(RequestError::from)
        };
        match asked.await {
            Ok(Some(message)) => describe(&message).ok_or_else(|| LinkError::NotEthernet {
                name: name.to_owned(),
            }),
            Ok(None) => Err(self.missing(name).await),
            // ERANGE and EINVAL: a name longer than any interface's.
            Err(error)
                if error.is(libc::ENODEV) || error.is(libc::ERANGE) || error.is(libc::EINVAL) =>
            {
                Err(self.missing(name).await)
            }
            Err(source) => Err(LinkError::Request {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Describes all Ethernet interfaces.
    ///
    /// # Errors
    /// If the kernel can't be asked.
    pub async fn links(&self) -> Result<Vec<LinkInfo>, RequestError> {
        let links = dump(&self.requests).await?;
        Ok(links.iter().filter_map(describe).collect())
    }

    async fn missing(&self, name: &str) -> LinkError {
        let name = name.to_owned();
        match dump(&self.requests).await {
            Ok(links) => {
                let names: Vec<String> = links
                    .iter()
                    .filter_map(link_name)
                    .map(|present| format!("`{present}`"))
                    .collect();
                LinkError::Missing {
                    name,
                    present: names.join(", "),
                }
            }
            Err(source) => LinkError::Request { name, source },
        }
    }

    /// Names the link of this index for a message to people.
    pub(crate) async fn link_label(&self, index: u32) -> String {
        let links = dump(&self.requests).await.unwrap_or_default();
        links
            .iter()
            .find(|link| link.header.index == index)
            .and_then(link_name)
            .map_or_else(|| format!("number {index}"), str::to_owned)
    }
}

/// All links of the namespace.
pub(crate) async fn dump(requests: &Handle) -> Result<Vec<LinkMessage>, RequestError> {
    Ok(requests.link().get().execute().try_collect().await?)
}

/// Switched on, with a carrier, and operational.
///
/// IFF_RUNNING is operstate `up` or `unknown`, but lags behind the carrier; IFF_LOWER_UP is the carrier
/// itself, but says nothing of a port that is still being authenticated.
pub(crate) fn is_up(message: &LinkMessage) -> bool {
    message
        .header
        .flags
        .contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running)
}

/// The hardware address, where it is an Ethernet one.
pub(crate) fn mac(message: &LinkMessage) -> Option<MacAddress> {
    if message.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Address(bytes) = attribute {
            bytes.as_slice().try_into().ok().map(MacAddress)
        } else {
            None
        }
    })
}

fn link_name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name.as_str())
        } else {
            None
        }
    })
}

fn describe(message: &LinkMessage) -> Option<LinkInfo> {
    let mut link = LinkInfo {
        index: message.header.index,
        name: link_name(message)?.to_owned(),
        mac: mac(message)?,
        mtu: 0,
        up: is_up(message),
        kind: None,
        vlan: None,
        xdp_program: None,
        xdp_native: false,
    };
    let (mut lower, mut id) = (None, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Mtu(mtu) = attribute {
            link.mtu = *mtu;
        } else if let LinkAttribute::Link(index) = attribute {
            lower = Some(*index);
        } else if let LinkAttribute::LinkInfo(details) = attribute {
            id = details.iter().find_map(vlan_id);
            link.kind = details.iter().find_map(|detail| {
                if let LinkDetail::Kind(kind) = detail {
                    Some(kind.to_string())
                } else {
                    None
                }
            });
        } else if let LinkAttribute::Xdp(details) = attribute {
            link.xdp_program = details.iter().find_map(program_id);
            link.xdp_native = details.iter().any(|detail| {
                matches!(detail, LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) if *id != 0)
            });
        }
    }
    link.vlan = lower.zip(id).map(|(link, id)| Vlan { link, id });
    Some(link)
}

/// The number in what a VLAN interface tells of itself; `None` of another tag than 802.1Q's, which packets can't get.
fn vlan_id(detail: &LinkDetail) -> Option<u16> {
    let LinkDetail::Data(InfoData::Vlan(facts)) = detail else {
        return None;
    };
    let is_8021q = facts
        .iter()
        .any(|fact| matches!(fact, InfoVlan::Protocol(VlanProtocol::Ieee8021Q)));
    let id = facts.iter().find_map(|fact| {
        if let InfoVlan::Id(id) = fact {
            Some(*id)
        } else {
            None
        }
    });
    id.filter(|_| is_8021q)
}

fn program_id(detail: &LinkXdp) -> Option<u32> {
    // With programs in several modes the kernel fills in only the modes' own attributes.
    if let LinkXdp::ProgId(id)
    | LinkXdp::DrvProgId(id)
    | LinkXdp::SkbProgId(id)
    | LinkXdp::HwProgId(id) = detail
    {
        (*id != 0).then_some(*id)
    } else {
        None
    }
}
