//! The order of ipvsadm's listings, faults included.
//!
//! ipvsadm compares by the sign of a 32-bit difference, which overflows for addresses more than half
//! the range apart, so its order is no order: the outcome depends on the sorting algorithm too. glibc
//! (before 2.37) sorts by merging halves from the top down, and so does this.

use std::net::{IpAddr, SocketAddr};

use evenkeel_api::{ServerListing, ServiceId, ServiceListing};

/// Sorts services as `ipvsadm -L` does.
pub(crate) fn sort_services(services: &mut Vec<ServiceListing>) {
    merge_sort(services, &|a, b| {
        let (a, b) = match (a.service, b.service) {
            (ServiceId::Single { .. }, ServiceId::Single { .. }) => (a.service, b.service),
            // What has no number has 0.
            (a, b) => return number(a).wrapping_sub(number(b)).cast_signed(),
        };
        let protocol = protocol_number(a) - protocol_number(b);
        let (Some(a), Some(b)) = (a.address(), b.address()) else {
            return 0;
        };
        let family = family(a) - family(b);
        if family != 0 {
            family
        } else if protocol != 0 {
            protocol
        } else {
            compare(a, b)
        }
    });
}

/// Sorts the real servers of a service as `ipvsadm -L` does.
pub(crate) fn sort_servers(servers: &mut Vec<ServerListing>) {
    merge_sort(servers, &|a, b| compare(a.address, b.address));
}

const fn number(service: ServiceId) -> u32 {
    match service {
        ServiceId::Single { .. } => 0,
        ServiceId::Group { group } => group,
    }
}

fn protocol_number(service: ServiceId) -> i32 {
    service
        .protocol()
        .map_or(0, |protocol| protocol.number().into())
}

/// The kernel's numbers of address families, which are compared too.
fn family(address: SocketAddr) -> i32 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn compare(a: SocketAddr, b: SocketAddr) -> i32 {
    let by_address = match (a.ip(), b.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits().wrapping_sub(b.to_bits()).cast_signed(),
        (IpAddr::V6(a), IpAddr::V6(b)) => match a.octets().cmp(&b.octets()) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
        },
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => family(a) - family(b),
    };
    if by_address == 0 {
        i32::from(a.port()) - i32::from(b.port())
    } else {
        by_address
    }
}

fn merge_sort<T>(items: &mut Vec<T>, compare: &impl Fn(&T, &T) -> i32) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    merge_sort(items, compare);
    merge_sort(&mut right, compare);
    let mut left = std::mem::take(items).into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(a, b) <= 0 {
            left.next()
        } else {
            right.next()
        };
        items.extend(next);
    }
    items.extend(left);
    items.extend(right);
}

#[cfg(test)]
mod tests;
