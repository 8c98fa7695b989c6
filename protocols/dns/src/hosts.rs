//! The hosts file: names that no server is asked for. Performs no I/O.

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_proto::rr::Name;

use crate::message::parse_name;

/// Names and addresses, as in `/etc/hosts`.
///
/// ```
/// let hosts = grapeshot_dns::Hosts::parse("192.0.2.7  printer printer.office # on the third floor");
/// let [address] = hosts.addresses("PRINTER.office.")[..] else { panic!() };
/// assert_eq!(address, std::net::IpAddr::from([192, 0, 2, 7]));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hosts {
    addresses: HashMap<Name, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<Name>>,
}

impl Hosts {
    /// Reads lines of an address and its names. What is no such line is passed over, as the system's resolver does.
    pub fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for name in words.filter_map(|name| parse_name(name).ok()) {
                hosts.add(name, address);
            }
        }
        hosts
    }

    fn add(&mut self, name: Name, address: IpAddr) {
        let names = self.names.entry(address).or_default();
        if !names.contains(&name) {
            names.push(name.clone());
        }
        let addresses = self.addresses.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a name, in the order of the lines; none if it is not in there.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        parse_name(name).map_or(&[], |name| self.of(&name))
    }

    pub(crate) fn of(&self, name: &Name) -> &[IpAddr] {
        self.addresses.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of an address.
    pub fn names(&self, address: IpAddr) -> &[Name] {
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let hosts = Hosts::parse(
            "# 192.0.2.1 hidden\n\n127.0.0.1\tlocalhost\r\n::1 localhost\nnonsense here\n192.0.2.2\n\
             192.0.2.3 b#c\n192.0.2.4 ok .. localhost",
        );
        assert!(hosts.addresses("hidden").is_empty());
        assert!(hosts.addresses("here").is_empty());
        assert!(hosts.addresses("").is_empty());
        let localhost: Vec<String> = hosts
            .addresses("localhost")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(localhost, ["127.0.0.1", "::1", "192.0.2.4"]);
        assert_eq!(hosts.addresses("b").len(), 1);
        let names = hosts.names([192, 0, 2, 4].into());
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["ok.", "localhost."]
        );
    }
}
