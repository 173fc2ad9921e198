//! ARP for IPv4 over Ethernet, RFC 826.

/// Offset of the operation, from the first byte after the Ethernet header.
pub const OPERATION: usize = 6;
/// Offset of the target's protocol address.
pub const TARGET_ADDRESS: usize = 24;
/// Length of a message.
pub const LEN: usize = 28;
/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
pub const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Operation: request.
pub const REQUEST: [u8; 2] = [0, 1];
/// Operation: reply.
pub const REPLY: [u8; 2] = [0, 2];

/// A gratuitous ARP message that says that `address` is at `mac` (RFC 5227 §3 for the request form).
#[must_use]
pub fn gratuitous(operation: [u8; 2], mac: [u8; 6], address: [u8; 4]) -> [u8; LEN] {
    let mut out = [0; LEN];
    let mut at = 0;
    let target = if operation == REPLY { mac } else { [0; 6] };
    for part in [
        &ETHERNET_IPV4[..],
        &operation,
        &mac,
        &address,
        &target,
        &address,
    ] {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    out
}

#[cfg(test)]
mod tests;
