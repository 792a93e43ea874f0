//! Which addresses are public. An endpoint's host must have no other, or an operator's tenant could have the console post into the
//! network that it runs in, and to the instance's metadata service, which hands out credentials.
//!
//! `IpAddr::is_global` of the standard library is unstable, so this is a table, after IANA's registries of special-purpose addresses (IPv4:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>, IPv6: <https://www.iana.org/assignments/iana-ipv6-special-registry>).
//! Where a registry names a smaller range that is public within one that is not, the whole is refused: nobody has a receiver there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A range, what it is, and where that is said.
struct Range<Net>(Net, &'static str, &'static str);

const fn v4(address: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// The first three segments are enough for every range here.
const fn v6(first: u16, second: u16, third: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), length)
}

/// Of IPv4, what is not public.
const V4: [Range<Ipv4Net>; 16] = [
    Range(v4([0, 0, 0, 0], 8), "this network", "RFC 791"),
    Range(v4([10, 0, 0, 0], 8), "private", "RFC 1918"),
    Range(v4([100, 64, 0, 0], 10), "shared by a provider's customers", "RFC 6598"),
    Range(v4([127, 0, 0, 0], 8), "loopback", "RFC 1122"),
    // 169.254.169.254 is the metadata service of AWS and of other clouds.
    Range(v4([169, 254, 0, 0], 16), "link-local", "RFC 3927"),
    Range(v4([172, 16, 0, 0], 12), "private", "RFC 1918"),
    Range(v4([192, 0, 0, 0], 24), "for protocols", "RFC 6890"),
    Range(v4([192, 0, 2, 0], 24), "for documentation", "RFC 5737"),
    Range(v4([192, 88, 99, 0], 24), "a 6to4 relay", "RFC 7526"),
    Range(v4([192, 168, 0, 0], 16), "private", "RFC 1918"),
    Range(v4([198, 18, 0, 0], 15), "for benchmarks", "RFC 2544"),
    Range(v4([198, 51, 100, 0], 24), "for documentation", "RFC 5737"),
    Range(v4([203, 0, 113, 0], 24), "for documentation", "RFC 5737"),
    Range(v4([224, 0, 0, 0], 4), "multicast", "RFC 5771"),
    // The limited broadcast (RFC 919) is its last address.
    Range(v4([240, 0, 0, 0], 4), "reserved", "RFC 1112"),
    // Not in IANA's registry: public by its number, and answered by the host of every virtual machine of Azure.
    Range(v4([168, 63, 129, 16], 32), "a metadata service", "Azure, \"What is IP address 168.63.129.16?\""),
];

/// Of IPv6, all that is public is in here (RFC 4291, section 2.4): no loopback, no unique local (with AWS's fd00:ec2::254), link-local,
/// multicast or mapped IPv4 address.
const V6_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);

/// And not in one of these.
const V6: [Range<Ipv6Net>; 4] = [
    // Teredo (2001::/32, RFC 4380), which wraps IPv4 addresses, benchmarks (2001:2::/48, RFC 5180) and ORCHID (2001:10::/28) among them.
    Range(v6(0x2001, 0, 0, 23), "for protocols", "RFC 2928"),
    Range(v6(0x2001, 0xdb8, 0, 32), "for documentation", "RFC 3849"),
    // Wraps an IPv4 address.
    Range(v6(0x2002, 0, 0, 16), "6to4", "RFC 7526"),
    Range(v6(0x3fff, 0, 0, 20), "for documentation", "RFC 9637"),
];

/// What is outside of [`V6_UNICAST`], by name.
const V6_OTHER: [Range<Ipv6Net>; 6] = [
    // For the inside of one network, whatever it wraps.
    Range(v6(0x64, 0xff9b, 1, 48), "local NAT64", "RFC 8215"),
    Range(v6(0x100, 0, 0, 64), "discard-only", "RFC 6666"),
    Range(v6(0x5f00, 0, 0, 16), "for segment routing", "RFC 9602"),
    Range(v6(0xfc00, 0, 0, 7), "unique local", "RFC 4193"),
    Range(v6(0xfe80, 0, 0, 10), "link-local", "RFC 4291"),
    Range(v6(0xff00, 0, 0, 8), "multicast", "RFC 4291"),
];

/// An IPv4 host as a network without IPv4 sees it (RFC 6052): subnets of AWS with DNS64 have no other way to such hosts. What it wraps is
/// judged.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// An address that is not public, with what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is {what} ({reference})")]
pub struct NotPublic {
    pub address: IpAddr,
    pub what: &'static str,
    pub reference: &'static str,
}

/// Whether an address is public.
///
/// # Errors
/// It is not.
pub fn check(address: IpAddr) -> Result<(), NotPublic> {
    let found = match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    found.map_or(Ok(()), |(what, reference)| Err(NotPublic { address, what, reference }))
}

type Found = Option<(&'static str, &'static str)>;

fn special_v4(address: Ipv4Addr) -> Found {
    V4.iter().find(|range| range.0.contains(&address)).map(|range| (range.1, range.2))
}

fn special_v6(address: Ipv6Addr) -> Found {
    let [.., a, b, c, d] = address.octets();
    if NAT64.contains(&address) {
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    let named =
        |ranges: &[Range<Ipv6Net>]| ranges.iter().find(|range| range.0.contains(&address)).map(|range| (range.1, range.2));
    if V6_UNICAST.contains(&address) {
        return named(&V6);
    }
    let other = || match address.to_ipv4_mapped() {
        Some(_) => ("a mapped IPv4 address", "RFC 4291"),
        None if address.is_loopback() => ("loopback", "RFC 4291"),
        None => ("not global unicast", "RFC 4291"),
    };
    Some(named(&V6_OTHER).unwrap_or_else(other))
}
