//! What is asked again, and what is not: lost connections, redirects, busy servers.

use std::io::Write;

use grapeshot::time::now;
use grapeshot_http::Status;
use grapeshot_http::client::{ErrorKind, Phase, RedirectFault, Redirects, Retries};

use crate::client_support::{answers, client, on_network, read_head, scripted, serve, served};

/// Who closes with something unread resets the connection.
fn ended_unanswered(error: &grapeshot_http::client::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Truncated | ErrorKind::Io(Phase::Answer | Phase::Send, _)
    )
}

/// A server that answers one request on each connection, and closes when it reads the second.
fn closing_at_the_second_request() {
    scripted("server", |number, mut stream| {
        read_head(&mut stream);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
        stream.write_all(answer.as_bytes()).unwrap();
        read_head(&mut stream);
    });
}

#[test]
fn a_connection_that_ends_under_a_request_is_replaced_if_that_is_safe() {
    on_network(|| {
        closing_at_the_second_request();
        let client = client();
        for expected in ["0", "1", "2"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
        }
        let error = client.post("http://server/").body("x").send().unwrap_err();
        assert!(ended_unanswered(&error), "{error}");
        let statistics = client.statistics();
        assert_eq!((statistics.opened, statistics.stale), (3, 2));
    });
}

#[test]
fn redirects_are_followed_and_listed() {
    served(
        |request, response| {
            let content = request.read_body()?;
            let (status, place) = match request.path() {
                "/a" => (Status::FOUND, "b?x"),
                "/b" => (Status::PERMANENT_REDIRECT, "/c"),
                "/loop" => (Status::FOUND, "/loop"),
                "/away" => (Status::TEMPORARY_REDIRECT, "http://other/"),
                _ => {
                    let said = request.header("authorization").unwrap_or("nothing");
                    let text = format!("{} {} {said}", request.method(), content.len());
                    return Ok(response.send(text)?);
                }
            };
            let response = response.status(status).header("Location", place);
            Ok(response.send("moved")?)
        },
        || {
            serve("other", |request, response| {
                let secret = request.header("authorization").or(request.header("cookie"));
                Ok(response.send(format!("{} {secret:?}", request.method()))?)
            });
            let client = client();
            let post = |path: &str| client.post(format!("http://server{path}")).body("hello");
            let response = post("/a").basic_auth("me", "pw").send().unwrap();
            let followed: Vec<_> = response
                .redirects()
                .iter()
                .map(|hop| hop.to.as_str())
                .collect();
            assert_eq!(followed, ["http://server/b?x", "http://server/c"]);
            assert_eq!(response.url().as_str(), "http://server/c");
            assert_eq!(response.text().unwrap(), "GET 0 Basic bWU6cHc=");
            assert_eq!(post("/b").send().unwrap().text().unwrap(), "POST 5 nothing");
            assert_eq!(client.statistics().opened, 1);
            let away = post("/away").basic_auth("me", "pw").header("Cookie", "a=b");
            assert_eq!(away.send().unwrap().text().unwrap(), "POST None");
            let error = client.get("http://server/loop").unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Redirect(RedirectFault::TooMany)
            ));
            let gone = client
                .post("http://server/b")
                .body_from(&b"once"[..], None)
                .send();
            let error = gone.unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Redirect(RedirectFault::BodyGone)
            ));
            let response = client
                .request("GET", "http://server/a")
                .redirects(Redirects::none())
                .send()
                .unwrap();
            assert_eq!(response.status(), Status::FOUND);
        },
    );
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = match number {
                0 => "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
                1 => "",
                2 => "HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let client = client();
        let began = now();
        let get = client
            .request("GET", "http://server/")
            .retries(Retries::most(3));
        assert_eq!(get.send().unwrap().text().unwrap(), "ok");
        let lasted = (now() - began).as_secs_f64();
        assert!((7.3..9.0).contains(&lasted), "{lasted}");
        assert_eq!(client.statistics().retries, 3);
    });
}

#[test]
fn what_is_not_safe_is_not_sent_twice() {
    on_network(|| {
        answers("server", "");
        let client = client();
        let post = client
            .post("http://server/")
            .body("pay")
            .retries(Retries::most(5));
        assert!(ended_unanswered(&post.send().unwrap_err()));
        let streamed = client
            .put("http://server/")
            .body_from(&b"x"[..], None)
            .retries(Retries::most(5));
        assert!(ended_unanswered(&streamed.send().unwrap_err()));
        let statistics = client.statistics();
        assert_eq!((statistics.requests, statistics.retries), (2, 0));
        // A connection that never was has sent nothing.
        let nowhere = client
            .post("http://nowhere/")
            .body("pay")
            .retries(Retries::most(2));
        nowhere.send().unwrap_err();
        assert_eq!(client.statistics().retries, 2);
    });
}
