//! Which coding of the content a client likes best (RFC 9110, section 12.5.3). Performs no I/O.

use crate::head::HeadView;

/// A coding of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// Brotli, RFC 7932.
    Brotli,
    /// Zstandard, RFC 8878.
    Zstd,
    /// gzip, RFC 1952.
    Gzip,
    /// zlib, RFC 1950: what HTTP calls `deflate`.
    Deflate,
}

impl ContentCoding {
    /// All, the one that we like best first.
    pub const ALL: [ContentCoding; 4] = [
        ContentCoding::Brotli,
        ContentCoding::Zstd,
        ContentCoding::Gzip,
        ContentCoding::Deflate,
    ];

    /// Its name in `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ContentCoding::Brotli => "br",
            ContentCoding::Zstd => "zstd",
            ContentCoding::Gzip => "gzip",
            ContentCoding::Deflate => "deflate",
        }
    }

    /// The coding of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim();
        let gzip = name
            .eq_ignore_ascii_case("x-gzip")
            .then_some(ContentCoding::Gzip);
        let same = |coding: &ContentCoding| coding.name().eq_ignore_ascii_case(name);
        ContentCoding::ALL.into_iter().find(same).or(gzip)
    }
}

/// Those of the `offered` that the client takes, the one it likes best first; of those that it likes the same, the order
/// of the offer counts. None, if it would rather have the content as it is.
pub(crate) fn accepted(request: HeadView<'_>, offered: &[ContentCoding]) -> Vec<ContentCoding> {
    let mut any = None;
    let mut identity = None;
    let mut named = [None; ContentCoding::ALL.len()];
    for item in request
        .values("Accept-Encoding")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|list| list.split(','))
    {
        let (name, quality) = with_quality(item);
        if name == "*" {
            any = Some(quality);
        } else if name.eq_ignore_ascii_case("identity") {
            identity = Some(quality);
        } else if let Some(coding) = ContentCoding::of_name(name) {
            named[coding as usize] = Some(quality);
        }
    }
    let quality = |coding: &ContentCoding| named[*coding as usize].or(any).unwrap_or(0);
    let least = identity.unwrap_or(1).max(1);
    let mut taken: Vec<_> = offered
        .iter()
        .copied()
        .filter(|coding| quality(coding) >= least)
        .collect();
    taken.sort_by_key(|coding| std::cmp::Reverse(quality(coding)));
    taken
}

/// `name;q=0.5`: the name, and the quality in thousandths; what is malformed is not wanted.
fn with_quality(item: &str) -> (&str, u32) {
    let mut parts = item.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let quality = parts
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
        .map_or(1000, |(_, value)| {
            let value: f32 = value.trim().parse().unwrap_or(0.0);
            (value.clamp(0.0, 1.0) * 1000.0) as u32
        });
    (name, quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;

    #[test]
    fn the_client_chooses() {
        let of = |header: &str| {
            let wire = format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n");
            let mut head = Head::default();
            head.parse(wire.as_bytes()).unwrap();
            let taken = accepted(head.view(wire.as_bytes()), &ContentCoding::ALL);
            let names: Vec<_> = taken.into_iter().map(ContentCoding::name).collect();
            names.join(" ")
        };
        for (header, taken) in [
            ("", ""),
            ("Accept-Encoding:\r\n", ""),
            ("Accept-Encoding: gzip\r\n", "gzip"),
            ("Accept-Encoding: x-GZIP, deflate\r\n", "gzip deflate"),
            (
                "Accept-Encoding: gzip, deflate, br, zstd\r\n",
                "br zstd gzip deflate",
            ),
            ("Accept-Encoding: gzip;q=1.0, br;q=0.5\r\n", "gzip br"),
            ("Accept-Encoding: gzip;q=0\r\n", ""),
            ("Accept-Encoding: *\r\n", "br zstd gzip deflate"),
            ("Accept-Encoding: *, br;q=0\r\n", "zstd gzip deflate"),
            ("Accept-Encoding: gzip;q=0.5, identity;q=0.8\r\n", ""),
            (
                "Accept-Encoding: gzip\r\nAccept-Encoding: br;q=0.9\r\n",
                "gzip br",
            ),
            ("Accept-Encoding: gzip;q=x, br ; q=0.001\r\n", "br"),
            ("Accept-Encoding: sdch, gzip;v=1;q=0.2\r\n", "gzip"),
        ] {
            assert_eq!(of(header), taken, "{header}");
        }
    }
}
