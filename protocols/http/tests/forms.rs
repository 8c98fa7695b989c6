//! Forms, files, cookies, JSON, events and trailers.

mod common;

use std::io::Read;

use common::{Answer, ask, get, send, talk};
use grapeshot_http::multipart::{Decoder, Event as Found};
use grapeshot_http::{
    Cookie, Event, HandlerError, Json, MultipartError, MultipartLimits, Router, Server, Status,
    handler,
};

const TYPE: &str = "Content-Type: multipart/form-data; boundary=\"x-y\"\r\n";

fn upload() -> Vec<u8> {
    b"ignored\r\n--x-y\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nvalue\r\n\
      --x-y  \r\ncontent-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".bin\"\r\n\
      Content-Type: application/x-y\r\n\r\n\0\r\n--x-\r\n--x\r\r\n\r\n--x-y\r\n\
      Content-Disposition: form-data; name=\"%22\"; filename=\"x\"; filename*=UTF-8''%C3%A9\r\n\r\n\r\n--x-y--\r\nepilogue"
        .to_vec()
}

fn site() -> Server {
    Server::with_handler(
        Router::new()
            .get("/query", |request| {
                format!("{:?}", request.query_form().get("a"))
            })
            .post("/form", |request| {
                let form = request.form()?;
                let all: Vec<_> = form
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                Ok::<_, HandlerError>(all.join("|"))
            })
            .post("/json", |request| {
                Ok::<_, HandlerError>(Json(request.json::<Vec<u32>>()?.iter().sum::<u32>()))
            })
            .post("/upload", |request| {
                let mut said = String::new();
                let mut parts = request.multipart(MultipartLimits::default())?;
                while let Some(mut part) = parts.next_part()? {
                    let mut content = Vec::new();
                    part.read_to_end(&mut content)?;
                    said += &format!(
                        "{} {:?} {:?} {content:?}\n",
                        part.name(),
                        part.file_name(),
                        part.content_type()
                    );
                }
                Ok::<_, HandlerError>(said)
            })
            .post("/texts", |request| {
                let mut parts = request.multipart(MultipartLimits::default())?;
                let part = parts.next_part()?.ok_or(Status::BAD_REQUEST)?;
                part.text(5)
            })
            .get("/cookie", |request| request.cookie("b").map(str::to_owned))
            .on(
                "GET",
                "/set",
                handler(|_request, response| {
                    let cookie = Cookie::build(("id", "a1"))
                        .path("/")
                        .http_only(true)
                        .secure(true);
                    response.cookie(&cookie.build()).send("set")
                }),
            )
            .on(
                "GET",
                "/bad",
                handler(|_request, response| {
                    response.cookie(&Cookie::new("id", "a;b")).send("set")
                }),
            )
            .on(
                "GET",
                "/events",
                handler(|request, response| {
                    let from: u32 = request.last_event_id().unwrap_or("0").parse()?;
                    let mut events = response.events()?;
                    events.send(&Event::new(format!("{from}\n+1")).id("1"))?;
                    events.comment()?;
                    events.finish()?;
                    Ok::<_, HandlerError>(())
                }),
            )
            .post("/trailers", |request| {
                let before = request.trailers().count();
                let length = request.read_body()?.len();
                let all: Vec<_> = request
                    .trailers()
                    .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                    .collect();
                Ok::<_, HandlerError>(format!("{before} {length} {}", all.join("|")))
            })
            .on(
                "GET",
                "/trailing",
                handler(|_request, response| {
                    let mut writer = response.header("Trailer", "X-Sum").start()?;
                    std::io::Write::write_all(&mut writer, b"content")?;
                    writer.finish_with(&[("X-Sum", "7")])
                }),
            )
            .on(
                "GET",
                "/hints",
                handler(|_request, response| {
                    response.interim(Status::EARLY_HINTS, &[("Link", "</a.css>; rel=preload")])?;
                    response.send("hinted")
                }),
            ),
    )
}

#[test]
fn fields_are_read_from_queries_and_forms() {
    let server = site();
    assert_eq!(get(&server, "/query?x=1&a=%20b").text(), "Some(\" b\")");
    let form = "Content-Type: Application/X-WWW-Form-URLEncoded; charset=utf-8\r\n";
    assert_eq!(
        send(&server, "POST", "/form", form, b"a=1&b=+2").text(),
        "a=1|b= 2"
    );
    assert_eq!(send(&server, "POST", "/form", "", b"a=1").status, 415);
}

#[test]
fn json_is_read_or_refused() {
    let server = site();
    let json = "Content-Type: application/json\r\n";
    let of = |content: &str| send(&server, "POST", "/json", json, content.as_bytes());
    assert_eq!(of("[1,2,3]").text(), "6");
    assert_eq!(of("[1,").status, 400);
    assert_eq!(of("{\"a\":1}").status, 422);
    assert_eq!(send(&server, "POST", "/json", "", b"[]").status, 415);
}

#[test]
fn uploads_are_read_part_by_part() {
    let server = site();
    let answer = send(&server, "POST", "/upload", TYPE, &upload());
    assert_eq!(
        answer.text(),
        "text None None [118, 97, 108, 117, 101]\n\
         file Some(\"a \\\"b\\\".bin\") Some(\"application/x-y\") [0, 13, 10, 45, 45, 120, 45, 13, 10, 45, 45, 120, 13, 13, 10]\n\
         \" Some(\"\u{e9}\") None []\n"
    );
    assert_eq!(
        send(&server, "POST", "/texts", TYPE, &upload()).text(),
        "value"
    );
    let long = upload().to_vec();
    let long = String::from_utf8(long).unwrap().replace("value", "longer");
    assert_eq!(
        send(&server, "POST", "/texts", TYPE, long.as_bytes()).status,
        413
    );
    assert_eq!(send(&server, "POST", "/upload", "", &upload()).status, 415);
    assert_eq!(
        send(&server, "POST", "/upload", TYPE, &upload()[..60]).status,
        400
    );
    assert_eq!(
        send(&server, "POST", "/upload", TYPE, b"--x-yz\r\n").status,
        400
    );
}

/// What a decoder finds in these bytes, fed `step` at a time.
fn decode(
    wire: &[u8],
    step: usize,
    limits: &MultipartLimits,
) -> Result<Vec<String>, MultipartError> {
    let mut decoder = Decoder::new("x-y", limits.clone());
    let mut found: Vec<String> = Vec::new();
    let mut content = Vec::new();
    for bytes in wire.chunks(step.max(1)) {
        decoder.feed(bytes);
        while let Some(event) = decoder.next_event()? {
            match event {
                Found::Part(head) => found.push(head.name),
                Found::Data(_) => {
                    let mut out = [0; 3];
                    let count = decoder.take(&mut out);
                    content.extend_from_slice(&out[..count]);
                }
                Found::PartEnd => found.push(format!("{:?}", std::mem::take(&mut content))),
                Found::End => {
                    found.push("end".to_owned());
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

#[test]
fn parts_survive_every_cut() {
    let wire = upload();
    let limits = MultipartLimits::default();
    let whole = decode(&wire, wire.len(), &limits).unwrap();
    assert_eq!(
        (whole.len(), whole.last().map(String::as_str)),
        (7, Some("end"))
    );
    for step in 1..wire.len() {
        assert_eq!(decode(&wire, step, &limits).unwrap(), whole, "{step}");
    }
}

#[test]
fn parts_have_their_limits() {
    let part = "--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
    let mut limits = MultipartLimits::default();
    limits.parts = 3;
    limits.headers = 60;
    limits.preamble = 20;
    let of = |wire: &str| decode(wire.as_bytes(), 7, &limits);
    assert!(of(&part.repeat(3)).is_ok());
    assert_eq!(of(&part.repeat(4)), Err(MultipartError::TooManyParts));
    let long = format!("--x-y\r\nX-A: {}\r\n{}", "x".repeat(60), &part[7..]);
    assert_eq!(of(&long), Err(MultipartError::HeadersTooLong));
    assert_eq!(
        of(&format!("--x-y\r\nX-A: {}", "x".repeat(600))),
        Err(MultipartError::HeadersTooLong)
    );
    assert_eq!(
        of(&format!("{}\r\n{part}", "x".repeat(100))),
        Err(MultipartError::HeadersTooLong)
    );
    assert!(
        of("--x-y\r\nContent-Type: text/plain\r\n\r\nx").is_err(),
        "a part without a name"
    );
    assert!(of("--x-y\r\n\r\nx").is_err());
    assert!(of("--x-y\r\nA b\r\n\r\nx").is_err());
    assert!(of(&format!("--x-y{}\r\n", " ".repeat(65))).is_err());
}

#[test]
fn cookies_are_read_and_set() {
    let server = site();
    let of = |cookies: &str| ask(&server, "GET", "/cookie", &format!("Cookie: {cookies}\r\n"));
    assert_eq!(of("a=1; b=\"2\"; c=3").text(), "2");
    assert_eq!(of("a=1").status, 404);
    let set = get(&server, "/set");
    assert_eq!(
        set.header("Set-Cookie"),
        Some("id=a1; HttpOnly; Secure; Path=/")
    );
    assert_eq!(
        get(&server, "/bad").status,
        500,
        "not to be smuggled into a header"
    );
}

#[test]
fn events_and_trailers_are_sent() {
    let server = site();
    let events = ask(&server, "GET", "/events", "Last-Event-ID: 41\r\n");
    assert_eq!(events.header("Content-Type"), Some("text/event-stream"));
    assert_eq!(events.text(), "id: 1\ndata: 41\ndata: +1\n\n:\n\n");
    let trailing = get(&server, "/trailing");
    assert_eq!(
        (trailing.text(), trailing.header("X-Sum")),
        ("content", Some("7"))
    );
    let old = talk(&server, "GET /trailing HTTP/1.0\r\n\r\n");
    assert!(
        old.ends_with(b"\r\n\r\ncontent"),
        "HTTP/1.0 has no trailers"
    );
    let out = talk(&server, "GET /hints HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut rest = &out[..];
    let hints = Answer::take(&mut rest);
    assert_eq!(
        (hints.status, hints.header("Link")),
        (103, Some("</a.css>; rel=preload"))
    );
    assert_eq!(Answer::take(&mut rest).text(), "hinted");
    let old = talk(&server, "GET /hints HTTP/1.0\r\n\r\n");
    assert_eq!(Answer::take(&mut &old[..]).status, 200);
}

#[test]
fn trailers_of_a_request_are_there_after_its_content() {
    let server = site();
    let wire = "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\nhello\r\n0\r\nX-Sum:  5 \r\nContent-Length: 9\r\nhost: evil\r\nx-b:\r\n\r\n";
    let out = talk(&server, wire);
    assert_eq!(Answer::take(&mut &out[..]).text(), "0 5 X-Sum=5|x-b=");
    assert_eq!(
        send(&server, "POST", "/trailers", "", b"hello").text(),
        "0 5 "
    );
}
