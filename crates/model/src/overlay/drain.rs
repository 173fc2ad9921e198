//! Drained servers: no new flows, whatever their weight is or becomes.

use std::net::{IpAddr, SocketAddr};

use super::{EditRefused, Overlay};
use crate::listen::ServiceKey;
use crate::service::VirtualService;

impl Overlay {
    pub(super) fn drain(
        &mut self,
        key: ServiceKey,
        address: IpAddr,
        configured: &[VirtualService],
    ) -> Result<(), EditRefused> {
        let address = self.find_server(key, address, configured)?;
        let edit = self.services.entry(key).or_default();
        edit.drained.insert(address);
        Ok(())
    }

    /// Takes a drain back, also that of a server that is in no configuration any more.
    pub(super) fn ready(
        &mut self,
        key: ServiceKey,
        address: IpAddr,
        configured: &[VirtualService],
    ) -> Result<(), EditRefused> {
        if self.undrain(key, SocketAddr::new(address, key.port())) {
            return Ok(());
        }
        self.find_server(key, address, configured).map(drop)
    }

    /// Forgets that a server is drained; whether it was.
    pub(super) fn undrain(&mut self, key: ServiceKey, address: SocketAddr) -> bool {
        let edit = self.services.get_mut(&key);
        let was = edit.is_some_and(|edit| edit.drained.remove(&address));
        self.forget_if_nothing(key);
        was
    }

    pub(super) fn forget_if_nothing(&mut self, key: ServiceKey) {
        let edit = self.services.get(&key);
        if edit.is_some_and(super::ServiceEdit::is_nothing) {
            self.services.remove(&key);
        }
    }
}
