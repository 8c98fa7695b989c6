//! The stub resolver, and servers that answer, or do not, on a simulated network.

mod common;

use std::time::Duration;

use common::*;
use grapeshot::testing::{NetworkConfig, Simulation};
use grapeshot::{join_all, sleep, time, with_timeout};
use grapeshot_dns::{
    Config, Error, Failure, Hosts, Kind, Limits, RecordType, Resolver, ResponseCode, Transport,
};

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

/// Answers A and AAAA of any name.
fn friendly(query: &Query) -> Vec<Vec<u8>> {
    let name = query.name();
    match query.record_type() {
        RecordType::A => query.answer([a(&name, 100, 1)]),
        RecordType::AAAA => query.answer([aaaa(&name, 100, 1)]),
        _ => query.negative(ResponseCode::NoError, 30),
    }
}

#[test]
fn both_families_are_found_and_kept() {
    simulate(|| {
        let (host, count) = server("ns", friendly);
        settle();
        let resolver = resolver(&[&host]);
        let addresses = resolver.addresses("www.example").unwrap();
        let mut spelled: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        spelled.sort();
        assert_eq!(spelled, ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(load(&count), 2);

        sleep(Duration::from_secs(99));
        // In whatever case.
        assert_eq!(resolver.addresses("WWW.example.").unwrap(), addresses);
        let answer = resolver.lookup("www.example", RecordType::A).unwrap();
        assert!((0..=1).contains(&answer.records[0].ttl), "{answer:?}");
        assert_eq!(load(&count), 2);
        sleep(Duration::from_secs(1));
        resolver.addresses("www.example").unwrap();
        assert_eq!(load(&count), 4);

        let statistics = resolver.statistics();
        assert_eq!((statistics.questions, statistics.cached), (7, 3));
        assert_eq!((statistics.sent_udp, statistics.sent_tcp), (4, 0));
        assert_eq!(statistics.kept, 2);
        resolver.clear_cache();
        assert_eq!(resolver.statistics().kept, 0);
    });
}

#[test]
fn no_such_name_and_no_such_record_are_kept_apart() {
    simulate(|| {
        let (host, count) = server("ns", |query| match query.name().as_str() {
            "none.example." => query.negative(ResponseCode::NXDomain, 30),
            _ => query.negative(ResponseCode::NoError, 60),
        });
        settle();
        let resolver = resolver(&[&host]);
        let ask = |name: &str| resolver.lookup(name, RecordType::TXT);
        for _ in 0..2 {
            let error = ask("none.example").unwrap_err();
            assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
            assert_eq!(
                error.to_string(),
                format!("there is no name none.example., says {}:53", host.ip())
            );
            let answer = ask("empty.example").unwrap();
            assert_eq!((answer.kind, answer.data().count()), (Kind::NoData, 0));
            assert_eq!(load(&count), 2);
        }
        sleep(Duration::from_secs(31));
        assert!(ask("none.example").is_err() && ask("empty.example").is_ok());
        assert_eq!(load(&count), 3);

        let error = resolver.addresses("empty.example").unwrap_err();
        assert!(matches!(error, Error::NoAddress { .. }), "{error}");
        let kind = std::io::Error::from(error).kind();
        assert_eq!(kind, std::io::ErrorKind::NotFound);
    });
}

#[test]
fn servers_are_asked_in_turn_and_again() {
    simulate(|| {
        let (silent, _) = server("silent", |_| Vec::new());
        let (failing, _) = server("failing", |query| query.code(ResponseCode::ServFail));
        let (lame, _) = server("lame", |query| {
            let mut reply = query.reply();
            reply.metadata.recursion_available = false;
            one(&reply)
        });
        let (late, count) = server("late", |query| match query.number {
            0 => query.code(ResponseCode::Refused),
            _ => friendly(query),
        });
        settle();
        let servers = [&silent, &failing, &lame, &late];
        let start = time::now();
        let answer = resolver(&servers)
            .lookup("a.example", RecordType::A)
            .unwrap();
        assert_eq!(answer.server.map(|server| server.ip()), Some(late.ip()));
        assert_eq!(load(&count), 2);
        let took = (time::now() - start).as_secs();
        assert_eq!(took, 10, "two rounds, with one silence each");

        let error = resolver(&servers[..3])
            .lookup("a.example", RecordType::A)
            .unwrap_err();
        let said = error.to_string();
        let round = format!(
            "{}:53 (udp): silent for 5 s; {}:53 (udp): said Server Failure; {}:53 (udp): knows nothing of it (lame)",
            silent.ip(),
            failing.ip(),
            lame.ip()
        );
        assert_eq!(said, format!("no answer to a.example. A: {round}; {round}"));

        let mut rotating = config(&[&failing, &late]);
        rotating.rotate = true;
        rotating.attempts = 1;
        let resolver = Resolver::new(rotating, Hosts::default(), Limits::default());
        let before = load(&count);
        for number in 0..4 {
            resolver
                .lookup(&format!("{number}.example"), RecordType::A)
                .unwrap();
        }
        assert_eq!(load(&count), before + 4);
        assert_eq!(
            resolver.statistics().sent_udp,
            6,
            "half of them went to the failing one first"
        );
    });
}

#[test]
fn nobody_there_is_learnt_at_once() {
    simulate(|| {
        let empty = grapeshot::testing::host("empty", || ());
        settle();
        let start = time::now();
        let error = resolver(&[&empty])
            .lookup("a.example", RecordType::A)
            .unwrap_err();
        let Error::NoAnswer { attempts, .. } = &error else {
            panic!("{error}")
        };
        let refused = Failure::Io(
            std::io::ErrorKind::ConnectionRefused,
            attempts[0].failure.to_string(),
        );
        assert_eq!(attempts[0].failure, refused);
        assert!(time::now() - start < Duration::from_secs(1));
    });
}

#[test]
fn the_same_question_is_asked_once_at_a_time() {
    simulate(|| {
        let (host, count) = server("ns", |query| {
            sleep(Duration::from_millis(50));
            friendly(query)
        });
        settle();
        let resolver = resolver(&[&host]);
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let resolver = resolver.clone();
                move || resolver.lookup("a.example", RecordType::A).unwrap()
            })
            .collect();
        let answers = join_all(asking);
        assert!(
            answers
                .into_iter()
                .all(|answer| answer.unwrap().kind == Kind::Found)
        );
        assert_eq!(load(&count), 1);
        assert_eq!(resolver.statistics().shared, 99);
    });
}

#[test]
fn who_asks_for_others_may_leave() {
    simulate(|| {
        let (host, count) = server("ns", |query| {
            sleep(Duration::from_secs(2));
            friendly(query)
        });
        settle();
        let resolver = resolver(&[&host]);
        let second = resolver.clone();
        let second = grapeshot::spawn(move || {
            sleep(Duration::from_millis(500));
            second.lookup("a.example", RecordType::A)
        });
        let first = with_timeout(Duration::from_secs(1), || {
            resolver.lookup("a.example", RecordType::A)
        });
        assert!(first.is_err());
        assert_eq!(second.join().unwrap().unwrap().kind, Kind::Found);
        assert_eq!(load(&count), 2);
        assert_eq!(resolver.statistics().queueing, 0);
    });
}

#[test]
fn exchanges_at_once_are_limited() {
    simulate(|| {
        let (host, _) = server("ns", |_| Vec::new());
        settle();
        let mut limits = Limits::default();
        limits.in_flight = 3;
        let mut config = config(&[&host]);
        config.attempts = 1;
        let resolver = Resolver::new(config, Hosts::default(), limits);
        let asking: Vec<_> = (0..9)
            .map(|number| {
                let resolver = resolver.clone();
                move || resolver.lookup(&format!("{number}.example"), RecordType::A)
            })
            .collect();
        let (start, watch) = (time::now(), resolver.clone());
        let watching = grapeshot::spawn(move || {
            sleep(Duration::from_secs(1));
            watch.statistics().queueing
        });
        let answers = join_all(asking);
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_err()));
        assert_eq!(watching.join().unwrap(), 6);
        assert_eq!((time::now() - start).as_secs(), 15);
        assert_eq!(resolver.statistics().timeouts, 9);
    });
}

#[test]
fn the_search_list_stops_where_nobody_knows() {
    simulate(|| {
        let (host, _) = server("ns", |query| match query.name().as_str() {
            "www.b.example." => friendly(query),
            "down.a.example." => query.code(ResponseCode::ServFail),
            "there.a.example." => query.negative(ResponseCode::NoError, 30),
            "down.b.example." => friendly(query),
            _ => query.negative(ResponseCode::NXDomain, 30),
        });
        settle();
        let text = format!("nameserver {}\nsearch a.example b.example", host.ip());
        let resolver = Resolver::new(Config::parse(&text), Hosts::default(), Limits::default());
        assert_eq!(resolver.addresses("www").unwrap().len(), 2);
        let error = resolver.addresses("www.").unwrap_err();
        assert!(
            matches!(&error, Error::NoSuchName { name, .. } if name == "www."),
            "{error}"
        );
        // The second name might be another host.
        let error = resolver.addresses("down").unwrap_err();
        assert!(
            matches!(&error, Error::NoAnswer { question, .. } if question.starts_with("down.a.example. ")),
            "{error}"
        );
        let error = resolver.addresses("there").unwrap_err();
        assert!(
            matches!(&error, Error::NoAddress { name, .. } if name == "there.a.example."),
            "{error}"
        );
        // A look-up of records takes the name as it is.
        assert!(resolver.lookup("www", RecordType::A).is_err());
    });
}

#[test]
fn some_names_need_no_server() {
    simulate(|| {
        let config = Config::with_servers([]);
        let hosts = Hosts::parse("192.0.2.9 printer");
        let resolver = Resolver::new(config, hosts, Limits::default());
        assert_eq!(
            resolver.addresses("Printer").unwrap(),
            [std::net::IpAddr::from([192, 0, 2, 9])]
        );
        assert_eq!(
            resolver.names([192, 0, 2, 9].into()).unwrap(),
            [name("printer.")]
        );
        assert_eq!(resolver.addresses("LocalHost").unwrap().len(), 2);
        assert_eq!(resolver.addresses("db.localhost.").unwrap().len(), 2);
        assert_eq!(resolver.addresses("2001:db8::7").unwrap().len(), 1);
        for bad in ["", "..", &"a".repeat(64)] {
            let error = resolver.addresses(bad).unwrap_err();
            assert!(matches!(error, Error::BadName { .. }), "{bad:?}: {error}");
        }
        let error = resolver.addresses("www.example").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no answer to www.example. A: there is no name server to ask"
        );
    });
}

#[test]
fn a_server_that_knows_no_edns_is_asked_without() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        simulate(move || {
            let (host, count) = server("ns", move |query| match &query.message.edns {
                Some(edns) => {
                    assert_eq!(edns.max_payload(), 1_232);
                    let mut reply = query.reply();
                    reply.queries.clear();
                    reply.metadata.response_code = code;
                    one(&reply)
                }
                None => friendly(query),
            });
            settle();
            let answer = resolver(&[&host])
                .lookup("a.example", RecordType::A)
                .unwrap();
            assert_eq!((answer.kind, load(&count)), (Kind::Found, 2));
        });
    }
}

#[test]
fn what_is_cut_short_comes_whole_over_tcp() {
    simulate(|| {
        let (host, _) = server("ns", |query| {
            let mut reply = query.reply();
            reply.metadata.truncation = query.transport == Transport::Udp;
            reply.add_answers((0..100).map(|last| a(&query.name(), 60, last)));
            if query.transport == Transport::Udp {
                reply.answers.truncate(3);
            }
            one(&reply)
        });
        settle();
        let resolver = resolver(&[&host]);
        let answer = resolver.lookup("a.example", RecordType::A).unwrap();
        assert_eq!(answer.addresses().count(), 100);
        let statistics = resolver.statistics();
        assert_eq!((statistics.turned_to_tcp, statistics.sent_tcp), (1, 1));

        let mut config = config(&[&host]);
        config.tcp = true;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        assert_eq!(
            resolver
                .lookup("a.example", RecordType::A)
                .unwrap()
                .addresses()
                .count(),
            100
        );
        assert_eq!(resolver.statistics().sent_udp, 0);
    });
}

#[test]
fn on_a_bad_network_it_finds_what_there_is() {
    let rough = NetworkConfig::new()
        .loss(0.2)
        .duplicates(0.2)
        .reorder(0.3)
        .chop(true);
    Simulation::new(0).network(rough).explore(0..40, |_seed| {
        let (one_host, _) = server("one", friendly);
        let (other, _) = server("other", friendly);
        settle();
        let mut config = config(&[&one_host, &other]);
        config.attempts = 5;
        config.rotate = true;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        for number in 0..5 {
            let name = format!("{number}.example");
            let answer = resolver.lookup(&name, RecordType::A).unwrap();
            assert_eq!(answer.records, [a(&format!("{name}."), 100, 1)]);
        }
        // One is cut off: the other is there.
        let network = grapeshot::testing::network();
        network.partition(&network.here(), &other);
        resolver.addresses("further.example").unwrap();
    });
}

#[test]
fn tortured_it_answers_or_says_what_went_wrong() {
    let torture =
        Simulation::new(3)
            .network(NetworkConfig::new())
            .torture(|| -> Result<(), String> {
                let (host, _) = server("ns", |query| {
                    let mut reply = query.reply();
                    reply.metadata.truncation = query.transport == Transport::Udp;
                    reply.add_answer(a(&query.name(), 60, 1));
                    one(&reply)
                });
                settle();
                let mut config = config(&[&host]);
                config.attempts = 1;
                config.no_aaaa = true;
                let resolver = Resolver::new(config, Hosts::default(), Limits::default());
                let first = resolver.addresses("a.example");
                assert_eq!(resolver.statistics().queueing, 0);
                first.map(drop).map_err(|error| error.to_string())
            });
    println!("tortured: {torture}");
    assert!(
        torture.errors > 0 && torture.errors < torture.runs,
        "{torture}"
    );
}
