//! The recursive resolver, in a small internet of its own: a root, domains below it, and servers that lie.

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use grapeshot::testing::{self, Host, NetworkConfig, Simulation};
use grapeshot::{sleep, time};
use grapeshot_dns::server::{Server, Zone};
use grapeshot_dns::{Error, Failure, Kind, Limits, RecordType, Recursion, Resolver, ResponseCode};

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

// Hosts get their addresses in the order in which they are started.
const ROOT: &str = "10.0.0.2";
const TEST: &str = "10.0.0.3";
const LEAF: &str = "10.0.0.4";
const OTHER: &str = "10.0.0.5";
const EVIL: &str = "10.0.0.6";

/// Starts a server of zones at that address.
fn authority(address: &str, zones: &[(&str, &str)]) -> Host {
    let mut server = Server::new();
    for (origin, text) in zones {
        let text = format!("$TTL 300\n@ IN SOA ns hostmaster 1 2 3 4 60\n{text}");
        server = server.zone(Zone::parse(origin, &text).unwrap());
    }
    let host = testing::host(address, move || {
        while server.serve("0.0.0.0:53").is_err() {
            sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(host.ip().to_string(), address);
    host
}

fn recursion() -> Recursion {
    let mut recursion = Recursion::default();
    recursion.roots = vec![ROOT.parse().unwrap()];
    recursion
}

fn resolver() -> Resolver {
    Resolver::recursive(recursion(), Limits::default())
}

/// The root, `test` below it, `leaf.test` and `other.test` below that; `evil.test` is delegated, too.
fn internet() {
    let root =
        format!("@ IN NS a.root\na.root IN A {ROOT}\ntest IN NS ns.test\nns.test IN A {TEST}\n");
    authority(ROOT, &[(".", &root)]);
    let test = format!(
        "@ IN NS ns\nns IN A {TEST}\n\
         leaf IN NS ns.leaf\nns.leaf IN A {LEAF}\n\
         other IN NS ns.other\nns.other IN A {OTHER}\n\
         evil IN NS ns.evil\nns.evil IN A {EVIL}\n\
         abroad IN NS ns.leaf\nabroad IN NS ns2.leaf\n\
         hen IN NS ns.egg\negg IN NS ns.hen\n\
         home IN NS ns.home\nns.home IN A 127.0.0.1\n"
    );
    authority(TEST, &[("test", &test)]);
    let leaf = "@ IN NS ns\nns IN A 10.0.0.4\nwww IN A 192.0.2.1\nwww IN AAAA 2001:db8::1\n\
                far IN CNAME www.other.test.\nloop IN CNAME loop.other.test.\na.b.c.d.e.f.g.h IN A 192.0.2.9\n\
                into IN CNAME www.evil.test.\n";
    authority(
        LEAF,
        &[
            ("leaf.test", leaf),
            ("abroad.test", "@ IN NS ns.leaf.test.\nwww IN A 192.0.2.3\n"),
        ],
    );
    let other = "@ IN NS ns\nns IN A 10.0.0.5\nwww IN A 192.0.2.2\nloop IN CNAME loop.leaf.test.\n";
    authority(OTHER, &[("other.test", other)]);
}

fn sent(resolver: &Resolver) -> u64 {
    let statistics = resolver.statistics();
    statistics.sent_udp + statistics.sent_tcp
}

fn address(resolver: &Resolver, name: &str) -> Result<Vec<IpAddr>, Error> {
    Ok(resolver.lookup(name, RecordType::A)?.addresses().collect())
}

fn truth(last: u8) -> Vec<IpAddr> {
    vec![Ipv4Addr::new(192, 0, 2, last).into()]
}

#[test]
fn it_walks_down_and_remembers_the_way() {
    simulate(|| {
        internet();
        settle();
        let resolver = resolver();
        assert_eq!(address(&resolver, "www.leaf.test").unwrap(), truth(1));
        // The root's servers, `test`, `leaf.test`, and the name itself.
        assert_eq!(sent(&resolver), 4);
        assert_eq!(address(&resolver, "www.leaf.test").unwrap(), truth(1));
        assert_eq!(sent(&resolver), 4);
        assert_eq!(resolver.addresses("www.leaf.test").unwrap().len(), 2);
        assert_eq!(sent(&resolver), 5);
        assert_eq!(address(&resolver, "www.other.test").unwrap(), truth(2));
        assert_eq!(sent(&resolver), 7);

        let error = address(&resolver, "none.leaf.test").unwrap_err();
        assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
        let answer = resolver.lookup("www.leaf.test", RecordType::TXT).unwrap();
        assert_eq!(answer.kind, Kind::NoData);
        let before = sent(&resolver);
        assert!(address(&resolver, "none.leaf.test").is_err());
        resolver.lookup("www.leaf.test", RecordType::TXT).unwrap();
        assert_eq!(sent(&resolver), before);
        sleep(Duration::from_secs(61));
        assert!(address(&resolver, "none.leaf.test").is_err());
        assert_eq!(sent(&resolver), before + 1);
        let error = address(&resolver, "nowhere").unwrap_err();
        assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
    });
}

#[test]
fn aliases_lead_through_zones() {
    simulate(|| {
        internet();
        settle();
        let resolver = resolver();
        let answer = resolver.lookup("far.leaf.test", RecordType::A).unwrap();
        assert_eq!(*answer.canonical_name(), name("www.other.test."));
        assert_eq!(answer.records.len(), 2);
        let error = address(&resolver, "loop.leaf.test").unwrap_err();
        let Error::GivenUp { failure, question } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            (failure, question.as_str()),
            (&Failure::TooManyAliases(16), "loop.leaf.test. A")
        );
    });
}

#[test]
fn servers_without_addresses_are_looked_up() {
    simulate(|| {
        internet();
        settle();
        let resolver = resolver();
        // One of the two has an address, in the zone that it is in.
        assert_eq!(address(&resolver, "www.abroad.test").unwrap(), truth(3));
        // Each of these is served by a host in the other.
        let error = address(&resolver, "www.hen.test").unwrap_err();
        assert!(
            matches!(
                &error,
                Error::GivenUp {
                    failure: Failure::NoServers,
                    ..
                }
            ),
            "{error}"
        );
        assert!(sent(&resolver) < 30, "{}", sent(&resolver));
        // And nobody sends us to ourselves.
        let before = sent(&resolver);
        let error = address(&resolver, "www.home.test").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no answer to www.home.test. A"),
            "{error}"
        );
        assert!(sent(&resolver) <= before + 1);
    });
}

/// Whatever is asked of `evil.test`, with what its server says.
fn evil(say: impl Fn(&Query) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Arc<AtomicUsize> {
    internet();
    let (host, count) = server(EVIL, move |query| {
        let mut answers = say(query);
        for answer in &mut answers {
            answer[2] |= 4; // authoritative
        }
        answers
    });
    assert_eq!(host.ip().to_string(), EVIL);
    settle();
    count
}

#[test]
fn nobody_speaks_for_others() {
    simulate(|| {
        evil(|query| {
            let mut reply = query.reply();
            reply.add_answer(a(&query.name(), 60, 1));
            // An address of another zone's name, a delegation of what is above, and its address.
            reply.add_answer(a("www.leaf.test.", 86_400, 66));
            reply.add_authority(ns("test.", "ns.evil.test."));
            reply.add_authority(ns("leaf.test.", "ns.evil.test."));
            reply.add_authority(ns(".", "ns.evil.test."));
            reply.add_additional(a("ns.leaf.test.", 86_400, 66));
            reply.add_additional(a("a.root.", 86_400, 66));
            one(&reply)
        });
        let resolver = resolver();
        assert_eq!(address(&resolver, "www.evil.test").unwrap(), truth(1));
        assert_eq!(address(&resolver, "www.leaf.test").unwrap(), truth(1));
        assert_eq!(
            address(&resolver, "ns.leaf.test").unwrap()[0].to_string(),
            LEAF
        );
        assert_eq!(address(&resolver, "www.other.test").unwrap(), truth(2));
    });
}

#[test]
fn an_alias_into_another_zone_is_asked_for_there() {
    simulate(|| {
        evil(|query| {
            query.answer([
                cname(&query.name(), "www.leaf.test."),
                a("www.leaf.test.", 86_400, 66),
            ])
        });
        let resolver = resolver();
        assert_eq!(address(&resolver, "www.evil.test").unwrap(), truth(1));
        assert_eq!(address(&resolver, "www.leaf.test").unwrap(), truth(1));
    });
}

fn ns(zone: &str, host: &str) -> grapeshot_dns::Record {
    let data = grapeshot_dns::RData::NS(grapeshot_dns::rdata::NS(name(host)));
    grapeshot_dns::Record::from_rdata(name(zone), 86_400, data)
}

#[test]
fn a_zone_that_costs_others_too_much_is_given_up() {
    simulate(|| {
        // Delegates everything to many servers without address, whose names are in zones that it delegates in the same way.
        let count = evil(|query| {
            let mut reply = query.reply();
            for number in 0..100 {
                let host = format!("ns.x{number}-{}.evil.test.", query.number);
                reply.add_authority(ns(&query.name(), &host));
            }
            let mut wire = one(&reply);
            // Set by all, and cleared here: it is a referral.
            wire[0][2] &= !4;
            wire
        });
        let limits = Limits::default();
        let most = limits.upstream_queries;
        let resolver = Resolver::recursive(recursion(), limits);
        let error = address(&resolver, "www.evil.test").unwrap_err();
        assert!(
            matches!(error, Error::GivenUp { .. } | Error::NoAnswer { .. }),
            "{error}"
        );
        assert!(load(&count) <= most + 3, "{}", load(&count));
        assert!(sent(&resolver) <= most as u64 + 3, "{}", sent(&resolver));
    });
}

#[test]
fn endless_delegations_end() {
    simulate(|| {
        let seen = Arc::new(AtomicUsize::new(0));
        let most = Arc::clone(&seen);
        internet();
        let (host, _) = server(EVIL, move |query| {
            most.fetch_add(1, Ordering::SeqCst);
            // Each time a zone just above what is asked for, at the same address.
            let mut reply = query.reply();
            reply.add_authority(ns(&query.name(), "ns.evil.test."));
            reply.add_additional({
                let mut glue = a("ns.evil.test.", 60, 0);
                glue.data = grapeshot_dns::RData::A(EVIL.parse::<Ipv4Addr>().unwrap().into());
                glue
            });
            one(&reply)
        });
        assert_eq!(host.ip().to_string(), EVIL);
        settle();
        let deep = format!("{}evil.test", "x.".repeat(100));
        let error = address(&resolver(), &deep).unwrap_err();
        assert!(
            matches!(error, Error::GivenUp { .. } | Error::NoAnswer { .. }),
            "{error}"
        );
        assert!(load(&seen) <= 64);
    });
}

#[test]
fn servers_see_no_more_of_a_name_than_they_need() {
    simulate(|| {
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (at_root, spelled) = (Arc::clone(&seen), Arc::new(AtomicUsize::new(0)));
        let upper = Arc::clone(&spelled);
        // The root is watched, the others are as ever.
        let (root, _) = server(ROOT, move |query| {
            let name = query.message.queries[0].name.to_string();
            upper.fetch_add(usize::from(name != name.to_lowercase()), Ordering::SeqCst);
            at_root.lock().unwrap().insert(query.name());
            let mut reply = query.reply();
            match query.name().as_str() {
                "." => drop(reply.add_answer(ns(".", "a.root."))),
                _ => {
                    reply.metadata.authoritative = false;
                    reply.add_authority(ns("test.", "ns.test."));
                    let mut glue = a("ns.test.", 60, 0);
                    glue.data = grapeshot_dns::RData::A(TEST.parse::<Ipv4Addr>().unwrap().into());
                    reply.add_additional(glue);
                }
            }
            one(&reply)
        });
        assert_eq!(root.ip().to_string(), ROOT);
        let test = format!("@ IN NS ns\nns IN A {TEST}\nleaf IN NS ns.leaf\nns.leaf IN A {LEAF}\n");
        authority(TEST, &[("test", &test)]);
        let leaf =
            "@ IN NS ns\nns IN A 10.0.0.4\na.b.c.d.e.f.g.h IN A 192.0.2.9\nwww IN A 192.0.2.1";
        authority(LEAF, &[("leaf.test", leaf)]);
        settle();
        let resolver = resolver();
        assert_eq!(
            address(&resolver, "a.b.c.d.e.f.g.h.leaf.test").unwrap(),
            truth(9)
        );
        let expected = [".", "test."].map(str::to_owned);
        assert_eq!(*seen.lock().unwrap(), BTreeSet::from(expected));

        // Many questions, so that one is spelled with a capital.
        for _ in 0..10 {
            resolver.clear_cache();
            assert_eq!(address(&resolver, "www.leaf.test").unwrap(), truth(1));
        }
        assert!(load(&spelled) > 0);
        let mut whole = recursion();
        whole.minimise = false;
        let resolver = Resolver::recursive(whole, Limits::default());
        address(&resolver, "www.leaf.test").unwrap();
        assert!(seen.lock().unwrap().contains("www.leaf.test."));
    });
}

#[test]
fn silent_servers_are_asked_last() {
    simulate(|| {
        let root = format!(
            "@ IN NS a.root\na.root IN A {ROOT}\ntest IN NS one.test\ntest IN NS two.test\none.test IN A {TEST}\ntwo.test IN A {LEAF}\n"
        );
        authority(ROOT, &[(".", &root)]);
        let names: String = (0..40)
            .map(|number| format!("w{number} IN A 192.0.2.{number}\n"))
            .collect();
        authority(
            TEST,
            &[(
                "test",
                &format!("@ IN NS one\n@ IN NS two\none IN A {TEST}\ntwo IN A {LEAF}\n{names}"),
            )],
        );
        let (silent, count) = server(LEAF, |_| Vec::new());
        assert_eq!(silent.ip().to_string(), LEAF);
        settle();
        let resolver = resolver();
        let start = time::now();
        for number in 0..30 {
            assert_eq!(
                address(&resolver, &format!("w{number}.test")).unwrap(),
                truth(number)
            );
        }
        // It is tried again when a minute is over, no sooner.
        assert!(load(&count) <= 1, "{}", load(&count));
        assert!(time::now() - start < Duration::from_secs(3));
    });
}

#[test]
fn nobody_at_all_is_an_error_that_says_so() {
    simulate(|| {
        let (root, _) = server(ROOT, |query| query.code(ResponseCode::ServFail));
        settle();
        let error = address(&resolver(), "www.leaf.test").unwrap_err();
        let expected = format!(
            "no answer to www.leaf.test. A: {}:53 (udp): said Server Failure",
            root.ip()
        );
        assert_eq!(error.to_string(), expected);
    });
}

#[test]
fn on_a_bad_network_it_finds_its_way() {
    let rough = NetworkConfig::new().loss(0.1).duplicates(0.2).reorder(0.3);
    Simulation::new(0).network(rough).explore(0..30, |_seed| {
        internet();
        settle();
        let resolver = resolver();
        let ask = |name: &str, last| {
            // Each attempt begins where the one before came to.
            let found = (0..10).find_map(|_| address(&resolver, name).ok());
            assert_eq!(found.unwrap(), truth(last), "{name}");
        };
        ask("www.leaf.test", 1);
        ask("far.leaf.test", 2);
        ask("www.abroad.test", 3);
    });
}

#[test]
fn tortured_it_answers_or_says_what_went_wrong() {
    let torture =
        Simulation::new(3)
            .network(NetworkConfig::new())
            .torture(|| -> Result<(), String> {
                internet();
                settle();
                let resolver = resolver();
                let first = address(&resolver, "far.leaf.test");
                assert_eq!(resolver.statistics().queueing, 0);
                if first.is_err() {
                    assert_eq!(address(&resolver, "far.leaf.test").unwrap(), truth(2));
                }
                first.map(drop).map_err(|error| error.to_string())
            });
    println!("tortured: {torture}");
    assert!(torture.errors < torture.runs, "{torture}");
}
