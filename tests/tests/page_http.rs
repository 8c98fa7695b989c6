//! The live page through HTTP and its WebSocket: who gets in, what is told, and how little it holds up.

mod page_support;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grapeshot::{Builder, sleep};
use grapeshot_backdoor::{Backdoor, Right, Rights, Web};
use grapeshot_websocket::client::ConnectError;
use page_support::{Page, body, header, status};
use serde_json::{Value, json};

fn sleepers(count: usize) {
    for number in 0..count {
        let npc = Builder::new().name(format!("npc-{number:03}"));
        drop(npc.spawn(|| sleep(Duration::from_secs(3600))));
    }
}

#[test]
fn without_the_token_there_is_a_question_and_nothing_else() {
    let page = Page::serve(Web::local(0), || {});
    let asked = page.ask("GET /", "");
    assert_eq!(status(&asked), 401);
    assert!(body(&asked).contains("Who are you?") && header(&asked, "Set-Cookie").is_none());
    for path in ["/me", "/metrics", "/live", "/page/main.js", "/nothing"] {
        let answer = page.ask(&format!("GET {path}"), "");
        assert_eq!(status(&answer), 401, "{path}");
        assert!(
            !answer.contains("arcade"),
            "{path} tells the application's name: {answer}"
        );
    }
}

#[test]
fn the_token_opens_the_page_and_the_cookie_everything_else() {
    let page = Page::serve(Web::local(0), || {});
    let answer = page.ask(&format!("GET /?token={}", page.token), "");
    assert_eq!(status(&answer), 200);
    let cookie = header(&answer, "Set-Cookie").expect("a cookie");
    assert!(
        cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains(&page.token), "the cookie tells the token");
    let policy = header(&answer, "Content-Security-Policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    let cookie = page.cookie();
    for path in ["/", "/me", "/metrics", "/page/main.js", "/page/page.css"] {
        assert_eq!(
            status(&page.ask(&format!("GET {path}"), &cookie)),
            200,
            "{path}"
        );
    }
    assert_eq!(status(&page.ask("GET /nothing", &cookie)), 404);
    assert_eq!(status(&page.ask("POST /", &cookie)), 405);
    let me: Value = serde_json::from_str(&page.get("/me")).expect("JSON");
    assert_eq!(
        (&me["application"], &me["rights"]),
        (
            &json!("arcade"),
            &json!(["observe", "trace", "operate", "evaluate"])
        )
    );
}

#[test]
fn all_that_the_page_asks_for_is_there() {
    let page = Page::serve(Web::local(0), || {});
    let (mut wanted, mut found) = (vec!["/".to_owned()], HashSet::new());
    while let Some(path) = wanted.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        let text = page.get(&path);
        for line in text.lines() {
            let quoted = line.split(['"', '\'']).skip(1).step_by(2);
            let import = line.starts_with("import ")
                || line.contains("<link rel=\"stylesheet\"")
                || line.contains("<script");
            for name in quoted.filter(|_| import) {
                match name.strip_prefix("./") {
                    Some(file) => wanted.push(format!("/page/{file}")),
                    None if name.starts_with("/page/") => wanted.push(name.to_owned()),
                    None => {}
                }
            }
        }
        // Nothing is fetched from anywhere else.
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !elsewhere.contains("http://") && !elsewhere.contains("https://")
                || path.ends_with("xterm.js"),
            "{path}"
        );
    }
    assert!(found.len() > 8, "{found:?}");
}

#[test]
fn a_wrong_token_is_refused_and_counted() {
    let page = Page::serve(Web::local(0).token("open-sesame-open-sesame"), || {});
    assert_eq!(page.token, "open-sesame-open-sesame");
    for headers in ["", &page.cookie()] {
        let answer = page.ask("GET /?token=open-sesame-open-sesamf", headers);
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(header(&answer, "Set-Cookie").is_none());
    }
    let metrics = page.get("/metrics");
    assert!(
        metrics.contains("\ngrapeshot_page_refusals_total 2\n"),
        "{metrics}"
    );
}

#[test]
fn a_name_that_was_made_to_point_here_is_refused() {
    let page = Page::serve(Web::local(0).host("ops.example.com"), || {});
    let ask = |host: &str| {
        let bearer = page.bearer();
        status(&page.ask_anything(&format!(
            "GET /me HTTP/1.1\r\nHost: {host}\r\n{bearer}Connection: close\r\n\r\n"
        )))
    };
    for ours in ["127.0.0.1", "localhost:8080", "[::1]", "ops.example.com"] {
        assert_eq!(ask(ours), 200, "{ours}");
    }
    for theirs in [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:9002",
    ] {
        assert_eq!(ask(theirs), 421, "{theirs}");
    }
}

#[test]
fn a_strangers_page_opens_no_websocket() {
    let page = Page::serve(Web::local(0), || {});
    let cookie = page.cookie();
    let cookie = cookie.trim_start_matches("Cookie: ").trim_end();
    let refused =
        |headers: &[(&str, &str)], origin: Option<&str>| match page.connect(headers, origin) {
            Err(ConnectError::Refused(status)) => status,
            Err(other) => panic!("{other}"),
            Ok(_) => 101,
        };
    let own = format!("http://{}", page.address);
    assert_eq!(refused(&[], Some(&own)), 401, "without the cookie");
    assert_eq!(
        refused(&[("Cookie", cookie)], Some("http://evil.example")),
        403
    );
    assert_eq!(
        refused(&[("Cookie", cookie)], Some("http://127.0.0.1:1")),
        403
    );
    assert_eq!(refused(&[("Cookie", cookie)], Some("null")), 403);
    assert_eq!(
        refused(
            &[("Cookie", cookie), ("Sec-Fetch-Site", "cross-site")],
            None
        ),
        403
    );
    assert_eq!(refused(&[("Cookie", cookie)], Some(&own)), 101);
}

#[test]
fn a_snapshot_waits_for_the_one_before_to_be_seen() {
    let page = Page::serve(Web::local(0).updates_per_second(20), || sleepers(3));
    let (slow, quick) = (page.open(), page.open());
    let first = slow.receive();
    assert_eq!(first["number"], 1);
    // Meanwhile the other is told again and again.
    quick.until("many", |snapshot| snapshot["number"].as_u64() > Some(8));
    slow.seen(&first);
    let second = slow.receive();
    assert_eq!(
        second["number"], 2,
        "nothing was sent, nor queued, while the first was unseen"
    );
    assert!(second["figures"]["uptime"].as_f64() > first["figures"]["uptime"].as_f64());
}

#[test]
fn coroutines_are_searched_sorted_and_paged_by_the_server() {
    let page = Page::serve(Web::local(0).updates_per_second(20), || sleepers(250));
    let watcher = page.open();
    let asked = |from: u32, descending: bool| json!({"panel": "coroutines", "text": "NPC", "sort": "name", "descending": descending, "from": from, "count": 100});
    let names = |view: &Value| -> Vec<String> {
        let rows = view["rows"].as_array().expect("rows");
        rows.iter()
            .map(|row| row["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let all = |view: &Value| view["matching"] == 250;
    let first = watcher.view(asked(0, false), all);
    assert_eq!(
        names(&first),
        (0..100).map(|n| format!("npc-{n:03}")).collect::<Vec<_>>()
    );
    assert!(
        first["all"].as_u64() > Some(250),
        "the page's own are there too: {}",
        first["all"]
    );
    let last = watcher.view(asked(200, false), |view| all(view) && view["from"] == 200);
    assert_eq!(
        names(&last),
        (200..250)
            .map(|n| format!("npc-{n:03}"))
            .collect::<Vec<_>>()
    );
    let reversed = watcher.view(asked(0, true), |view| {
        all(view) && view["from"] == 0 && names(view)[0] == "npc-249"
    });
    assert_eq!(names(&reversed)[99], "npc-150");
    let row = &reversed["rows"][0];
    assert_eq!(
        (&row["state"], &row["waits_for"]),
        (&json!("waiting"), &json!("sleep"))
    );
    assert!(row["since"].as_f64() > Some(0.0));
    let groups = watcher.view(json!({"panel": "groups"}), |view| {
        let rows = view["rows"].as_array().expect("rows");
        rows.iter()
            .any(|row| row["name"] == "npc-*" && row["coroutines"] == 250 && row["waiting"] == 250)
    });
    assert_eq!(
        groups["rows"][0]["name"], "npc-*",
        "the largest comes first"
    );
}

#[test]
fn one_is_opened_with_its_backtrace_and_killed_by_who_may() {
    let page = Page::serve(Web::local(0).updates_per_second(20), || sleepers(2));
    let watcher = page.open();
    let named = json!({"panel": "coroutines", "text": "npc-001", "sort": "id", "descending": false, "from": 0, "count": 10});
    let id = watcher.view(named, |view| view["matching"] == 1)["rows"][0]["id"]
        .as_u64()
        .expect("an id");
    watcher.say(json!({"type": "view", "panel": "figures", "open": id}));
    let snapshot = watcher.until("the backtrace", |snapshot| {
        snapshot["detail"]["frames"].is_array()
    });
    let detail = &snapshot["detail"];
    assert_eq!(detail["info"]["name"], "npc-001");
    assert!(
        detail["info"]["site"]
            .as_str()
            .is_some_and(|site| site.contains("page_http.rs"))
    );
    let frames = detail["frames"].to_string();
    assert!(
        frames.contains("sleep") && frames.contains("page_http"),
        "{frames}"
    );
    watcher.say(json!({"type": "kill", "id": id, "why": "a test\nwith a \"forged\" line"}));
    let answered = watcher.until("the answer", |snapshot| snapshot["answers"][0].is_object());
    assert_eq!(
        (
            &answered["answers"][0]["kill"],
            &answered["answers"][0]["done"]
        ),
        (&json!(id), &json!(true))
    );
    watcher.until("its end", |snapshot| snapshot["detail"]["gone"] == true);
    let log = watcher.view(json!({"panel": "log", "after": 0}), |view| {
        view["rows"].to_string().contains("asked coroutine")
    });
    let lines = log["rows"].as_array().expect("lines");
    let line = lines.iter().rev().find(|line| {
        line["text"]
            .as_str()
            .is_some_and(|text| text.contains(&format!("asked coroutine {id} (npc-001)")))
    });
    let text = line.expect("it is logged")["text"].as_str().expect("text");
    assert!(
        text.contains("127.0.0.1") && text.ends_with(r#"because "a test\nwith a \"forged\" line""#),
        "{text}"
    );
}

#[test]
fn who_may_only_look_kills_nothing() {
    let page = Page::serve(Web::local(0).rights(Rights::observe()), || sleepers(1));
    let me: Value = serde_json::from_str(&page.get("/me")).expect("JSON");
    assert_eq!(me["rights"], json!([Right::Observe.name()]));
    let watcher = page.open();
    let named = json!({"panel": "coroutines", "text": "npc-000", "sort": "id", "descending": false, "from": 0, "count": 10});
    let id = watcher.view(named.clone(), |view| view["matching"] == 1)["rows"][0]["id"]
        .as_u64()
        .expect("an id");
    watcher.say(json!({"type": "kill", "id": id, "why": ""}));
    let answered = watcher.until("the answer", |snapshot| snapshot["answers"][0].is_object());
    assert_eq!(answered["answers"][0]["done"], false);
    let row = watcher.view(named, |view| view["matching"] == 1)["rows"][0].clone();
    assert_eq!(row["id"].as_u64(), Some(id), "it lives");
    let page = Page::serve(Web::local(0).rights(Rights::none()), || {});
    assert_eq!(status(&page.ask("GET /me", &page.bearer())), 403);
}

/// Lets whoever holds a worker go, however the test ends.
struct Frees(Arc<AtomicBool>);

impl Drop for Frees {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_page_answers_while_the_only_worker_is_held() {
    let flag = Arc::new(AtomicBool::new(false));
    let free = Arc::clone(&flag);
    let backdoor = Backdoor::new("arcade").web(Web::local(0).updates_per_second(20));
    let page = Page::serve_with(1, backdoor, move || {
        drop(Builder::new().name("hog").spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        }));
    });
    let _frees = Frees(free);
    let watcher = page.open();
    watcher.until("a worker that is held", |snapshot| {
        snapshot["figures"]["workers"][0]["runs_for"].as_f64() > Some(0.05)
    });
    let trouble = watcher.view(json!({"panel": "trouble"}), |view| {
        view["stalls"][0]["name"] == "hog"
    });
    assert_eq!(trouble["stalls"][0]["over"], false);
    assert!(
        page.get("/metrics")
            .contains("grapeshot_worker_runs_for_seconds{worker=\"0\"}")
    );
}

#[test]
fn nonsense_closes_the_page_and_nothing_else() {
    let page = Page::serve(Web::local(0).updates_per_second(20), || sleepers(1));
    let other = page.open();
    for nonsense in [
        "",
        "{",
        r#"{"type":"view","panel":"passwords"}"#,
        &"x".repeat(20_000),
    ] {
        let watcher = page.open();
        watcher.socket.send_text(nonsense).expect("it is taken");
        while watcher.socket.recv().is_ok() {}
        other.until("another snapshot", |_| true);
    }
}

#[test]
fn so_many_pages_and_no_more() {
    let page = Page::serve(Web::local(0), || {});
    let mut open: Vec<_> = (0..16).map(|_| page.open()).collect();
    open.iter().for_each(|watcher| drop(watcher.receive()));
    let bearer = format!("Bearer {}", page.token);
    let refused = page.connect(&[("Authorization", &bearer)], None);
    assert!(matches!(refused, Err(ConnectError::Refused(503))));
    drop(open.pop());
    let give_up = std::time::Instant::now() + page_support::PATIENCE;
    while page.connect(&[("Authorization", &bearer)], None).is_err() {
        assert!(
            std::time::Instant::now() < give_up,
            "the place of the one that left stays taken"
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_figures_are_what_prometheus_reads() {
    let page = Page::serve(Web::local(0), || sleepers(7));
    let answer = page.ask("GET /metrics", &page.bearer());
    assert_eq!(
        header(&answer, "Content-Type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let families = exposition(body(&answer));
    let value = |name: &str, label: &str| {
        let samples = &families[name].1;
        let found = samples.iter().find(|(labels, _)| labels.contains(label));
        found.unwrap_or_else(|| panic!("no {name} with {label}")).1
    };
    assert_eq!(value("grapeshot_group_coroutines", "group=\"npc-*\""), 7.0);
    assert_eq!(families["grapeshot_worker_resumes_total"].1.len(), 2);
    assert!(value("grapeshot_coroutines", "") >= 8.0);
    assert!(value("process_resident_memory_bytes", "") > 1e6);
    assert_eq!(families["grapeshot_coroutines_started_total"].0, "counter");
}

#[test]
fn prometheus_itself_finds_nothing_to_complain_of() {
    let page = Page::serve(Web::local(0), || sleepers(7));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts; it is in Debian's package prometheus");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin
        .write_all(page.get("/metrics").as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Reads Prometheus's text format as strictly as its own parser: names, types and their order, labels, values, no sample
/// twice. By name: the type and the samples, as the text of their labels and their value.
fn exposition(text: &str) -> HashMap<String, (String, Vec<(String, f64)>)> {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut families: HashMap<String, (String, Vec<(String, f64)>)> = HashMap::new();
    let (mut help, mut open) = (None, String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect("a name and help");
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(!families.contains_key(name), "{name} comes twice");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(help.take().as_deref(), Some(name), "help comes first");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            families.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
            name.clone_into(&mut open);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (
                    name,
                    labels.strip_suffix('}').expect("an end of the labels"),
                ),
                None => (series, ""),
            };
            let (kind, samples) = families.get_mut(&open).expect("it has a type");
            let part = name
                .strip_prefix(&open)
                .expect("samples stand below their type");
            let parts: &[_] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(parts.contains(&part), "{line}");
            check_labels(labels, is_name);
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let series = format!("{part}{labels}");
            assert!(
                samples.iter().all(|(other, _)| *other != series),
                "{line} comes twice"
            );
            samples.push((series, value));
        }
    }
    families
}

fn check_labels(labels: &str, is_name: impl Fn(&str) -> bool) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"").expect("a label and its value");
        assert!(is_name(name), "{labels}");
        let mut escaped = false;
        let end = quoted.find(|c| {
            let closes = c == '"' && !escaped;
            assert!(!escaped || ['"', '\\', 'n'].contains(&c), "{labels}");
            escaped = c == '\\' && !escaped;
            closes
        });
        rest = &quoted[end.expect("a closing quote") + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Others on the page would wait for it each time.
#[test]
fn a_function_that_does_not_answer_is_left_alone_for_a_while() {
    let backdoor = Backdoor::new("arcade")
        .web(Web::local(0).updates_per_second(10))
        .expose("deaf", "never answers", Right::Observe, || {
            sleep(Duration::from_secs(3600));
        })
        .expose("score", "points so far", Right::Observe, || 7);
    let page = Page::serve_with(1, backdoor, || {});
    let watcher = page.open();
    let view = watcher.view(
        json!({"panel": "answers", "of": ["deaf", "score"]}),
        |view| {
            let said = view["answers"][0]["failed"].as_str();
            said.is_some_and(|said| said.starts_with("no answer within 3 s; it is asked again in "))
        },
    );
    assert_eq!(view["answers"][1]["value"], 7);
}
