//! What lies in a folder, as a page.

use std::fmt::Write;
use std::time::SystemTime;

use grapeshot_vfs::{Entry, Kind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a name that becomes a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The page of a folder; folders come first, then by name.
pub(super) fn page(path: &str, is_root: bool, mut entries: Vec<Entry>) -> String {
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| {
            (
                entry.metadata.kind != Kind::Folder,
                entry.name.to_lowercase(),
            )
        };
        key(a).cmp(&key(b))
    });
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let title = escape(&decoded);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;\
         color:#222;background:#fff}}table{{border-collapse:collapse;width:100%}}\
         td{{padding:.2rem .6rem;border-bottom:1px solid #eee}}td+td{{text-align:right;\
         font-variant-numeric:tabular-nums;color:#666;white-space:nowrap}}a{{color:#0550ae;text-decoration:none}}\
         a:hover{{text-decoration:underline}}@media(prefers-color-scheme:dark){{body{{background:#161616;\
         color:#ddd}}td{{border-color:#333}}a{{color:#7ab7ff}}}}</style>\n<h1>{title}</h1>\n<table>\n"
    );
    if !is_root {
        page.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for entry in &entries {
        let slash = if entry.metadata.kind == Kind::Folder {
            "/"
        } else {
            ""
        };
        let href = utf8_percent_encode(&entry.name, SEGMENT);
        let size = match entry.metadata.kind {
            Kind::File => entry.metadata.len.to_string(),
            _ => String::new(),
        };
        let date = entry.metadata.modified.map_or_else(String::new, date);
        // `./` keeps a name with a colon in it from being a scheme.
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{href}{slash}\">{}{slash}</a><td>{size}<td>{date}",
            escape(&entry.name)
        );
    }
    page.push_str("</table>\n");
    page
}

fn date(time: SystemTime) -> String {
    // `Sun, 06 Nov 1994 08:49:37 GMT`, without the day's name and the seconds.
    let text = httpdate::fmt_http_date(time);
    text.get(5..22).unwrap_or_default().to_owned()
}

/// Text, as it may stand in HTML, in attributes too.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use grapeshot_vfs::Metadata;

    #[test]
    fn names_cannot_become_markup() {
        let entry = |name: &str, kind| Entry {
            name: name.to_owned(),
            metadata: Metadata::new(kind, 5, None, String::new()),
        };
        let page = page(
            "/%3Cb%3E/",
            false,
            vec![
                entry("<script>\"'&.txt", Kind::File),
                entry("javascript:alert(1)", Kind::File),
                entry("zfolder", Kind::Folder),
            ],
        );
        assert!(!page.contains("<script>") && page.contains("<title>/&lt;b&gt;/</title>"));
        assert!(page.contains(
            "href=\"./%3Cscript%3E%22%27%26.txt\">&lt;script&gt;&quot;&#39;&amp;.txt</a>"
        ));
        assert!(page.contains("href=\"./javascript%3Aalert%281%29\""));
        let at = |text: &str| page.find(text).unwrap();
        assert!(at("../") < at("zfolder/") && at("zfolder/") < at("&lt;script"));
    }
}
