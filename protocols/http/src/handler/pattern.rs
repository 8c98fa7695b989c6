//! The patterns of routes, `/users/{id}`. Performs no I/O.

/// One segment of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'p> {
    Literal(&'p str),
    /// `{name}`: one segment that is not empty.
    One(&'p str),
    /// `{name...}`: all that is left, be it nothing.
    Rest(&'p str),
}

/// Takes a pattern apart, or says what is wrong with it.
pub(super) fn parse(pattern: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let path = pattern
        .strip_prefix('/')
        .ok_or("it does not begin with a slash")?;
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for segment in path.split('/') {
        if matches!(pieces.last(), Some(Piece::Rest(_))) {
            return Err("nothing can follow what takes all the rest");
        }
        let piece = parse_segment(segment)?;
        if let Piece::One(name) | Piece::Rest(name) = piece
            && pieces.contains(&Piece::One(name))
        {
            return Err("a name occurs twice");
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

fn parse_segment(segment: &str) -> Result<Piece<'_>, &'static str> {
    let Some(inner) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return if segment.contains(['{', '}']) {
            Err("a parameter is a whole segment, in braces")
        } else {
            Ok(Piece::Literal(segment))
        };
    };
    let (name, piece): (_, fn(_) -> _) = match inner.strip_suffix("...") {
        Some(name) => (name, Piece::Rest),
        None => (inner, Piece::One),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name {
        Ok(piece(name))
    } else {
        Err("a parameter's name consists of letters, digits and underscores")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart() {
        use Piece::{Literal, One, Rest};
        assert_eq!(parse("/"), Ok(vec![Literal("")]));
        assert_eq!(
            parse("/a/{b}/c/{d...}"),
            Ok(vec![Literal("a"), One("b"), Literal("c"), Rest("d")])
        );
        assert_eq!(parse("/a/"), Ok(vec![Literal("a"), Literal("")]));
        for wrong in [
            "",
            "a",
            "/{a",
            "/a}",
            "/x{a}",
            "/{}",
            "/{...}",
            "/{a b}",
            "/{a}/{a}",
            "/{a...}/b",
            "/{a}/{a...}",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
