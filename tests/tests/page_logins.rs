//! The live page for people who log in by name: over plain HTTP on this machine, over TLS, and behind nginx.

mod page_support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grapeshot::net::{TcpListener, UnixListener};
use grapeshot::{Builder, sleep};
use grapeshot_backdoor::{Backdoor, Right, Rights, Web};
use grapeshot_tests::browser::Browser;
use grapeshot_tests::nginx::Nginx;
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Listener, server};
use page_support::{Page, Watcher, body, header, status};
use serde_json::{Value, json};

/// Browsers are heavy; on a small machine several at once only wait for each other.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// ann may only look, bob may do everything.
fn crew() -> Backdoor {
    Backdoor::new("arcade")
        .user("ann", "sesame & co", Rights::observe())
        .user("bob", "open!", Rights::all())
}

fn sleeper() {
    drop(
        Builder::new()
            .name("npc-1")
            .spawn(|| sleep(Duration::from_secs(3600))),
    );
}

fn post(page: &Page, path: &str, headers: &str, form: &str) -> String {
    page.ask_anything(&format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        page.address,
        form.len()
    ))
}

/// The header that says who logged in.
fn log_in(page: &Page, form: &str) -> String {
    let answer = post(page, "/login", "", form);
    assert_eq!(status(&answer), 303, "{answer}");
    assert_eq!(header(&answer, "Location"), Some("/"));
    let cookie = header(&answer, "Set-Cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"));
    format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair"))
}

#[test]
fn each_has_the_rights_of_their_name() {
    let page = Page::serve_with(2, crew().web(Web::local(0).users()), sleeper);
    let form = page.ask("GET /", "");
    assert_eq!(status(&form), 401);
    assert!(body(&form).contains("name=\"password\""), "{form}");
    let ann = log_in(&page, "user=ann&password=sesame+%26+co");
    let bob = log_in(&page, "user=bob&password=open%21");
    assert_ne!(ann, bob);
    let me = |cookie: &str| -> Value {
        let answer = page.ask("GET /me", cookie);
        assert_eq!(status(&answer), 200, "{answer}");
        serde_json::from_str(body(&answer)).expect("JSON")
    };
    assert_eq!(me(&ann)["user"], "ann");
    assert_eq!(me(&ann)["rights"], json!(["observe"]));
    assert_eq!(me(&bob)["rights"].as_array().map(Vec::len), Some(4));
    // The socket knows them as well.
    let open = |cookie: &str| {
        let cookie = cookie.trim_start_matches("Cookie: ").trim_end();
        let socket = page.connect(&[("Cookie", cookie)], Some(&page.origin));
        Watcher {
            socket: socket.expect("a page"),
        }
    };
    let killed = |watcher: &Watcher| {
        let view = watcher.view(
            json!({"panel": "coroutines", "text": "npc-1", "sort": "id", "descending": false, "from": 0, "count": 1}),
            |view| view["matching"] == 1,
        );
        watcher.say(json!({"type": "kill", "id": view["rows"][0]["id"], "why": ""}));
        let answered = watcher.until("an answer", |snapshot| {
            snapshot["answers"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        });
        answered["answers"][0]["done"] == true
    };
    assert!(!killed(&open(&ann)));
    assert!(killed(&open(&bob)));
    // Who has left is a stranger again, and nobody else is.
    let left = post(&page, "/logout", &ann, "");
    assert_eq!(status(&left), 303);
    assert!(header(&left, "Set-Cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
    assert_eq!(status(&page.ask("GET /me", &ann)), 401);
    assert_eq!(me(&bob)["user"], "bob");
    // Scripts still come with the token.
    assert!(page.get("/metrics").contains("grapeshot_coroutines "));
}

#[test]
fn the_page_gives_no_more_than_it_has() {
    let web = Web::local(0)
        .users()
        .rights(Rights::of([Right::Observe, Right::Trace]));
    let page = Page::serve_with(1, crew().web(web), || {});
    let bob = log_in(&page, "user=bob&password=open%21");
    let me: Value = serde_json::from_str(body(&page.ask("GET /me", &bob))).expect("JSON");
    assert_eq!(me["rights"], json!(["observe", "trace"]));
}

#[test]
fn a_wrong_login_is_told_so_and_counted() {
    let page = Page::serve_with(1, crew().web(Web::local(0).users()), || {});
    for form in [
        "user=ann&password=open%21",
        "user=&password=",
        "",
        "user=%3Cscript%3E&password=x",
    ] {
        let answer = post(&page, "/login", "", form);
        assert_eq!(status(&answer), 403, "{form}");
        assert!(header(&answer, "Set-Cookie").is_none());
        assert!(body(&answer).contains("role=\"alert\""));
        assert!(!answer.contains("<script>"), "{answer}");
    }
    let metrics = page.get("/metrics");
    assert!(
        metrics.contains("\ngrapeshot_page_refusals_total 4\n"),
        "{metrics}"
    );
    let long = format!("user=ann&password={}", "x".repeat(9 << 10));
    assert_eq!(status(&post(&page, "/login", "", &long)), 413);
    let foreign = "Origin: http://evil.example\r\n";
    let right = "user=bob&password=open%21";
    assert_eq!(status(&post(&page, "/login", foreign, right)), 403);
    assert_eq!(status(&post(&page, "/me", "", "")), 405);
}

#[test]
fn a_page_of_the_token_takes_no_logins() {
    let page = Page::serve_with(1, crew().web(Web::local(0)), || {});
    let answer = post(&page, "/login", "", "user=bob&password=open%21");
    assert_ne!(status(&answer), 303);
    let form = page.ask("GET /", "");
    assert!(body(&form).contains("name=\"token\"") && !body(&form).contains("name=\"password\""));
}

/// A page of `crew` over TLS, with a certificate that was made for it.
fn over_tls() -> Page {
    let host = Authority::new().expect("an authority");
    let host = host.host(["127.0.0.1"]).issue().expect("a certificate");
    let config = server::Config::new(host.chain(), host.key()).expect("a certificate and its key");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    let web = Web::on(
        Listener::new(listener, &config),
        &format!("https://{address}"),
    )
    .users();
    Page::serve_with(2, crew().web(web), sleeper)
}

fn type_in(browser: &Browser, field: &str, text: &str) {
    browser.script(&format!("document.querySelector('[name={field}]').focus()"));
    for key in text.chars() {
        browser.key_down(key);
        browser.key_up(key);
    }
}

fn enter(browser: &Browser, user: &str, password: &str) {
    browser.wait_for("document.querySelector('[name=user]')");
    type_in(browser, "user", user);
    type_in(browser, "password", &format!("{password}\u{e007}"));
}

#[test]
fn over_tls_people_log_in_use_the_console_and_leave() {
    let _turn = one_at_a_time();
    let page = over_tls();
    let browser = Browser::start(1280, 800);
    browser.open(&page.origin);
    enter(&browser, "bob", "shut");
    browser.wait_for("document.querySelector('.wrong')");
    // Being refused is said in the browser's own console, too.
    browser.complaints();
    enter(&browser, "bob", "open!");
    browser.wait_for("document.getElementById('link')?.dataset.state === 'live'");
    assert_eq!(browser.script("return location.protocol"), "https:");
    assert_eq!(browser.script("return document.cookie"), "");
    browser.wait_for("document.getElementById('user').textContent === 'bob'");
    browser.script("location.hash = '#console'");
    let screen = "document.querySelector('.xterm-rows')?.innerText.replaceAll('\\u00a0', ' ')";
    browser.wait_for(&format!("{screen}?.includes('arcade> ')"));
    for key in "6 * 7\u{e007}".chars() {
        browser.key_down(key);
        browser.key_up(key);
    }
    browser.wait_for(&format!("{screen}.includes('42')"));
    assert_eq!(browser.complaints(), [""; 0]);
    browser.script("document.getElementById('leave').click()");
    browser.wait_for("document.querySelector('[name=user]')");
}

#[test]
fn behind_nginx_on_a_unix_socket_the_page_lives() {
    let _turn = one_at_a_time();
    let folder = PathBuf::from(format!("/tmp/gs-nginx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let socket = folder.join("page");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let page = Page::serve(Web::on(listener, "http://127.0.0.1:80"), sleeper);
    let nginx = Nginx::start(
        &folder,
        &format!(
            "location / {{ proxy_pass http://unix:{}; proxy_http_version 1.1; proxy_set_header Host $http_host;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; }}",
            socket.display()
        ),
    );
    let browser = Browser::start(1280, 800);
    browser.open(&nginx.url(&format!("/?token={}", page.token)));
    browser.wait_for("document.getElementById('link')?.dataset.state === 'live'");
    browser.script("location.hash = '#coroutines'");
    browser.wait_for("document.querySelectorAll('section:not([hidden]) tbody tr').length > 1");
    assert_eq!(browser.complaints(), [""; 0]);
    drop((browser, nginx));
    let _ = std::fs::remove_dir_all(&folder);
}
