//! Answers that lie. Each is passed over, or the server that gives it is.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use grapeshot::net::UdpSocket;
use grapeshot::testing::{self, Host, NetworkConfig, Simulation};
use grapeshot_dns::{
    Answer, Error, Failure, Hosts, Limits, RecordType, Resolver, ResponseCode, Transport,
};

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

const TRUTH: u8 = 1;
const LIE: u8 = 66;

fn truth(query: &Query) -> Vec<u8> {
    query.answer([a(&query.name(), 60, TRUTH)]).remove(0)
}

fn lie(query: &Query) -> grapeshot_dns::message::Message {
    let mut reply = query.reply();
    reply.add_answer(a(&query.name(), 60, LIE));
    reply
}

fn is_true(answer: &Answer) -> bool {
    answer.records == [a("a.example.", 60, TRUTH)]
}

fn ask(resolver: &Resolver) -> Result<Answer, Error> {
    resolver.lookup("a.example", RecordType::A)
}

/// One attempt only, so that a failure is seen.
fn once(host: &Host) -> Resolver {
    let mut config = config(&[host]);
    config.attempts = 1;
    Resolver::new(config, Hosts::default(), Limits::default())
}

fn failure(error: &Error) -> &Failure {
    match error {
        Error::NoAnswer { attempts, .. } => &attempts[0].failure,
        other => panic!("{other}"),
    }
}

#[test]
fn wrong_ids_and_questions_are_passed_over() {
    simulate(|| {
        let (host, _) = server("ns", |query| {
            let mut wrong_id = lie(query);
            wrong_id.metadata.id ^= 1;
            let mut wrong_name = lie(query);
            wrong_name.queries[0].name = name("b.example.");
            let mut wrong_type = lie(query);
            wrong_type.queries[0].query_type = RecordType::AAAA;
            let mut wrong_class = lie(query).to_vec().unwrap();
            let end = 12 + query.name().len() + 1 + 4;
            wrong_class[end - 1] = 3;
            let mut no_question = lie(query);
            no_question.queries.clear();
            let mut a_query = lie(query).to_vec().unwrap();
            a_query[2] &= 0x7f;
            let messages = [wrong_id, wrong_name, wrong_type, no_question];
            let mut wires: Vec<_> = messages
                .iter()
                .map(|message| message.to_vec().unwrap())
                .collect();
            wires.extend([wrong_class, a_query, Vec::new(), vec![0; 3], truth(query)]);
            wires
        });
        settle();
        let resolver = once(&host);
        assert!(is_true(&ask(&resolver).unwrap()));
        let statistics = resolver.statistics();
        // They may arrive in any order, the truth among them.
        assert!(
            statistics.strangers <= 8 && statistics.turned_to_tcp == 0,
            "{statistics:?}"
        );
    });
}

#[test]
fn somebody_else_is_not_heard() {
    simulate(|| {
        let (host, _) = server("ns", |query| {
            let (from, wire) = (query.from, lie(query).to_vec().unwrap());
            // The right id and question, from another port of the same host.
            let other = UdpSocket::bind("0.0.0.0:5353").unwrap();
            other.send_to(&wire, from).unwrap();
            grapeshot::sleep(Duration::from_millis(100));
            vec![truth(query)]
        });
        settle();
        assert!(is_true(&ask(&once(&host)).unwrap()));
    });
}

#[test]
fn one_who_guesses_has_us_ask_over_tcp() {
    simulate(|| {
        let (host, _) = server("ns", |query| match query.transport {
            Transport::Udp => (0..100)
                .map(|guess| {
                    let mut wrong = lie(query);
                    wrong.metadata.id = wrong.metadata.id.wrapping_add(guess + 1);
                    wrong.to_vec().unwrap()
                })
                .collect(),
            _ => vec![truth(query)],
        });
        settle();
        let resolver = once(&host);
        assert!(is_true(&ask(&resolver).unwrap()));
        let statistics = resolver.statistics();
        assert_eq!((statistics.strangers, statistics.sent_tcp), (16, 1));
    });
}

#[test]
fn another_spelling_has_us_ask_over_tcp() {
    simulate(|| {
        let (host, _) = server("ns", |query| {
            let spelled = query.message.queries[0].name.to_string();
            assert_ne!(
                spelled,
                spelled.to_lowercase(),
                "of 21 letters, one is in upper case"
            );
            let mut reply = match query.transport {
                Transport::Udp => lie(query),
                _ => {
                    let mut reply = query.reply();
                    reply.add_answer(a(&query.name(), 60, TRUTH));
                    reply
                }
            };
            reply.queries[0].name = reply.queries[0].name.to_lowercase();
            one(&reply)
        });
        settle();
        let mut config = config(&[&host]);
        config.random_case = true;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        let answer = resolver
            .lookup("abcdefghijklmn.example", RecordType::A)
            .unwrap();
        assert_eq!(answer.records, [a("abcdefghijklmn.example.", 60, TRUTH)]);
        assert_eq!(resolver.statistics().turned_to_tcp, 1);
    });
}

#[test]
fn records_of_other_names_are_not_believed() {
    simulate(|| {
        let (host, _) = server("ns", |query| {
            query.answer([
                a("victim.example.", 60, LIE),
                a(&query.name(), 60, TRUTH),
                cname("victim.example.", "evil.example."),
            ])
        });
        settle();
        let resolver = once(&host);
        assert!(is_true(&ask(&resolver).unwrap()));
        assert_eq!(resolver.statistics().kept, 1);
    });
}

#[test]
fn circles_of_aliases_end() {
    simulate(|| {
        let (host, count) = server("ns", |query| match query.name().as_str() {
            // All of the circle in one answer.
            "a.example." => query.answer([
                cname("a.example.", "b.example."),
                cname("b.example.", "a.example."),
            ]),
            // A step an answer.
            "c.example." => query.answer([cname("c.example.", "d.example.")]),
            "d.example." => query.answer([cname("d.example.", "c.example.")]),
            "self.example." => query.answer([cname("self.example.", "self.example.")]),
            // No circle, but without an end.
            name => query.answer([cname(name, &format!("x{}.endless.", query.number))]),
        });
        settle();
        let resolver = once(&host);
        for name in ["a.example", "c.example", "self.example", "endless"] {
            let before = load(&count);
            let error = resolver.lookup(name, RecordType::A).unwrap_err();
            assert!(
                matches!(failure(&error), Failure::TooManyAliases(_)),
                "{name}: {error}"
            );
            assert!(load(&count) - before <= 17, "{name}");
        }
    });
}

#[test]
fn aliases_are_followed_to_their_end() {
    simulate(|| {
        let (host, _) = server("ns", |query| match query.name().as_str() {
            "a.example." => query.answer([
                cname("b.example.", "c.example."),
                cname("a.example.", "b.example."),
            ]),
            "c.example." => query.answer([
                cname("c.example.", "d.example."),
                a("d.example.", 60, TRUTH),
            ]),
            "e.example." => {
                let mut reply = query.reply();
                reply.add_answer(cname("e.example.", "none.example."));
                reply.metadata.response_code = ResponseCode::NXDomain;
                one(&reply)
            }
            _ => query.code(ResponseCode::ServFail),
        });
        settle();
        let resolver = once(&host);
        let answer = ask(&resolver).unwrap();
        assert_eq!(*answer.canonical_name(), name("d.example."));
        assert_eq!((answer.records.len(), answer.addresses().count()), (4, 1));
        let error = resolver.lookup("e.example", RecordType::A).unwrap_err();
        assert!(
            matches!(&error, Error::NoSuchName { name, .. } if name == "none.example."),
            "{error}"
        );
    });
}

#[test]
fn what_cannot_be_read_is_the_servers_fault() {
    /// Makes nonsense of a query.
    type Garble = fn(&Query) -> Vec<u8>;
    let garbled: [(&str, Garble); 5] = [
        ("a loop of pointers", |query| {
            let mut wire = truth(query);
            let owner = 12 + query.name().len() + 1 + 4;
            // The record's name points to itself.
            wire.splice(owner..owner + 2, (0xc000 | owner as u16).to_be_bytes());
            wire
        }),
        ("cut in the middle", |query| {
            let mut wire = truth(query);
            wire.truncate(wire.len() - 3);
            wire
        }),
        ("more questions than there are", |query| {
            let mut wire = truth(query);
            wire[4..6].copy_from_slice(&[0xff, 0xff]);
            wire
        }),
        ("more records than there are", |query| {
            let mut wire = truth(query);
            wire[6..8].copy_from_slice(&[0x01, 0x00]);
            wire
        }),
        ("bytes at the end", |query| {
            let mut wire = truth(query);
            wire.push(0);
            wire
        }),
    ];
    for (what, garble) in garbled {
        simulate(move || {
            let (bad, _) = server("bad", move |query| vec![garble(query)]);
            let (good, _) = server("good", |query| vec![truth(query)]);
            settle();
            let error = ask(&once(&bad)).unwrap_err();
            assert!(
                matches!(failure(&error), Failure::Malformed(_)),
                "{what}: {error}"
            );
            // Another server knows.
            let resolver = resolver(&[&bad, &good]);
            assert!(is_true(&ask(&resolver).unwrap()), "{what}");
            assert_eq!(resolver.statistics().malformed, 1, "{what}");
        });
    }
}

#[test]
fn more_than_was_allowed_over_udp_is_asked_for_over_tcp() {
    simulate(|| {
        let (host, _) = server("ns", |query| match query.transport {
            Transport::Udp => {
                let mut reply = lie(query);
                reply.add_answers((0..100).map(|last| a(&query.name(), 60, last)));
                one(&reply)
            }
            _ => vec![truth(query)],
        });
        settle();
        assert!(is_true(&ask(&once(&host)).unwrap()));
    });
}

#[test]
fn lies_over_tcp_are_failures() {
    /// Answers over TCP; over UDP it says that it is too long for that.
    fn only_tcp(host: &str, say: impl Fn(&Query) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Host {
        let (host, _) = server(host, move |query| match query.transport {
            Transport::Udp => {
                let mut reply = query.reply();
                reply.metadata.truncation = true;
                one(&reply)
            }
            _ => say(query),
        });
        host
    }
    simulate(|| {
        let wrong = only_tcp("wrong", |query| {
            let mut wrong = lie(query);
            wrong.metadata.id ^= 1;
            one(&wrong)
        });
        let short = only_tcp("short", |query| {
            let mut reply = query.reply();
            reply.metadata.truncation = true;
            one(&reply)
        });
        let closing = only_tcp("closing", |_| Vec::new());
        settle();
        assert_eq!(*failure(&ask(&once(&wrong)).unwrap_err()), Failure::NotOurs);
        assert_eq!(
            *failure(&ask(&once(&short)).unwrap_err()),
            Failure::Truncated
        );
        let error = ask(&once(&closing)).unwrap_err();
        assert!(
            matches!(
                failure(&error),
                Failure::Io(std::io::ErrorKind::UnexpectedEof, _)
            ),
            "{error}"
        );
        // It accepts, and says nothing more: within the time of the attempt that ends.
        let silent = testing::host("silent", || {
            let udp = UdpSocket::bind("0.0.0.0:53").unwrap();
            let _listener = grapeshot::net::TcpListener::bind("0.0.0.0:53").unwrap();
            let mut buf = [0; 512];
            while let Ok((count, from)) = udp.recv_from(&mut buf) {
                let mut reply = buf[..count].to_vec();
                reply[2] |= 0x82;
                let _ = udp.send_to(&reply, from);
            }
        });
        settle();
        let server = SocketAddr::from((silent.ip(), 53));
        let error = ask(&once(&silent)).unwrap_err();
        assert_eq!(*failure(&error), Failure::TimedOut(Duration::from_secs(5)));
        assert!(
            error
                .to_string()
                .contains(&format!("{server} (tcp): silent for 5 s")),
            "{error}"
        );
    });
}

/// What the fuzzer begins with: each is read or refused, and what is read can be sent on and read again.
#[test]
fn the_fuzzers_seeds_are_read_or_refused() {
    use grapeshot_dns::message::{decode, encode};
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/dns_message");
    let mut refused = Vec::new();
    for seed in std::fs::read_dir(seeds).unwrap() {
        let seed = seed.unwrap();
        let wire = std::fs::read(seed.path()).unwrap();
        let Ok(message) = decode(&wire) else {
            refused.push(seed.file_name().into_string().unwrap());
            continue;
        };
        let again = decode(&encode(&message, 65_535)).unwrap();
        assert_eq!(again, message, "{}", seed.path().display());
        // Every cut of it is refused.
        for cut in 0..wire.len() {
            assert!(
                decode(&wire[..cut]).is_err(),
                "{} at {cut}",
                seed.path().display()
            );
        }
    }
    // What the fuzzer found is called after its hash, and may be either.
    refused.retain(|name| name.len() != 40);
    refused.sort();
    assert_eq!(refused, ["cut", "many_questions", "pointer_loop"]);
}
