//! evenkeel's data plane with one service.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;

use anyhow::Context as _;
use evenkeel_bpf::{Attachment, DataPlane};
use evenkeel_model::{
    Forwarding, GateState, Listens, MacAddress, Protocol, Scheduler, ServerEntry, ServiceEntry,
    ServiceKey, ServiceOptions, Thresholds, Weight,
};

use crate::harness::{self, ADDRESS, Counts, FLOWS, OBJECT, PORT};
use crate::kernel::SERVERS;

pub(crate) struct Evenkeel {
    plane: DataPlane,
}

impl Evenkeel {
    pub(crate) fn new(scheduler: Scheduler) -> anyhow::Result<Self> {
        let mut plane = DataPlane::load_object(&harness::options(), OBJECT)?;
        // Opened all at once, they are all unassured for a second: more than is allowed.
        let globals = plane.tables().globals.get(0).context("no globals")?;
        globals.unassured_max.store(u64::MAX, SeqCst);
        plane.put_service(&service(scheduler))?;
        plane.set_gate(ADDRESS, GateState::Open)?;
        Ok(Self { plane })
    }

    pub(crate) fn attach(&mut self, interface: &str) -> anyhow::Result<Attachment> {
        harness::attach(&mut self.plane, "evenkeel", interface)
    }

    /// Whether all flows are established and assured.
    pub(crate) fn is_settled(&self) -> bool {
        let usage = self.plane.usage();
        usage.established == FLOWS && usage.unassured == 0
    }

    pub(crate) fn counts(&self) -> anyhow::Result<Counts> {
        let services = self.plane.snapshot()?;
        let service = services.first().context("the service is gone")?;
        let drops = self.plane.drops()?;
        let events = self.plane.events()?;
        let others = drops.iter().chain(&events).map(|counter| counter.value);
        Ok(Counts {
            packets: service.stats.packets,
            flows: service.stats.conns,
            others: others
                .chain([self.plane.usage().established.into()])
                .collect(),
        })
    }
}

fn service(scheduler: Scheduler) -> ServiceEntry {
    let server = |(number, address)| ServerEntry {
        address: SocketAddr::new(IpAddr::V4(address), PORT),
        weight: Weight::ONE,
        hash_weight: Weight::ONE,
        forwarding: Forwarding::DirectRouting,
        hop: MacAddress([2, 0, 0, 0, 1, number]).into(),
        thresholds: Thresholds::default(),
    };
    ServiceEntry {
        key: ServiceKey::Single {
            protocol: Protocol::Tcp,
            address: SocketAddr::new(ADDRESS, PORT),
        },
        group: Listens::default(),
        scheduler,
        options: ServiceOptions::default(),
        servers: (0..).zip(SERVERS).map(server).collect(),
        held: Vec::new(),
    }
}
