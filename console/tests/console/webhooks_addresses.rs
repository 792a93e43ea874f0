//! Where a webhook may go, as far as URL and address show.

use hawser_console::webhook::{
    address,
    endpoint_url::{EndpointUrl, Reach, UrlRefused},
};

#[test]
fn a_url_is_https_to_a_public_host() {
    use UrlRefused::{Fragment, NotUrl, Scheme, TooLong, UserInfo};
    let long = format!("https://hooks.example.com/{}", "x".repeat(2048));
    for (url, reach, expected) in [
        ("https://hooks.example.com/in?token=1", Reach::Public, Ok(())),
        ("https://hooks.example.com:8443", Reach::Public, Ok(())),
        ("https://93.184.215.14/", Reach::Public, Ok(())),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", Reach::Public, Ok(())),
        ("http://hooks.example.com/", Reach::Public, Err(Scheme)),
        ("http://hooks.example.com/", Reach::PublicAndLoopback, Err(Scheme)),
        ("http://10.0.0.1/", Reach::Proxy, Err(Scheme)),
        ("http://127.0.0.1:8080/", Reach::Public, Err(Scheme)),
        ("http://127.0.0.1:8080/", Reach::Proxy, Err(Scheme)),
        ("http://127.0.0.1:8080/", Reach::PublicAndLoopback, Ok(())),
        ("http://[::1]:8080/", Reach::PublicAndLoopback, Ok(())),
        ("http://localhost:8080/", Reach::PublicAndLoopback, Ok(())),
        ("https://10.0.0.1/", Reach::Proxy, Ok(())),
        ("ftp://hooks.example.com/", Reach::PublicAndLoopback, Err(Scheme)),
        ("https://user@hooks.example.com/", Reach::Public, Err(UserInfo)),
        ("https://:password@hooks.example.com/", Reach::Public, Err(UserInfo)),
        ("https://hooks.example.com/#part", Reach::Public, Err(Fragment)),
        ("hooks.example.com", Reach::Public, Err(NotUrl)),
        ("https://", Reach::Public, Err(NotUrl)),
        ("https://[fe80::1%25eth0]/", Reach::Public, Err(NotUrl)),
        ("https://256.256.256.256/", Reach::Public, Err(NotUrl)),
        ("mailto:a@example.com", Reach::Public, Err(NotUrl)),
        (&long, Reach::Public, Err(TooLong)),
    ] {
        assert_eq!(EndpointUrl::parse(url, reach).map(drop), expected, "{url} {reach:?}");
    }
}

/// Every form in which an address can be written.
pub(crate) const NOT_PUBLIC_HOSTS: [&str; 22] = [
    "localhost",
    "LOCALHOST.",
    "api.localhost",
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "0",
    "0x0a000001",
    "169.254.169.254",
    "0xa9fea9fe",
    "192.168.1.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[fd00:ec2::254]",
    "[64:ff9b::a9fe:a9fe]",
];

#[test]
fn a_url_names_no_address_that_is_not_public() {
    for host in NOT_PUBLIC_HOSTS {
        let url = format!("https://{host}/");
        let refused = EndpointUrl::parse(&url, Reach::Public);
        assert!(matches!(refused, Err(UrlRefused::NotPublic(_))), "{url}: {refused:?}");
        let allowed = EndpointUrl::parse(&url, Reach::PublicAndLoopback).is_ok();
        let is_loopback = host.to_lowercase().contains("localhost")
            || ["127.", "0x7f", "0177", "2130706433", "%31", "１", "[::1]"].iter().any(|start| host.starts_with(start));
        assert_eq!(allowed, is_loopback, "{host}");
    }
}

#[test]
fn addresses_that_are_not_public_are_known_with_their_edges() {
    // First and last of each range, with what they are.
    for (addresses, what) in [
        ("0.0.0.0 0.255.255.255", "this network"),
        ("10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255", "private"),
        ("100.64.0.0 100.127.255.255 100.100.100.200", "shared by a provider's customers"),
        ("127.0.0.0 127.255.255.255 ::1", "loopback"),
        ("169.254.0.0 169.254.169.254 169.254.255.255 fe80:: febf:ffff::1", "link-local"),
        ("192.0.0.0 192.0.0.192 192.0.0.255 2001:: 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:1ff:ffff::1", "for protocols"),
        ("192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255", "for documentation"),
        ("2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff::1", "for documentation"),
        ("192.88.99.0 192.88.99.255", "a 6to4 relay"),
        ("198.18.0.0 198.19.255.255", "for benchmarks"),
        ("224.0.0.0 239.255.255.255 ff00:: ff02::1 ffff::1", "multicast"),
        ("240.0.0.0 255.255.255.255", "reserved"),
        ("168.63.129.16", "a metadata service"),
        ("::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8", "a mapped IPv4 address"),
        ("64:ff9b::10.0.0.1 64:ff9b::192.168.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::8.8.8.8", "local NAT64"),
        ("100::1", "discard-only"),
        ("2002:: 2002:7f00:1::1 2002:808:808::1", "6to4"),
        ("5f00::1", "for segment routing"),
        ("fc00:: fd00:ec2::254 fdff::1", "unique local"),
        (":: ::7f00:1 ::8.8.8.8 1fff::1 4000::1 64:ff9c::1 fec0::1", "not global unicast"),
    ] {
        for text in addresses.split(' ') {
            let refused = address::check(text.parse().unwrap());
            assert_eq!(refused.map_err(|refused| refused.what), Err(what), "{text}");
        }
    }
    // And those beside them.
    let public = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 \
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 \
        192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 \
        2000::1 2001:200::1 2001:db7::1 2001:db9::1 2003::1 2606:4700::1111 2a05:d018::1 3ffe::1 3fff:1000::1 64:ff9b::8.8.8.8";
    for text in public.split_whitespace() {
        assert_eq!(address::check(text.parse().unwrap()), Ok(()), "{text}");
    }
    let refused = address::check("10.0.0.1".parse().unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "`10.0.0.1` is private (RFC 1918)");
}
