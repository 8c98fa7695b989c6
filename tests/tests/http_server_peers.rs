//! What the web server can do, asked by curl and wget, with nginx in front of it and behind it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use grapeshot_http::auth::{Basic, Digest, User, Users};
use grapeshot_http::{
    Compressed, ConnectProxy, HandlerError, Limits, MultipartLimits, ProxyProtocol, ReverseProxy,
    Router, Server, Sessions, StaticFiles, Status, handler,
};
use grapeshot_tests::nginx::Nginx;
use grapeshot_tests::serving::Serving;

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("grapeshot-web-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("www")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn www(&self) -> PathBuf {
        self.0.join("www")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program says, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("it is installed");
    let trace = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {trace}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn curl(arguments: &[&str]) -> String {
    let always = [
        "--silent",
        "--show-error",
        "--http1.1",
        "--noproxy",
        "*",
        "--max-time",
        "60",
    ];
    output("curl", &[&always, arguments].concat())
}

fn status(arguments: &[&str]) -> String {
    let only = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    curl(&[&only, arguments].concat())
}

fn large() -> Vec<u8> {
    (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn same(a: &Path, b: &[u8]) -> bool {
    fs::read(a).unwrap() == b
}

#[test]
fn curl_and_wget_take_parts_and_go_on() {
    let folder = Folder::new("ranges");
    fs::write(folder.www().join("large.bin"), large()).unwrap();
    fs::write(folder.www().join("digits.txt"), "0123456789").unwrap();
    let serving = Serving::new(Server::with_handler(
        StaticFiles::new(folder.www()).unwrap().listing(true),
    ));
    let digits = serving.url("/digits.txt");
    assert_eq!(curl(&["--range", "2-4", &digits]), "234");
    let parts = curl(&["--range", "0-1,5-5", &digits]);
    assert!(
        parts.contains("Content-Range: bytes 0-1/10\r\n\r\n01\r\n")
            && parts.contains("bytes 5-5/10\r\n\r\n5\r\n"),
        "{parts}"
    );
    assert_eq!(status(&["--range", "10-", &digits]), "416");
    for program in ["curl", "wget"] {
        let half = folder.write(&format!("{program}.bin"), &large()[..1_000_000]);
        let url = serving.url("/large.bin");
        if program == "curl" {
            curl(&["--continue-at", "-", "--output", &half, &url]);
        } else {
            output(
                "wget",
                &[
                    "--quiet",
                    "--no-proxy",
                    "--tries=1",
                    "--continue",
                    "--output-document",
                    &half,
                    &url,
                ],
            );
        }
        assert!(
            same(Path::new(&half), &large()),
            "{program} went on where it had stopped"
        );
    }
    let mirror = folder.0.join("mirror");
    output(
        "wget",
        &[
            "--quiet",
            "--no-proxy",
            "--tries=1",
            "--recursive",
            "--no-parent",
            "--no-host-directories",
            "--directory-prefix",
            mirror.to_str().unwrap(),
            &serving.url("/"),
        ],
    );
    assert!(
        same(&mirror.join("large.bin"), &large()),
        "wget follows the listing"
    );
}

#[test]
fn curl_puts_uploads_and_is_known_again() {
    let folder = Folder::new("uploads");
    let site = Router::new()
        .any(
            "/files/{rest...}",
            StaticFiles::new(folder.www()).unwrap().writable(10 << 20),
        )
        .post("/form", |request| {
            request.limit_body(10 << 20);
            let mut said = String::new();
            let mut parts = request.multipart(MultipartLimits::default())?;
            while let Some(mut part) = parts.next_part()? {
                let bytes = std::io::copy(&mut part, &mut std::io::sink())?;
                said += &format!("{} {:?} {bytes}\n", part.name(), part.file_name());
            }
            Ok::<_, HandlerError>(said)
        })
        .any(
            "/session",
            Sessions::new(|session| {
                for visit in 1.. {
                    let Some(turn) = session.next() else { return };
                    turn.answer(format!("{visit}"));
                }
            }),
        );
    let serving = Serving::new(Server::with_handler(site));
    let source = folder.write("source", large());
    let target = serving.url("/files/a.bin");
    assert_eq!(status(&["--upload-file", &source, &target]), "201");
    assert!(same(&folder.www().join("a.bin"), &large()));
    assert_eq!(
        status(&[
            "--upload-file",
            &source,
            "--header",
            "Transfer-Encoding: chunked",
            &target
        ]),
        "204"
    );
    assert_eq!(
        status(&[
            "--upload-file",
            &source,
            "--header",
            "If-None-Match: *",
            &target
        ]),
        "412"
    );
    assert_eq!(status(&["--request", "DELETE", &target]), "204");
    let file = format!("file=@{source};filename=\"a \\\"b\\\".bin\"");
    let said = curl(&[
        "--form",
        "text=some words",
        "--form",
        &file,
        &serving.url("/form"),
    ]);
    assert_eq!(
        said,
        "text None 10\nfile Some(\"a \\\"b\\\".bin\") 3000000\n"
    );
    let jar = folder.0.join("jar");
    let jar = jar.to_str().unwrap();
    for visit in 1..=3 {
        let answer = curl(&[
            "--cookie",
            jar,
            "--cookie-jar",
            jar,
            &serving.url("/session"),
        ]);
        assert_eq!(answer, visit.to_string());
    }
    assert_eq!(curl(&[&serving.url("/session")]), "1");
}

#[test]
fn curl_proves_who_it_is_and_decompresses() {
    let inner = || {
        Router::new().get("/", |request| {
            request.get::<User>().map(|user| user.0.clone())
        })
    };
    let users = || Users::new().user("alice", "open sesame");
    let text = "All work and no play. ".repeat(5000);
    let long = text.clone();
    let site = Router::new()
        .any(
            "/sha/{rest...}",
            Digest::new("r", users(), inner()).unwrap(),
        )
        .any(
            "/both/{rest...}",
            Digest::new("r", users(), inner()).unwrap().with_md5(),
        )
        .any(
            "/text",
            Compressed::new(grapeshot_http::answer(move |_| long.clone())),
        );
    let serving = Serving::new(Server::with_handler(site));
    for path in ["/sha/", "/both/"] {
        let url = serving.url(path);
        // The second request uses the same nonce once more.
        let answers = curl(&["--digest", "--user", "alice:open sesame", &url, &url]);
        assert_eq!(answers, "alicealice", "{path}");
        assert_eq!(status(&["--digest", "--user", "alice:wrong", &url]), "401");
    }
    for coding in ["gzip", "deflate", "br"] {
        let accept = format!("Accept-Encoding: {coding}");
        let url = serving.url("/text");
        assert_eq!(
            curl(&["--compressed", "--header", &accept, &url]),
            text,
            "{coding}"
        );
        let size = curl(&[
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download}",
            "--header",
            &accept,
            &url,
        ]);
        assert!(size.parse::<usize>().unwrap() < 2000, "{coding}: {size}");
    }
}

#[test]
fn curl_speaks_as_a_proxy_does() {
    let site = Router::new().get("/", |request| request.peer().to_string());
    let serving = Serving::behind(Server::with_handler(site), |listener| {
        ProxyProtocol::new(listener).trust("127.0.0.0/8").unwrap()
    });
    let url = serving.url("/");
    assert!(curl(&["--haproxy-protocol", &url]).starts_with("127.0.0.1:"));
    let refused = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--max-time", "60", &url])
        .output()
        .unwrap();
    assert!(
        !refused.status.success(),
        "who says nothing of its client is not served"
    );
}

#[test]
fn curl_goes_through_a_tunnel_where_it_may() {
    let folder = Folder::new("tunnel");
    let site = Router::new().get("/large", |_| large()).any(
        "/put",
        handler(|request, response| {
            request.limit_body(10 << 20);
            let bytes = std::io::copy(request, &mut std::io::sink())?;
            Ok::<_, HandlerError>(response.send_text(&format!("{bytes}"))?)
        }),
    );
    let behind = Serving::new(Server::with_handler(site));
    let allowed = behind.address.port();
    let proxy = ConnectProxy::new(move |_, to| to.port() == allowed).allow_private_networks();
    let users = Users::new().user("ada", "love");
    let guarded = Basic::new("tunnels", users, proxy.clone()).proxy();
    let serving = Server::builder().connect(guarded);
    let serving = Serving::new(serving.build(grapeshot_http::answer(|_| Status::NOT_FOUND)));
    let (address, file) = (serving.url(""), folder.write("large.bin", large()));
    let back = folder.0.join("back.bin");
    let through = |user: &str, arguments: &[&str]| {
        let proxy = ["--noproxy", "", "--proxytunnel", "--proxy", &address];
        let output = Command::new("curl")
            .args(["--silent", "--http1.1", "--max-time", "60"])
            .args(proxy)
            .args(["--proxy-user", user, "--write-out", "|%{http_connect}"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let get = [&behind.url("/large"), "--output", back.to_str().unwrap()];
    assert_eq!(through("ada:love", &get), "|200");
    assert!(same(&back, &large()));
    let put = [&behind.url("/put"), "--upload-file", &file];
    assert_eq!(through("ada:love", &put), "3000000|200");
    assert_eq!(through("ada:hate", &get), "|407");
    let elsewhere = [&*serving.url("/")];
    assert_eq!(through("ada:love", &elsewhere), "|403");
    let found = proxy.statistics();
    assert_eq!((found.total, found.refused, found.full), (2, 1, 0));
}

#[test]
fn nginx_stands_in_front() {
    let folder = Folder::new("front");
    fs::write(folder.www().join("large.bin"), large()).unwrap();
    let site = Router::new()
        .any("/files/{rest...}", StaticFiles::new(folder.www()).unwrap())
        .get("/peer", |request| {
            format!(
                "{} {}",
                request.peer(),
                request.header("X-Real-IP").unwrap_or("-")
            )
        })
        .post("/length", |request| {
            let length = std::io::copy(request, &mut std::io::sink())?;
            Ok::<_, HandlerError>(length.to_string())
        });
    let mut limits = Limits::default();
    limits.body = 10 << 20;
    let serving = Serving::new(Server::builder().limits(limits).build(site));
    let nginx = Nginx::start(&folder.0, &format!(
        "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\";
         proxy_set_header X-Real-IP $remote_addr; proxy_request_buffering off; }}",
        serving.address
    ));
    let copy = folder.0.join("copy");
    curl(&[
        "--output",
        copy.to_str().unwrap(),
        &nginx.url("/files/large.bin"),
    ]);
    assert!(same(&copy, &large()));
    assert_eq!(
        curl(&["--range", "0-2", &nginx.url("/files/large.bin")]).len(),
        curl(&["--range", "0-2", &serving.url("/files/large.bin")]).len()
    );
    assert!(curl(&[&nginx.url("/peer")]).ends_with(" 127.0.0.1"));
    let source = folder.write("source", large());
    let data = format!("@{source}");
    assert_eq!(
        curl(&["--data-binary", &data, &nginx.url("/length")]),
        "3000000"
    );
    assert_eq!(
        curl(&[
            "--data-binary",
            &data,
            "--header",
            "Transfer-Encoding: chunked",
            &nginx.url("/length")
        ]),
        "3000000"
    );
}

#[test]
fn nginx_stands_behind() {
    let folder = Folder::new("behind");
    fs::write(folder.www().join("large.bin"), large()).unwrap();
    let root = folder.www();
    let nginx = Nginx::start(&folder.0, &format!(
        "root {}; location = /who {{ default_type text/plain; return 200 \"$http_x_forwarded_for $http_x_forwarded_host\"; }}
         location = /moved {{ return 302 /elsewhere; }}",
        root.display()
    ));
    let proxy = ReverseProxy::new([nginx.url("")]);
    let serving = Serving::new(Server::with_handler(
        Router::new().any("/n/{rest...}", proxy),
    ));
    let copy = folder.0.join("copy");
    for _ in 0..3 {
        curl(&[
            "--output",
            copy.to_str().unwrap(),
            &serving.url("/n/large.bin"),
        ]);
        assert!(same(&copy, &large()));
    }
    assert_eq!(
        curl(&[&serving.url("/n/who")]),
        format!("127.0.0.1 {}", serving.address)
    );
    assert_eq!(
        curl(&[
            "--range",
            "5-9",
            "--output",
            copy.to_str().unwrap(),
            "--write-out",
            "%{http_code}",
            &serving.url("/n/large.bin")
        ]),
        "206"
    );
    assert!(same(&copy, &large()[5..10]));
    assert_eq!(
        status(&[&serving.url("/n/moved")]),
        "302",
        "redirects are the client's to follow"
    );
    assert_eq!(status(&["--head", &serving.url("/n/large.bin")]), "200");
    drop(nginx);
    assert_eq!(status(&[&serving.url("/n/who")]), "502");
}

#[test]
fn nginx_behind_hears_who_passed_it_on_and_compresses_if_told_to() {
    let folder = Folder::new("via");
    let text = "All work and no play. ".repeat(500);
    fs::write(folder.www().join("plain.txt"), &text).unwrap();
    fs::copy(folder.www().join("plain.txt"), folder.www().join("any.txt")).unwrap();
    let nginx = Nginx::start(&folder.0, &format!(
        "root {}; types {{ text/plain txt; }} gzip on; gzip_types text/plain; gzip_min_length 1;
         location = /any.txt {{ gzip_proxied any; }}
         location = /heard {{ default_type text/plain; return 200 \"$http_via|$http_te|$http_connection|$http_accept_encoding\"; }}
         location = /target/x {{ default_type text/plain; return 200 \"$request_uri\"; }}",
        folder.www().display()
    ));
    let named = ReverseProxy::new([nginx.url("")]).via("edge");
    let unnamed = ReverseProxy::new([nginx.url("")]).without_via();
    let here = Compressed::new(ReverseProxy::new([nginx.url("")]));
    let serving = Serving::new(Server::with_handler(
        Router::new()
            .any("/named/{rest...}", named)
            .any("/unnamed/{rest...}", unnamed)
            .any("/here/{rest...}", here),
    ));
    let heard = |version: &str, path: &str| {
        let url = serving.url(path);
        curl(&[
            version,
            "--header",
            "Via: 1.0 first",
            "--header",
            "TE: trailers",
            &url,
        ])
    };
    assert_eq!(
        heard("--http1.1", "/named/heard"),
        "1.0 first, 1.1 edge|trailers|TE|"
    );
    assert_eq!(
        heard("--http1.0", "/named/heard"),
        "1.0 first, 1.0 edge|trailers|TE|"
    );
    assert_eq!(
        heard("--http1.1", "/unnamed/heard"),
        "1.0 first|trailers|TE|"
    );
    let exact = "/target/%78?a=<b>&c='d'";
    let url = serving.url(&format!("/named{exact}"));
    assert_eq!(
        curl(&["--globoff", &url]),
        exact,
        "the target is not touched"
    );
    let head = |path: &str| {
        let url = serving.url(path);
        let mut arguments = vec!["--compressed", "--dump-header", "-"];
        arguments.extend(["--output", "/dev/null", &url]);
        curl(&arguments).to_lowercase()
    };
    let coding = |path: &str| {
        assert_eq!(curl(&["--compressed", &serving.url(path)]), text, "{path}");
        head(path).contains("content-encoding: gzip")
    };
    assert!(!coding("/named/plain.txt"), "it knows of a proxy");
    assert!(coding("/named/any.txt"), "it was told not to mind");
    assert!(coding("/unnamed/plain.txt"), "it knows of none");
    let head = head("/here/plain.txt");
    assert!(
        head.contains("content-encoding: "),
        "compressed here: {head}"
    );
}

#[test]
fn a_circle_by_way_of_nginx_ends() {
    let folder = Folder::new("circle");
    let nginx = Nginx::start(
        &folder.0,
        "location / { proxy_pass http://$http_x_to; proxy_http_version 1.1; }",
    );
    let serving = Serving::new(Server::with_handler(ReverseProxy::new([nginx.url("")])));
    let to = format!("X-To: {}", serving.address);
    let url = serving.url("/x");
    let answer = curl(&["--header", &to, "--write-out", "%{http_code}", &url]);
    assert_eq!(answer, "this proxy leads back to itself\n508");
    let statistics = serving.server.statistics();
    assert_eq!(statistics.requests, 4, "curl's, and three from nginx");
}

#[test]
fn curl_and_nginx_go_through_a_gateway() {
    let folder = Folder::new("gateway");
    let behind = Router::new()
        .get("/plain", |_| {
            ([("Set-Cookie", "a=b"), ("Set-Cookie", "c=d, e")], "hello")
        })
        .get("/streamed", |_| vec![b'x'; 100_000])
        .any(
            "/trailers",
            handler(|request, response| {
                let length = request.read_body()?.len();
                let sum = request.trailers().find(|(name, _)| *name == "X-Sum");
                let sum = sum.map_or(String::new(), |(_, value)| {
                    String::from_utf8_lossy(value).into_owned()
                });
                let mut writer = response.header("Trailer", "X-Length").start()?;
                writer.write_all(format!("sum {sum}").as_bytes())?;
                writer.finish_with(&[("X-Length", &length.to_string())])
            }),
        )
        .any(
            "/refused",
            handler(|_request, response| response.status(Status::CONTENT_TOO_LARGE).send("no")),
        );
    let behind = Serving::new(Server::with_handler(behind));
    let proxy = ReverseProxy::new([behind.url("")]).via("edge");
    let serving = Serving::new(Server::with_handler(proxy));
    let nginx = Nginx::start(
        &folder.0,
        &format!(
            "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\";
             proxy_request_buffering off; }}",
            serving.address
        ),
    );
    let (direct, by_nginx) = (serving.url(""), nginx.url(""));
    for front in [&direct, &by_nginx] {
        let plain = curl(&["--include", &format!("{front}/plain")]);
        assert!(plain.ends_with("\r\n\r\nhello"), "{plain}");
        assert!(
            plain.contains("\r\nSet-Cookie: a=b\r\n")
                && plain.contains("\r\nSet-Cookie: c=d, e\r\n"),
            "{plain}"
        );
        assert!(plain.contains("\r\nVia: 1.1 edge\r\n"), "{plain}");
        assert_eq!(plain.matches("\r\nDate: ").count(), 1, "{plain}");
        let head = curl(&["--head", &format!("{front}/streamed")]);
        assert!(head.contains("Content-Length: 100000\r\n"), "{head}");
        let source = folder.write("source", large());
        let refused = status(&["--upload-file", &source, &format!("{front}/refused")]);
        assert_eq!(refused, "413", "{front}");
    }
    let options = curl(&[
        "--request",
        "OPTIONS",
        "--request-target",
        "*",
        "--head",
        &direct,
    ]);
    assert!(options.starts_with("HTTP/1.1 204 "), "{options}");
    let trailed = serving.exchange(
        "POST /trailers HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    assert!(
        trailed.contains("sum 7\r\n0\r\nX-Length: 2\r\n\r\n"),
        "{trailed}"
    );
    // The trailers are headers to curl, which prints those it gets behind the content.
    let heads = folder.0.join("heads");
    let heads = heads.to_str().unwrap();
    assert_eq!(
        curl(&["--dump-header", heads, &format!("{direct}/trailers")]),
        "sum "
    );
    assert!(
        fs::read_to_string(heads)
            .unwrap()
            .ends_with("X-Length: 0\r\n")
    );
}
