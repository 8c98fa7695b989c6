//! The targets of DESIGN.md section 8, checked against what was measured.

use serde_json::{Value, json};

use super::rows::Row;
use super::runtime::Results;

/// One target of one row.
struct Claim {
    row: &'static str,
    says: &'static str,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    /// This figure of ours is at most so much.
    AtMost {
        program: &'static str,
        key: &'static str,
        limit: f64,
    },
    /// Each of the peers' figures is at least so many times that of this program of ours.
    Times {
        ours: &'static str,
        key: &'static str,
        peers: &'static [&'static str],
        at_least: f64,
    },
    /// Ours is at least as much as each of the peers'.
    AsMany {
        key: &'static str,
        peers: &'static [&'static str],
    },
    /// Ours is at most so many times the other program's.
    Within {
        key: &'static str,
        of: &'static str,
        times: f64,
    },
    /// Ours grows from row to row (with so many of something) in a straight line: the slopes differ by less than this.
    Linear {
        key: &'static str,
        rows: [(&'static str, f64); 3],
        tolerance: f64,
    },
}

const GO: &[&str] = &["go-1", "go-2"];
const TOKIO: &[&str] = &["tokio-ct", "tokio-mt"];
const GO_AND_TOKIO: &[&str] = &["go-1", "go-2", "tokio-ct", "tokio-mt"];

const fn at_most(
    row: &'static str,
    says: &'static str,
    program: &'static str,
    key: &'static str,
    limit: f64,
) -> Claim {
    Claim {
        row,
        says,
        check: Check::AtMost {
            program,
            key,
            limit,
        },
    }
}

const fn times(
    row: &'static str,
    says: &'static str,
    key: &'static str,
    peers: &'static [&'static str],
    at_least: f64,
) -> Claim {
    Claim {
        row,
        says,
        check: Check::Times {
            ours: "ours",
            key,
            peers,
            at_least,
        },
    }
}

/// As [`times`], of ours without accounting: the peers keep no account of their tasks either.
const fn times_bare(
    row: &'static str,
    says: &'static str,
    key: &'static str,
    peers: &'static [&'static str],
    at_least: f64,
) -> Claim {
    Claim {
        row,
        says,
        check: Check::Times {
            ours: "ours-bare",
            key,
            peers,
            at_least,
        },
    }
}

const fn like_c(row: &'static str) -> Claim {
    let check = Check::Within {
        key: "cpu_us",
        of: "c",
        times: 1.1,
    };
    Claim {
        row,
        says: "≤ 1.1 × a bare epoll loop in C",
        check,
    }
}

/// What a stack for each connection costs anybody: one page each, however little of it is used.
const fn like_c_with_pages(row: &'static str) -> Claim {
    let check = Check::Within {
        key: "cpu_us",
        of: "c-page",
        times: 1.1,
    };
    Claim {
        row,
        says: "≤ 1.1 × the same with a page for each connection",
        check,
    }
}

const WEB_PEERS: &[&str] = &["nginx", "hyper", "minihttp", "actix", "go"];

/// The answer that was made before the question, from the same kind of loop.
const fn like_canned(row: &'static str) -> Claim {
    let check = Check::Within {
        key: "cpu_us",
        of: "c",
        times: 1.15,
    };
    Claim {
        row,
        says: "≤ 1.15 × a canned answer from a bare epoll loop in C",
        check,
    }
}

const CLAIMS: &[Claim] = &[
    at_most(
        "yield",
        "≤ 20 ns without accounting",
        "ours-bare",
        "ns",
        20.0,
    ),
    at_most("yield", "≤ 45 ns with accounting", "ours", "ns", 45.0),
    times("yield", "2 times faster than Go's Gosched", "ns", GO, 2.0),
    at_most("spawn-1000", "≤ 150 ns", "ours", "ns", 150.0),
    times(
        "spawn-1000",
        "2 times faster than Go and tokio",
        "ns",
        GO_AND_TOKIO,
        2.0,
    ),
    times_bare(
        "spawn-1000",
        "the same, like for like: without accounting",
        "ns",
        GO_AND_TOKIO,
        2.0,
    ),
    at_most("spawn-10000", "≤ 150 ns", "ours", "ns", 150.0),
    times(
        "spawn-10000",
        "2 times faster than Go and tokio",
        "ns",
        GO_AND_TOKIO,
        2.0,
    ),
    at_most("channel", "≤ 200 ns", "ours", "ns", 200.0),
    times(
        "channel",
        "2.5 times faster than Go and tokio",
        "ns",
        GO_AND_TOKIO,
        2.5,
    ),
    times_bare(
        "channel",
        "the same, like for like: without accounting",
        "ns",
        GO_AND_TOKIO,
        2.5,
    ),
    at_most("timeout", "≤ 60 ns", "ours", "ns", 60.0),
    times(
        "timeout",
        "10 times cheaper than Go's context.WithTimeout",
        "ns",
        GO,
        10.0,
    ),
    at_most(
        "memory-10000",
        "≤ 4.5 KiB resident each",
        "ours",
        "kib_each",
        4.5,
    ),
    at_most(
        "memory-100000",
        "≤ 4.5 KiB resident each",
        "ours",
        "kib_each",
        4.5,
    ),
    at_most(
        "memory-1000000",
        "≤ 4.5 KiB resident each, 1,000,000 at once",
        "ours",
        "kib_each",
        4.5,
    ),
    at_most(
        "memory-1000000",
        "no mapping per stack (under one a hundred)",
        "ours",
        "mappings",
        10_000.0,
    ),
    at_most("million", "1,000,000 within 5 GiB", "ours", "peak_gib", 5.0),
    at_most(
        "million",
        "a tenth of a GiB is left of it",
        "ours",
        "left_gib",
        0.1,
    ),
    at_most("sleepers", "p99 lateness ≤ 2 ms", "ours", "p99_ms", 2.0),
    times(
        "sleepers",
        "p99 lateness below tokio's",
        "p99_ms",
        TOKIO,
        1.0,
    ),
    like_c("echo-100"),
    like_c_with_pages("echo-100"),
    times(
        "echo-100",
        "below tokio's and Go's",
        "cpu_us",
        GO_AND_TOKIO,
        1.0,
    ),
    like_c("echo-1000"),
    like_c_with_pages("echo-1000"),
    times(
        "echo-1000",
        "below tokio's and Go's",
        "cpu_us",
        GO_AND_TOKIO,
        1.0,
    ),
    like_c("echo-10000"),
    like_c_with_pages("echo-10000"),
    times(
        "echo-10000",
        "below tokio's and Go's",
        "cpu_us",
        GO_AND_TOKIO,
        1.0,
    ),
    Claim {
        row: "echo-19000",
        says: "KiB a connection, from 1,000 to 10,000 and on to 19,000: the same within 5 %",
        check: Check::Linear {
            key: "rss_kib",
            rows: [
                ("echo-1000", 1_000.0),
                ("echo-10000", 10_000.0),
                ("echo-19000", 19_000.0),
            ],
            tolerance: 0.05,
        },
    },
    like_canned("plaintext-64"),
    times(
        "plaintext-64",
        "below nginx, hyper, may_minihttp, actix and Go",
        "cpu_us",
        WEB_PEERS,
        1.0,
    ),
    like_canned("plaintext-512"),
    times(
        "plaintext-512",
        "below nginx, hyper, may_minihttp, actix and Go",
        "cpu_us",
        WEB_PEERS,
        1.0,
    ),
    Claim {
        row: "pipelined",
        says: "requests/s at least those of may_minihttp and hyper",
        check: Check::AsMany {
            key: "per_second",
            peers: &["minihttp", "hyper"],
        },
    },
];

/// What a claim came to.
struct Verdict {
    says: &'static str,
    measured: String,
    met: bool,
}

/// Prints each target of the row with what was measured. Says nothing of a target whose programs did not run.
pub(super) fn print(row: &Row, results: &Results) {
    for verdict in verdicts(row, results) {
        let word = if verdict.met { "met    " } else { "NOT MET" };
        println!("  target {word}  {}: {}", verdict.says, verdict.measured);
    }
}

pub(super) fn as_json(row: &Row, results: &Results) -> Vec<Value> {
    let each = |v: &Verdict| json!({ "target": v.says, "measured": v.measured, "met": v.met });
    verdicts(row, results).iter().map(each).collect()
}

fn verdicts(row: &Row, results: &Results) -> Vec<Verdict> {
    let of_row = CLAIMS.iter().filter(|claim| claim.row == row.name);
    of_row.filter_map(|claim| verdict(claim, results)).collect()
}

fn verdict(claim: &Claim, results: &Results) -> Option<Verdict> {
    let median = |program: &str, key: &str| results.median(claim.row, program, key);
    let (measured, met) = match claim.check {
        Check::AtMost {
            program,
            key,
            limit,
        } => {
            let ours = median(program, key)?;
            (format!("{ours:.2}"), ours <= limit)
        }
        Check::Times {
            ours,
            key,
            peers,
            at_least,
        } => {
            let ours = median(ours, key)?;
            let ratios = peers
                .iter()
                .filter_map(|peer| Some((peer, median(peer, key)? / ours)));
            let (peer, worst) = ratios.min_by(|a, b| a.1.total_cmp(&b.1))?;
            (format!("{worst:.2} × against {peer}"), worst >= at_least)
        }
        Check::AsMany { key, peers } => {
            let ours = median("ours", key)?;
            let ratios = peers
                .iter()
                .filter_map(|peer| Some((peer, ours / median(peer, key)?)));
            let (peer, worst) = ratios.min_by(|a, b| a.1.total_cmp(&b.1))?;
            (format!("{worst:.2} × {peer}'s"), worst >= 1.0)
        }
        Check::Within { key, of, times } => {
            let ratio = median("ours", key)? / median(of, key)?;
            (format!("{ratio:.2} ×"), ratio <= times)
        }
        Check::Linear {
            key,
            rows,
            tolerance,
        } => {
            let at = |(row, count)| Some((results.median(row, "ours", key)?, count));
            let slope = |from, to| {
                let ((low, few), (high, many)) = (at(from)?, at(to)?);
                Some((high - low) / (many - few))
            };
            let (first, second) = (slope(rows[0], rows[1])?, slope(rows[1], rows[2])?);
            let is_straight = (second / first - 1.0).abs() <= tolerance;
            (format!("{first:.2}, then {second:.2}"), is_straight)
        }
    };
    Some(Verdict {
        says: claim.says,
        measured,
        met,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::runtime::{Measured, Sample};
    use super::super::{programs, rows};
    use super::*;

    fn results(of: &[(&'static str, f64)]) -> Results {
        let sample = |ns| Measured::Samples(vec![Sample::from([("ns".to_owned(), ns)])]);
        Results(
            of.iter()
                .map(|&(program, ns)| (("yield", program), sample(ns)))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    #[test]
    fn a_target_is_met_against_the_best_peer_or_not_at_all() {
        let row = &rows::RUNTIME[0];
        let met = |of: &[(&'static str, f64)]| -> Vec<bool> {
            verdicts(row, &results(of))
                .iter()
                .map(|verdict| verdict.met)
                .collect()
        };
        assert_eq!(
            met(&[("ours", 40.0), ("ours-bare", 21.0), ("go-1", 100.0)]),
            [false, true, true]
        );
        assert_eq!(
            met(&[("ours", 40.0), ("go-1", 100.0), ("go-2", 70.0)]),
            [true, false]
        );
        assert!(met(&[("go-1", 100.0)]).is_empty());
    }

    #[test]
    fn every_claim_names_a_row_and_programs_that_exist() {
        for claim in CLAIMS {
            let (row, programs) = [
                (rows::RUNTIME, programs::RUNTIME),
                (rows::WEB, programs::WEB),
            ]
            .into_iter()
            .find_map(|(rows, programs)| {
                let row = rows.iter().find(|row| row.name == claim.row)?;
                Some((row, programs))
            })
            .expect(claim.row);
            let (key, named) = match claim.check {
                Check::AtMost { program, key, .. } => (key, vec![program]),
                Check::Times {
                    ours, key, peers, ..
                } => (key, [&[ours], peers].concat()),
                Check::AsMany { key, peers } => (key, peers.to_vec()),
                Check::Within { key, of, .. } => (key, vec![of]),
                Check::Linear { key, rows, .. } => {
                    assert!(
                        rows.iter()
                            .all(|(row, _)| rows::RUNTIME.iter().any(|it| it.name == *row))
                    );
                    (key, vec!["ours"])
                }
            };
            assert!(
                row.metrics.iter().any(|metric| metric.key == key),
                "{key} is no metric of {}",
                row.name
            );
            for name in named {
                let program = programs
                    .iter()
                    .find(|program| program.name == name)
                    .expect(name);
                assert!(program.has(row), "{name} does not run {}", row.name);
            }
        }
    }
}
