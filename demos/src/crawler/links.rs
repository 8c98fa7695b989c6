//! Finding the links of a page: no parser of HTML, but an eye for `href`. Performs no I/O.

use grapeshot_http::client::Url;

/// Links of one page that are followed.
const MOST: usize = 1000;

/// The http and https links of a page, absolute and without fragments, each once, in their order.
#[must_use]
pub fn links(page: &Url, html: &str) -> Vec<Url> {
    let mut found: Vec<Url> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut base = page.clone();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let end = rest.find('>').unwrap_or(rest.len());
        let tag = &rest[..end];
        rest = &rest[end..];
        let is = |name: &str| {
            tag.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
                && tag[name.len()..].starts_with(|c: char| c.is_ascii_whitespace())
        };
        let is_base = is("base");
        if !(is_base || is("a") || is("area")) {
            continue;
        }
        let Some(Ok(mut url)) = href(tag).map(|href| base.join(&href)) else {
            continue;
        };
        url.set_fragment(None);
        if is_base {
            base = url;
        } else if matches!(url.scheme(), "http" | "https")
            && found.len() < MOST
            && seen.insert(url.clone())
        {
            found.push(url);
        }
    }
    found
}

/// The value of a tag's `href`.
fn href(tag: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let at = lower.match_indices("href").map(|(at, _)| at).find(|&at| {
        lower.as_bytes()[..at]
            .last()
            .is_some_and(u8::is_ascii_whitespace)
    })?;
    let value = tag[at + 4..].trim_start().strip_prefix('=')?.trim_start();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split(|c: char| c.is_ascii_whitespace()).next()?,
    };
    Some(value.trim().replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_every_spelling() {
        let page = Url::parse("http://a.org/b/c").unwrap();
        let html =
            "<A class=x HREF = 'd?e&amp;f#g'>1</a> <a href=/h>2</a><a\nhref=\"//i.org\">3</a>
            <a data-href='no'>4</a><link href='no'> <!-- <a href=no> --> <a href='mailto:no'>5</a>
            <a href='/h#again'>6</a><abbr href='no'> <a href=";
        let found: Vec<_> = links(&page, html).into_iter().map(String::from).collect();
        assert_eq!(
            found,
            ["http://a.org/b/d?e&f", "http://a.org/h", "http://i.org/"]
        );
        let based = "<base href='http://j.org/k/'><a href='l'>";
        assert_eq!(links(&page, based)[0].as_str(), "http://j.org/k/l");
    }

    #[test]
    fn nonsense_has_no_links() {
        let page = Url::parse("http://a.org/").unwrap();
        for html in [
            "",
            "<",
            "<a",
            "<a href",
            "<a href=",
            "<!--",
            "<a href='",
            "ü<aü href=ü",
        ] {
            assert!(links(&page, html).len() <= 1, "{html}");
        }
    }
}
