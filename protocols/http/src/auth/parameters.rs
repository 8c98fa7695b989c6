//! Lists of `name=value` as `Authorization` and `Content-Disposition` have them. Performs no I/O.

use crate::body::is_token;

/// Parameters of one header at most; a list with more is malformed.
const MOST: usize = 32;

/// Takes a list apart whose items are separated by `separator`; names come in lower case, quoted strings without quotes
/// and backslashes. `None` if it is malformed.
pub fn parse(mut text: &str, separator: char) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', separator]);
        if text.is_empty() {
            return Some(found);
        }
        let (name, rest) = text.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(is_token) || found.len() == MOST {
            return None;
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find([separator, ' ', '\t']).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        text = rest.trim_start_matches([' ', '\t']);
        if !text.is_empty() && !text.starts_with(separator) {
            return None;
        }
        found.push((name.to_ascii_lowercase(), value));
    }
}

/// The text up to the closing quote, and what follows it. A backslash protects a quote or another backslash; before
/// anything else it is itself: browsers send the names of files so.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, next)) => value.push(next),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    None
}

/// `UTF-8''na%20me` (RFC 8187), decoded.
pub(crate) fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(encoded);
    Some(decoded.decode_utf8().ok()?.into_owned())
}

/// The value of a name that occurs once.
pub(crate) fn only<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let mut values = parameters.iter().filter(|(other, _)| other == name);
    let value = values.next()?;
    values.next().is_none().then_some(&*value.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        let of = |text: &str, separator| {
            let list = parse(text, separator)?;
            let items = list.iter().map(|(name, value)| format!("{name}={value}"));
            Some(items.collect::<Vec<_>>().join("|"))
        };
        assert_eq!(of("a=b", ',').as_deref(), Some("a=b"));
        assert_eq!(
            of("A=b, c=\"d, \\\"e\\\\\" ,,f = g", ',').as_deref(),
            Some("a=b|c=d, \"e\\|f=g")
        );
        assert_eq!(
            of("name=\"x;y\"; filename=\"C:\\dir\"", ';').as_deref(),
            Some("name=x;y|filename=C:\\dir")
        );
        assert_eq!(of("", ',').as_deref(), Some(""));
        for wrong in ["a", "=b", "a b=c", "a=\"b", "a=\"b\"c", "a=b c"] {
            assert_eq!(of(wrong, ','), None, "{wrong}");
        }
        assert_eq!(of(&vec!["a=b"; 33].join(","), ','), None);
        assert_eq!(extended("UTF-8''a%20b").as_deref(), Some("a b"));
        assert_eq!(extended("latin1''a"), None);
        let list = parse("a=1,a=2,b=3", ',').unwrap();
        assert_eq!((only(&list, "a"), only(&list, "b")), (None, Some("3")));
    }
}
