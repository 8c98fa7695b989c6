//! Basic and Digest around a handler.

mod common;

use std::time::Duration;

use common::{Answer, ask, get};
use grapeshot_http::auth::{Algorithm, Basic, Digest, User, Users};
use grapeshot_http::{Router, Server};

fn inner() -> Router {
    Router::new().get("/{rest...}", |request| {
        request
            .get::<User>()
            .map(|user| format!("hello {}", user.0))
    })
}

fn users() -> Users {
    Users::new().user("alice", "open: sesame").user("bob", "")
}

#[test]
fn basic_lets_pass_who_knows_the_password() {
    let server = Server::with_handler(Basic::new("a \"cave\"", users(), inner()));
    let challenged = get(&server, "/");
    assert_eq!(challenged.status, 401);
    assert_eq!(
        challenged.header("WWW-Authenticate"),
        Some("Basic realm=\"a \\\"cave\\\"\", charset=\"UTF-8\"")
    );
    let with = |credentials: &str| {
        ask(
            &server,
            "GET",
            "/",
            &format!("Authorization: Basic {credentials}\r\n"),
        )
    };
    assert_eq!(with("YWxpY2U6b3Blbjogc2VzYW1l").text(), "hello alice");
    assert_eq!(with("Ym9iOg==").text(), "hello bob");
    for wrong in ["YWxpY2U6", "bm9ib2R5Og==", "YWxpY2U=", "!", ""] {
        assert_eq!(with(wrong).status, 401, "{wrong}");
    }
}

/// A client that knows a password.
struct Client {
    algorithm: Algorithm,
    nonce: String,
}

impl Client {
    /// Takes the challenge for this algorithm out of an answer.
    fn challenged(algorithm: Algorithm, answer: &Answer) -> Self {
        let name = match algorithm {
            Algorithm::Sha256 => "algorithm=SHA-256,",
            Algorithm::Md5 => "algorithm=MD5,",
        };
        let challenge = answer
            .headers
            .iter()
            .find(|(header, value)| header == "WWW-Authenticate" && value.contains(name))
            .map(|(_, value)| value)
            .expect("a challenge");
        assert!(
            challenge.starts_with("Digest realm=\"cave\", qop=\"auth\", "),
            "{challenge}"
        );
        let nonce = challenge.split("nonce=\"").nth(1).unwrap();
        Self {
            algorithm,
            nonce: nonce.split('"').next().unwrap().to_owned(),
        }
    }

    fn header(&self, user: &str, password: &str, uri: &str, count: &str) -> String {
        let hash = |text: String| self.algorithm.hash(&text);
        let secret = hash(format!("{user}:cave:{password}"));
        let asked = hash(format!("GET:{uri}"));
        let nonce = &self.nonce;
        let response = hash(format!("{secret}:{nonce}:{count}:xyz:auth:{asked}"));
        let name = match self.algorithm {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        };
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"cave\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={name}, qop=auth, nc={count}, cnonce=\"xyz\", response=\"{response}\"\r\n"
        )
    }
}

fn is_stale(answer: &Answer) -> bool {
    assert_eq!(answer.status, 401);
    answer
        .header("WWW-Authenticate")
        .unwrap()
        .ends_with(", stale=true")
}

#[test]
fn digest_lets_pass_who_knows_the_password_once_for_each_count() {
    grapeshot::testing::run(1, || {
        let guarded = Digest::new("cave", users(), inner()).unwrap().with_md5();
        let server = Server::with_handler(guarded);
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let client = Client::challenged(algorithm, &get(&server, "/a?b"));
            let say = |header: String| ask(&server, "GET", "/a?b", &header);
            let right = |count| client.header("alice", "open: sesame", "/a?b", count);
            assert_eq!(say(right("00000001")).text(), "hello alice");
            assert!(is_stale(&say(right("00000001"))), "a replay");
            assert_eq!(say(right("00000002")).text(), "hello alice");
            assert!(!is_stale(&say(
                client.header("alice", "wrong", "/a?b", "00000003")
            )));
            assert!(!is_stale(&say(
                client.header("nobody", "", "/a?b", "00000003")
            )));
            assert!(!is_stale(&say(client.header(
                "alice",
                "open: sesame",
                "/other",
                "00000003"
            ))));
            assert_eq!(
                say(right("00000003")).text(),
                "hello alice",
                "wrong ones use up nothing"
            );
            let foreign = Client {
                algorithm,
                nonce: "0".repeat(64),
            };
            assert!(!is_stale(&say(foreign.header(
                "alice",
                "open: sesame",
                "/a?b",
                "00000001"
            ))));
            grapeshot::sleep(Duration::from_secs(301));
            assert!(is_stale(&say(right("00000004"))), "too old");
        }
        let strict = Server::with_handler(Digest::new("cave", users(), inner()).unwrap());
        let mut client = Client::challenged(Algorithm::Sha256, &get(&strict, "/"));
        client.algorithm = Algorithm::Md5;
        let weak = client.header("alice", "open: sesame", "/", "00000001");
        assert_eq!(
            ask(&strict, "GET", "/", &weak).status,
            401,
            "MD5 only where it is allowed"
        );
    });
}
