//! Ranges, conditions, listings, compressed variants and writing, on files in memory and in a folder.

mod common;

use std::io::Write;
use std::time::{Duration, SystemTime};

use common::{Answer, ask, get, send, talk};
use grapeshot_http::{Limits, Router, Server, StaticFiles};
use grapeshot_vfs::{FilePath, FileSystem, MemoryFiles, read};

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn put_file(files: &MemoryFiles, name: &str, content: &[u8]) {
    let mut file = files.create(&path(name)).unwrap();
    file.write_all(content).unwrap();
    file.commit().unwrap();
}

/// Files that were there long enough for strong tags. In a simulation, so that time can pass.
fn settled(test: impl FnOnce(MemoryFiles) + Send + 'static) {
    grapeshot::testing::run(1, move || {
        let files = MemoryFiles::new(1 << 20);
        put_file(&files, "digits.txt", b"0123456789");
        put_file(&files, "empty", b"");
        grapeshot::sleep(Duration::from_secs(10));
        test(files);
    });
}

#[test]
fn a_range_is_sent_as_it_was_asked_for() {
    settled(|files| {
        let server = Server::with_handler(StaticFiles::on(files));
        let of = |range: &str| {
            let answer = ask(
                &server,
                "GET",
                "/digits.txt",
                &format!("Range: {range}\r\n"),
            );
            let content_range = answer.header("Content-Range").unwrap_or("").to_owned();
            (answer.status, content_range, answer.text().to_owned())
        };
        let part = |range: &str, text: &str| (206, format!("bytes {range}/10"), text.to_owned());
        assert_eq!(of("bytes=2-4"), part("2-4", "234"));
        assert_eq!(of("bytes=8-"), part("8-9", "89"));
        assert_eq!(of("bytes=-3"), part("7-9", "789"));
        assert_eq!(of("bytes=0-3,2-5"), part("0-5", "012345"));
        assert_eq!(of("bytes=10-").0, 416);
        assert_eq!(of("bytes=10-").1, "bytes */10");
        assert_eq!(of("bytes=x").0, 200);
        assert_eq!(of("bytes=2-4").0, 206);
        let head = ask(&server, "HEAD", "/digits.txt", "Range: bytes=2-4\r\n");
        assert_eq!(
            (head.status, head.header("Content-Length")),
            (200, Some("10"))
        );
        let empty = ask(&server, "GET", "/empty", "Range: bytes=0-\r\n");
        assert_eq!(empty.status, 416);
        assert_eq!(get(&server, "/empty").content, b"");
    });
}

#[test]
fn several_ranges_are_parts_of_one_answer() {
    settled(|files| {
        let server = Server::with_handler(StaticFiles::on(files));
        let answer = ask(
            &server,
            "GET",
            "/digits.txt",
            "Range: bytes=0-1, 5-5,-1\r\n",
        );
        assert_eq!(answer.status, 206);
        let media_type = answer.header("Content-Type").unwrap();
        let boundary = media_type
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        let part = |range: &str, text: &str| {
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{text}"
            )
        };
        let whole = [part("0-1", "01"), part("5-5", "5"), part("9-9", "9")].concat();
        assert_eq!(answer.text(), format!("{whole}\r\n--{boundary}--\r\n"));
        let many: Vec<_> = (0..20).map(|_| "0-0").collect();
        let answer = ask(
            &server,
            "GET",
            "/digits.txt",
            &format!("Range: bytes={}\r\n", many.join(",")),
        );
        assert_eq!((answer.status, answer.text()), (200, "0123456789"));
    });
}

#[test]
fn a_download_is_resumed_only_if_it_is_the_same_file() {
    settled(|files| {
        let server = Server::with_handler(StaticFiles::on(files.clone()));
        let first = get(&server, "/digits.txt");
        let tag = first.header("ETag").unwrap().to_owned();
        let date = first.header("Last-Modified").unwrap().to_owned();
        assert!(tag.starts_with('"'), "a strong one: {tag}");
        let resume = |what: &str| {
            let headers = format!("Range: bytes=5-\r\nIf-Range: {what}\r\n");
            let answer = ask(&server, "GET", "/digits.txt", &headers);
            (answer.status, answer.text().to_owned())
        };
        assert_eq!(resume(&tag), (206, "56789".to_owned()));
        assert_eq!(resume(&date), (206, "56789".to_owned()));
        put_file(&files, "digits.txt", b"9876543210");
        assert_eq!(resume(&tag), (200, "9876543210".to_owned()));
        let fresh = get(&server, "/digits.txt");
        assert!(
            fresh.header("ETag").unwrap().starts_with("W/"),
            "just changed"
        );
        assert_eq!(
            ask(
                &server,
                "GET",
                "/digits.txt",
                &format!("If-None-Match: {tag}\r\n")
            )
            .status,
            200
        );
        let weak = fresh.header("ETag").unwrap();
        assert_eq!(
            ask(
                &server,
                "GET",
                "/digits.txt",
                &format!("If-None-Match: {weak}\r\n")
            )
            .status,
            304
        );
        assert_eq!(
            ask(&server, "GET", "/digits.txt", "If-Match: \"x\"\r\n").status,
            412
        );
    });
}

#[test]
fn folders_are_listed_if_they_may_be() {
    settled(|files| {
        files.create_folder(&path("sub")).unwrap();
        put_file(&files, "sub/<b>.txt", b"x");
        put_file(&files, "sub/.hidden", b"x");
        files.create_folder(&path("with")).unwrap();
        put_file(&files, "with/index.html", b"index");
        let closed = Server::with_handler(StaticFiles::on(files.clone()));
        assert_eq!(get(&closed, "/sub/").status, 404);
        let open = Server::with_handler(
            Router::new().any("/f/{rest...}", StaticFiles::on(files).listing(true)),
        );
        let page = get(&open, "/f/sub/");
        assert_eq!(
            page.header("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.text().contains("&lt;b&gt;.txt") && !page.text().contains("hidden"));
        assert!(page.text().contains("../"));
        assert!(
            !get(&open, "/f/").text().contains("../"),
            "nothing is above the root"
        );
        assert_eq!(get(&open, "/f/with/").text(), "index");
        assert_eq!(get(&open, "/f/sub").header("Location"), Some("/f/sub/"));
    });
}

#[test]
fn what_is_compressed_already_is_sent_so() {
    settled(|files| {
        put_file(&files, "page.js", b"plain");
        grapeshot::sleep(Duration::from_secs(1));
        put_file(&files, "page.js.gz", b"gzipped");
        put_file(&files, "page.js.br", b"brotli");
        put_file(&files, "old.js.gz", b"stale");
        grapeshot::sleep(Duration::from_secs(1));
        put_file(&files, "old.js", b"fresh");
        let server = Server::with_handler(StaticFiles::on(files).precompressed(true));
        let of = |name: &str, accept: &str| {
            let answer = ask(
                &server,
                "GET",
                name,
                &format!("Accept-Encoding: {accept}\r\n"),
            );
            assert_eq!(answer.header("Vary"), Some("Accept-Encoding"));
            assert_eq!(
                answer.header("Content-Type"),
                Some("text/javascript; charset=utf-8")
            );
            let coding = answer
                .header("Content-Encoding")
                .unwrap_or("none")
                .to_owned();
            (
                coding,
                answer.text().to_owned(),
                answer.header("ETag").unwrap().to_owned(),
            )
        };
        let brotli = of("/page.js", "gzip, br");
        assert_eq!((&*brotli.0, &*brotli.1), ("br", "brotli"));
        let gzip = of("/page.js", "gzip, zstd");
        assert_eq!((&*gzip.0, &*gzip.1), ("gzip", "gzipped"));
        let plain = of("/page.js", "identity");
        assert_eq!((&*plain.0, &*plain.1), ("none", "plain"));
        assert!(
            plain.2 != gzip.2 && gzip.2 != brotli.2,
            "each has its own tag"
        );
        assert_eq!(
            of("/old.js", "gzip").1,
            "fresh",
            "an older variant is not taken"
        );
    });
}

#[test]
fn files_are_put_and_deleted() {
    settled(|files| {
        let server = Server::with_handler(StaticFiles::on(files.clone()).writable(20));
        let content = || read(&files, &path("new.txt")).ok();
        let put = |name: &str, headers: &str, content: &[u8]| {
            send(&server, "PUT", name, headers, content)
        };
        let first = put("/new.txt", "", b"one");
        assert_eq!(
            (first.status, content().as_deref()),
            (201, Some(&b"one"[..]))
        );
        assert_eq!(put("/new.txt", "", b"two").status, 204);
        let tag = get(&server, "/new.txt").header("ETag").unwrap().to_owned();
        assert!(tag.starts_with("W/"));
        assert_eq!(
            put("/new.txt", &format!("If-Match: {tag}\r\n"), b"x").status,
            412,
            "weak ones are not enough"
        );
        grapeshot::sleep(Duration::from_secs(5));
        let tag = get(&server, "/new.txt").header("ETag").unwrap().to_owned();
        assert_eq!(put("/new.txt", "If-Match: \"other\"\r\n", b"x").status, 412);
        assert_eq!(put("/new.txt", "If-None-Match: *\r\n", b"x").status, 412);
        assert_eq!(
            put("/new.txt", &format!("If-Match: {tag}\r\n"), b"three").status,
            204
        );
        assert_eq!(content().as_deref(), Some(&b"three"[..]));
        assert_eq!(
            put("/new.txt", "Content-Range: bytes 0-0/5\r\n", b"x").status,
            400
        );
        assert_eq!(put("/new.txt", "", &[b'x'; 21]).status, 413);
        assert_eq!(put("/none/new.txt", "", b"x").status, 409);
        assert_eq!(put("/../new.txt", "", b"x").status, 404);
        assert_eq!(put("/folder/", "", b"x").status, 409);
        assert_eq!(content().as_deref(), Some(&b"three"[..]));
        assert_eq!(
            ask(&server, "DELETE", "/new.txt", "If-Match: \"x\"\r\n").status,
            412
        );
        assert_eq!(ask(&server, "DELETE", "/new.txt", "").status, 204);
        assert_eq!(ask(&server, "DELETE", "/new.txt", "").status, 404);
        assert_eq!(
            ask(&server, "PATCH", "/new.txt", "").header("Allow"),
            Some("DELETE, GET, HEAD, OPTIONS, PUT")
        );
        let readable = Server::with_handler(StaticFiles::on(files.clone()));
        assert_eq!(send(&readable, "PUT", "/new.txt", "", b"x").status, 405);
    });
}

#[test]
fn half_a_file_is_never_there() {
    let files = MemoryFiles::new(100);
    put_file(&files, "a", b"whole");
    let server = Server::with_handler(StaticFiles::on(files.clone()).writable(1000));
    let room = files.room();
    let full = send(&server, "PUT", "/a", "", &[b'x'; 200]);
    assert_eq!(
        (full.status, files.room()),
        (507, room),
        "a full disk keeps what it had"
    );
    let cut = talk(
        &server,
        "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nhalf",
    );
    assert_eq!(Answer::take(&mut &cut[..]).status, 400);
    let chunks =
        "PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nz\r\n";
    assert_eq!(Answer::take(&mut &talk(&server, chunks)[..]).status, 400);
    assert_eq!(read(&files, &path("a")).unwrap(), b"whole");
    assert_eq!(files.room(), room);
}

#[test]
fn an_upload_to_a_real_folder_is_there_at_once() {
    let root = std::env::temp_dir().join(format!("grapeshot-http-put-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).unwrap();
    let mut limits = Limits::default();
    limits.body = 10;
    let files = StaticFiles::new(&root).unwrap().writable(10 << 20);
    let server = Server::builder().limits(limits).build(files);
    let content: Vec<u8> = (0..3 << 20).map(|n: u32| n.wrapping_mul(7) as u8).collect();
    assert_eq!(send(&server, "PUT", "/big.bin", "", &content).status, 201);
    assert_eq!(std::fs::read(root.join("big.bin")).unwrap(), content);
    assert_eq!(get(&server, "/big.bin").content, content);
    // Long ago, so that the tag is strong.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options()
        .write(true)
        .open(root.join("big.bin"))
        .unwrap();
    file.set_modified(long_ago).unwrap();
    let answer = ask(
        &server,
        "GET",
        "/big.bin",
        "Range: bytes=1000000-1099999\r\n",
    );
    assert_eq!(answer.content, content[1_000_000..1_100_000]);
    assert_eq!(
        answer.header("Last-Modified"),
        Some("Sun, 09 Sep 2001 01:46:40 GMT")
    );
    let names: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["big.bin"], "no unfinished file is left");
    std::fs::remove_dir_all(&root).unwrap();
}
