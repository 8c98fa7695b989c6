//! Routers, lists, hosts, values as answers, and what is wrapped around handlers.

mod common;

use std::time::Duration;

use common::{Answer, ask, get, send, talk};
use grapeshot_http::{
    Handler, HandlerError, Handlers, Html, Json, Redirect, Rejection, RouteError, Router, Server,
    Status, VirtualHosts, answer, handler,
};

fn text_of(server: &Server, path: &str) -> String {
    let answer = get(server, path);
    assert_eq!(answer.status, 200, "{path}");
    answer.text().to_owned()
}

#[test]
fn the_most_literal_route_gets_the_request() {
    let server = Server::with_handler(
        Router::new()
            .get("/", |_| "root")
            .get("/users/{id}", |request| {
                format!("user {}", request.text("id"))
            })
            .get("/users/me", |_| "me")
            .get("/users/{id}/books/{book}", |request| {
                format!("{}/{}", request.text("id"), request.text("book"))
            })
            .get("/users/me/books", |_| "my books")
            .get("/files/{path...}", |request| {
                format!("{}|{}", request.text("path"), request.subpath())
            })
            .get("/a/", |_| "folder"),
    );
    for (path, text) in [
        ("/", "root"),
        ("/users/7", "user 7"),
        ("/users/me", "me"),
        ("/users/%6de", "me"),
        ("/users/me/books/1", "me/1"),
        ("/users/me/books", "my books"),
        ("/users/a%2Fb/books/%c3%a9", "a/b/\u{e9}"),
        ("/files/", "|/"),
        ("/files/x/y%20z?q", "x/y z|/x/y%20z"),
        ("/a/", "folder"),
    ] {
        assert_eq!(text_of(&server, path), text, "{path}");
    }
    for missing in [
        "/users",
        "/users/",
        "/users/7/",
        "/files",
        "/a",
        "/x",
        "//",
        "/users/%ff",
    ] {
        let status = get(&server, missing).status;
        assert!(
            status == 404 || (missing.contains("%ff") && status == 400),
            "{missing}: {status}"
        );
    }
}

#[test]
fn methods_decide_between_the_answer_and_405() {
    let server = Server::with_handler(
        Router::new()
            .get("/a", |_| "got")
            .post("/a", |request| request.read_body())
            .get("/users/{id}", |request| {
                format!("user {}", request.text("id"))
            })
            .post("/users/me", |_| "posted")
            .any(
                "/any",
                handler(|request, response| response.send_text(request.method())),
            ),
    );
    assert_eq!(get(&server, "/a").text(), "got");
    assert_eq!(send(&server, "POST", "/a", "", b"sent").content, b"sent");
    let head = ask(&server, "HEAD", "/a", "");
    assert_eq!(
        (head.status, head.header("Content-Length")),
        (200, Some("3"))
    );
    let refused = ask(&server, "DELETE", "/a", "");
    assert_eq!(
        (refused.status, refused.header("Allow")),
        (405, Some("GET, HEAD, OPTIONS, POST"))
    );
    let options = ask(&server, "OPTIONS", "/a", "");
    assert_eq!(
        (options.status, options.header("Allow")),
        (204, Some("GET, HEAD, OPTIONS, POST"))
    );
    assert_eq!(ask(&server, "OPTIONS", "*", "").status, 204);
    // The literal route has no GET, so the parameter's gets it.
    assert_eq!(get(&server, "/users/me").text(), "user me");
    assert_eq!(
        ask(&server, "PUT", "/users/me", "").header("Allow"),
        Some("GET, HEAD, OPTIONS, POST")
    );
    for method in ["GET", "BREW", "OPTIONS"] {
        assert_eq!(ask(&server, method, "/any", "").text(), method);
    }
}

#[test]
fn routes_that_could_be_meant_both_are_refused_in_words() {
    let mut router = Router::new()
        .get("/users/{id}", |_| "")
        .any("/x/{rest...}", answer(|_| ""));
    let mut add = |method: &str, pattern: &str| router.try_on(method, pattern, answer(|_| ""));
    let duplicate = add("GET", "/users/{id}").unwrap_err();
    assert_eq!(
        duplicate.to_string(),
        "GET /users/{id} has a handler already, added as /users/{id}"
    );
    let ambiguous = add("POST", "/users/{name}").unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        "/users/{name} calls a parameter \"name\" which other routes call \"id\"; use one name"
    );
    assert!(matches!(
        add("GET", "/x/{other...}"),
        Err(RouteError::Ambiguous { .. })
    ));
    assert!(matches!(
        add("GET", "no/slash"),
        Err(RouteError::Pattern { .. })
    ));
    assert!(matches!(add("G T", "/y"), Err(RouteError::Method(_))));
    add("POST", "/users/{id}").unwrap();
    add("GET", "/users/me").unwrap();
    let panic = std::panic::catch_unwind(|| {
        let _ = Router::new().get("/a", |_| "").get("/a", |_| "");
    });
    assert!(
        panic
            .unwrap_err()
            .downcast_ref::<String>()
            .unwrap()
            .contains("/a has a handler already")
    );
}

#[test]
fn routers_lie_within_routers() {
    let inner = Router::new().get("/", |_| "top").get("/{x}", |request| {
        format!("{} of {}", request.text("x"), request.text("who"))
    });
    let server = Server::with_handler(
        Router::new()
            .any("/api/{who}/{rest...}", inner)
            .fallback(answer(|request| (Status::GONE, request.path().to_owned()))),
    );
    assert_eq!(text_of(&server, "/api/me/"), "top");
    assert_eq!(text_of(&server, "/api/me/7"), "7 of me");
    assert_eq!(get(&server, "/api/me/7/8").status, 404);
    assert_eq!(get(&server, "/other").status, 410);
}

#[test]
fn the_first_handler_that_matches_gets_the_request() {
    let handlers = Handlers::new();
    let server = Server::with_handler(handlers.clone());
    assert_eq!(get(&server, "/a").status, 404);
    handlers.push("one", Router::new().get("/a", |_| "one"));
    handlers.push(
        "two",
        Router::new().get("/a", |_| "two").get("/b", |_| "two"),
    );
    assert_eq!(
        (text_of(&server, "/a"), text_of(&server, "/b")),
        ("one".into(), "two".into())
    );
    assert!(handlers.set_enabled("one", false));
    assert_eq!(text_of(&server, "/a"), "two");
    assert!(handlers.set_enabled("one", true));
    handlers.push_front("zero", Router::new().get("/a", |_| "zero"));
    handlers.push("one", Router::new().get("/a", |_| "another one"));
    assert_eq!(handlers.names(), ["zero", "one", "two"]);
    assert!(handlers.remove("zero") && !handlers.remove("zero"));
    assert_eq!(text_of(&server, "/a"), "another one");
    assert!(!handlers.set_enabled("zero", true));
}

#[test]
fn hosts_have_their_handlers() {
    let server = Server::with_handler(
        VirtualHosts::new()
            .host("Example.org", answer(|_| "exact"))
            .host("*.example.org", answer(|_| "below"))
            .host("[::1]", answer(|_| "v6")),
    );
    let of = |host: &str| {
        let out = talk(&server, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = Answer::take(&mut &out[..]);
        (answer.status, answer.text().trim_end().to_owned())
    };
    assert_eq!(of("example.ORG:8080"), (200, "exact".to_owned()));
    assert_eq!(of("example.org."), (200, "exact".to_owned()));
    assert_eq!(of("www.example.org"), (200, "below".to_owned()));
    assert_eq!(of("a.b.example.org").0, 421);
    assert_eq!(of("[::1]:80"), (200, "v6".to_owned()));
    assert_eq!(of("other").0, 421);
}

#[test]
fn values_are_answers() {
    let server = Server::with_handler(
        Router::new()
            .get("/string", |_| "owned".to_owned())
            .get("/bytes", |_| vec![1u8, 2])
            .get("/unit", |_| ())
            .get("/status", |_| Status::GONE)
            .get("/json", |_| Json(serde_json::json!({"a": [1, null]})))
            .get("/html", |_| Html("<p>"))
            .get("/both", |_| {
                (
                    Status::CREATED,
                    [("X-A", "1"), ("Content-Type", "text/css")],
                    "b",
                )
            })
            .get("/none", |_| None::<&str>)
            .get("/rejected", |request| {
                request.param::<u8>("no").map(|number| number.to_string())
            })
            .get("/moved", |_| Redirect::permanent("/there"))
            .any(
                "/old/{rest...}",
                Redirect::temporary("https://h/new").keep_path(),
            )
            .get("/late", |_| {
                Err::<&str, HandlerError>(Rejection::new(Status::CONFLICT, "no").into())
            }),
    );
    let of = |path: &str| {
        let answer = get(&server, path);
        let kind = answer.header("Content-Type").unwrap_or("").to_owned();
        (
            answer.status,
            kind,
            String::from_utf8_lossy(&answer.content).into_owned(),
        )
    };
    let plain = "text/plain; charset=utf-8";
    for (path, status, kind, content) in [
        ("/string", 200, plain, "owned"),
        ("/bytes", 200, "application/octet-stream", "\u{1}\u{2}"),
        ("/unit", 204, "", ""),
        ("/status", 410, plain, "410 Gone\n"),
        ("/json", 200, "application/json", "{\"a\":[1,null]}"),
        ("/html", 200, "text/html; charset=utf-8", "<p>"),
        ("/both", 201, "text/css", "b"),
        ("/none", 404, plain, "not found\n"),
        (
            "/rejected",
            400,
            plain,
            "\"no\" in the path is not what it should be\n",
        ),
        ("/moved", 308, "", ""),
        ("/late", 409, plain, "no\n"),
    ] {
        assert_eq!(
            of(path),
            (status, kind.to_owned(), content.to_owned()),
            "{path}"
        );
    }
    let moved = get(&server, "/old/a/b?c");
    assert_eq!(
        (moved.status, moved.header("Location")),
        (307, Some("https://h/new/a/b?c"))
    );
    let outside = get(&server, "/old//evil.example/x");
    assert_eq!(
        outside.header("Location"),
        Some("https://h/new/evil.example/x")
    );
    assert_eq!(
        server.statistics().failed,
        0,
        "an answer by error is no failure"
    );
}

#[test]
fn what_is_wrapped_around_a_handler_sees_both_ways() {
    #[derive(Debug, PartialEq)]
    struct User(String);
    let site = Router::new()
        .get("/", |request| {
            format!("hello {}", request.get::<User>().unwrap().0)
        })
        .wrap(|request, response, inner| {
            let Some(name) = request.header("X-User") else {
                return Err(Status::UNAUTHORIZED.into());
            };
            request.insert(User(name.to_owned()));
            inner.handle(request, response.header("X-Wrapped", "yes"))
        });
    let server = Server::with_handler(site);
    assert_eq!(get(&server, "/").status, 401);
    let answer = ask(&server, "GET", "/", "X-User: me\r\n");
    assert_eq!(
        (answer.text(), answer.header("X-Wrapped")),
        ("hello me", Some("yes"))
    );
}

#[test]
fn a_handler_that_takes_too_long_is_answered_for() {
    grapeshot::testing::run(1, || {
        let site = Router::new()
            .get("/slow", |_| grapeshot::sleep(Duration::from_secs(5)))
            .get("/quick", |_| {
                grapeshot::sleep(Duration::from_millis(5));
                "quick"
            })
            .any(
                "/begun",
                handler(|_request, response| {
                    let mut writer = response.start()?;
                    std::io::Write::write_all(&mut writer, b"begun")?;
                    grapeshot::sleep(Duration::from_secs(5));
                    writer.finish()
                }),
            )
            .time_limit(Duration::from_secs(1));
        let server = Server::with_handler(site);
        let began = grapeshot::time::now();
        let slow = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /quick HTTP/1.1\r\nHost: h\r\n\r\n";
        let out = talk(&server, slow);
        let mut rest = &out[..];
        assert_eq!(Answer::take(&mut rest).status, 503);
        assert_eq!(grapeshot::time::now() - began, Duration::from_millis(1005));
        assert_eq!(
            Answer::take(&mut rest).text(),
            "quick",
            "the connection goes on"
        );
        let begun = talk(&server, "GET /begun HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(!begun.ends_with(b"0\r\n\r\n"), "it does not look whole");
    });
}
