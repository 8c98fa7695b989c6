//! JSON-RPC, sessions and the status page.

mod common;

use std::time::Duration;

use common::{Answer, ask, get, send};
use grapeshot_http::{JsonRpc, Router, RpcError, Server, Session, Sessions, Status, StatusPage};
use serde_json::{Value, json};

fn rpc() -> Server {
    let rpc = JsonRpc::new()
        .method("subtract", |(a, b): (i64, i64)| Ok(a - b))
        .method(
            "named",
            |params: std::collections::BTreeMap<String, i64>| Ok(params["a"] + 1),
        )
        .method("nothing", |(): ()| Ok("done"))
        .method("fails", |_: Value| {
            Err::<(), _>(RpcError::new(7, "no").data(json!([1])))
        })
        .most_calls(3);
    Server::with_handler(Router::new().any("/rpc", rpc))
}

/// The examples of the specification, and what is wrong besides.
#[test]
fn calls_are_answered_as_the_specification_says() {
    let server = rpc();
    let of = |call: &str| {
        let answer = send(&server, "POST", "/rpc", "", call.as_bytes());
        if answer.status == 204 {
            return Value::Null;
        }
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        serde_json::from_slice(&answer.content).unwrap()
    };
    let code = |call: &str| of(call)["error"]["code"].as_i64();
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#),
        json!({"jsonrpc": "2.0", "result": 19, "id": 1})
    );
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "named", "params": {"a": 1}, "id": "x"}"#)["result"],
        2
    );
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "nothing", "id": null}"#)["result"],
        "done"
    );
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "fails", "params": [], "id": 5}"#),
        json!({"jsonrpc": "2.0", "error": {"code": 7, "message": "no", "data": [1]}, "id": 5})
    );
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "subtract", "params": [1, 2]}"#),
        Value::Null
    );
    assert_eq!(
        of(r#"{"jsonrpc": "2.0", "method": "unknown"}"#),
        Value::Null
    );
    assert_eq!(
        code(r#"{"jsonrpc": "2.0", "method": "unknown", "id": 1}"#),
        Some(-32601)
    );
    assert_eq!(
        code(r#"{"jsonrpc": "2.0", "method": "subtract", "params": ["x"], "id": 1}"#),
        Some(-32602)
    );
    assert_eq!(
        code(r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#),
        Some(-32700)
    );
    for wrong in [
        "1",
        "[]",
        "[1,1,1,1]",
        r#"{"method": "subtract", "id": 1}"#,
        r#"{"jsonrpc": "2.0", "method": 1, "id": 1}"#,
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": "bar", "id": 1}"#,
        r#"{"jsonrpc": "2.0", "method": "subtract", "id": [1]}"#,
    ] {
        assert_eq!(code(wrong), Some(-32600), "{wrong}");
    }
    assert_eq!(
        code(&"[".repeat(100_000)),
        Some(-32700),
        "no depth overflows the stack"
    );
    let batch = of(
        r#"[{"jsonrpc": "2.0", "method": "subtract", "params": [3, 1], "id": 1},
        {"jsonrpc": "2.0", "method": "nothing"}, 1]"#,
    );
    assert_eq!(
        (
            batch[0]["result"].as_i64(),
            batch[1]["error"]["code"].as_i64()
        ),
        (Some(2), Some(-32600))
    );
    assert_eq!(batch.as_array().unwrap().len(), 2);
    assert_eq!(
        of(r#"[{"jsonrpc": "2.0", "method": "nothing"}]"#),
        Value::Null
    );
    assert_eq!(get(&server, "/rpc").status, 405);
}

fn visitor(session: &mut Session) {
    for visit in 1..=3 {
        let Some(turn) = session.next() else { return };
        let said = format!(
            "{visit} {} {}",
            turn.path,
            String::from_utf8_lossy(&turn.content)
        );
        turn.answer(said);
    }
    if let Some(turn) = session.next() {
        turn.answer_with(Status::GONE, "text/plain", "over");
    }
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("Set-Cookie").expect("a new session");
    assert!(set.ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{set}");
    format!("Cookie: {}\r\n", set.split(';').next().unwrap())
}

#[test]
fn a_session_answers_one_request_after_the_other() {
    grapeshot::testing::run(1, || {
        let sessions = Sessions::new(visitor).most(2).idle(Duration::from_secs(60));
        let server = Server::with_handler(sessions.clone());
        let first = get(&server, "/a");
        assert_eq!(first.text(), "1 /a ");
        let mine = cookie(&first);
        let second = send(&server, "POST", "/b", &mine, b"content");
        assert_eq!(
            (second.text(), second.header("Set-Cookie")),
            ("2 /b content", None)
        );
        let other = get(&server, "/");
        assert_eq!(other.text(), "1 / ", "another visitor");
        assert_eq!(ask(&server, "GET", "/c", &mine).text(), "3 /c ");
        let over = ask(&server, "GET", "/d", &mine);
        assert_eq!((over.status, over.text()), (410, "over"));
        grapeshot::sleep(Duration::from_millis(1));
        assert_eq!(sessions.statistics().open, 1);
        assert_eq!(ask(&server, "GET", "/", &mine).text(), "1 / ", "begun anew");
        assert_eq!(
            ask(&server, "GET", "/", "Cookie: session=made-up\r\n").text(),
            "1 / "
        );
        let statistics = sessions.statistics();
        assert_eq!(
            (statistics.open, statistics.total, statistics.evicted),
            (2, 4, 1)
        );
        assert_eq!(
            ask(&server, "GET", "/", &cookie(&other)).text(),
            "1 / ",
            "the silent one made room"
        );
        grapeshot::sleep(Duration::from_secs(61));
        assert_eq!(sessions.statistics().open, 0, "nobody asked for so long");
    });
}

#[test]
fn a_session_that_panics_ends_and_another_begins() {
    grapeshot::testing::run(1, || {
        let sessions = Sessions::new(|session| {
            if let Some(turn) = session.next() {
                assert!(turn.path != "/panic", "as it was asked to");
                turn.answer("well");
            }
        });
        let server = Server::with_handler(sessions.clone());
        assert_eq!(get(&server, "/panic").status, 503);
        assert_eq!(get(&server, "/").text(), "well");
        grapeshot::sleep(Duration::from_millis(1));
        assert_eq!(sessions.statistics().open, 0);
    });
}

#[test]
fn the_status_page_shows_what_there_is() {
    grapeshot::testing::run(1, || {
        let page = StatusPage::new("the <title>");
        let server = Server::with_handler(Router::new().any("/status", page.clone()));
        page.add_server("web", &server);
        page.add("threads", grapeshot::unblock_statistics);
        let sleeper = grapeshot::Builder::new()
            .name("a <sleeper>")
            .spawn(|| grapeshot::sleep(Duration::from_secs(1)));
        grapeshot::sleep(Duration::from_millis(1));
        let shown = get(&server, "/status");
        let text = shown.text();
        for part in [
            "the &lt;title&gt;",
            "a &lt;sleeper&gt;",
            "<h2>web</h2>",
            "connections total",
            "<h2>threads</h2>",
            "<h2>workers</h2>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("<sleeper>"));
        let id = sleeper.id();
        let detail = get(&server, &format!("/status?id={id}"));
        assert!(
            detail.text().contains("where it is") && detail.text().contains("sleep"),
            "{}",
            detail.text()
        );
        assert_eq!(get(&server, "/status?id=999999").status, 404);
        assert_eq!(get(&server, "/status?id=x").status, 400);
        assert_eq!(ask(&server, "POST", "/status", "").status, 405);
        sleeper.join().unwrap();
        drop(server);
        let after = Server::with_handler(page);
        assert!(
            !get(&after, "/").text().contains("<h2>web</h2>"),
            "a server that has gone is not shown"
        );
    });
}
