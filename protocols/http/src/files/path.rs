//! From the path of a target to a path below a root. Performs no I/O.

use percent_encoding::percent_decode_str;

/// The segments below the root that a target's path means; `None` for a path that could mean anything else.
///
/// Decoded once, and a separator may not come out of the decoding. `.` and `..` are refused rather than resolved
/// (a client resolves them before it asks), and so are NUL, empty segments and, on request, names with a leading dot.
pub(super) fn segments(path: &str, dot_files: bool) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    let mut segments = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() && parts.peek().is_none() {
            // The empty last segment says "the folder itself".
            break;
        }
        let name = percent_decode_str(part).decode_utf8().ok()?;
        let hidden = name.starts_with('.') && !dot_files;
        if name.is_empty()
            || name == "."
            || name == ".."
            || hidden
            || name.contains(['/', '\\', '\0'])
        {
            return None;
        }
        segments.push(name.into_owned());
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_decoded() {
        let of = |path| segments(path, false).map(|segments| segments.join("|"));
        assert_eq!(of("/").as_deref(), Some(""));
        assert_eq!(of("/a").as_deref(), Some("a"));
        assert_eq!(of("/a/").as_deref(), Some("a"));
        assert_eq!(of("/a%20b/c%c3%a9.txt").as_deref(), Some("a b|c\u{e9}.txt"));
        assert_eq!(of("/a..b").as_deref(), Some("a..b"));
        assert_eq!(of("/%252e%252e").as_deref(), Some("%2e%2e"), "decoded once");
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/./x",
            "//etc/passwd",
            "/a//b",
            "/%2fetc",
            "/a%2f..%2f..",
            "/a%5c..",
            "/a\\..",
            "/x%00.html",
            "/%ff",
            "*",
            "",
            "etc/passwd",
            "/.git/config",
            "/.env",
        ] {
            assert_eq!(segments(path, false), None, "{path}");
        }
        assert!(segments("/.well-known/x", true).is_some());
        assert_eq!(segments("/..", true), None);
    }
}
