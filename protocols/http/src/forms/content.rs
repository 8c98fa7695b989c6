//! The fields of a form or a query. Performs no I/O.

/// Fields that are read at most; the rest is left out.
const MOST: usize = 10_000;

/// Named texts, in their order; a name may occur several times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes `a=1&b=2`; what is no UTF-8 is replaced.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let fields = form_urlencoded::parse(text).take(MOST);
        Self(
            fields
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The value of a field; of several the first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter()
            .filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let form = Form::parse(b"a=1&b=%C3%A9+x&a=2&c&=d&e=%zz");
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(form.get("b"), Some("\u{e9} x"));
        assert_eq!(
            (form.get("c"), form.get(""), form.get("e")),
            (Some(""), Some("d"), Some("%zz"))
        );
        assert_eq!(form.get("x"), None);
        assert_eq!(Form::parse(&b"a=1&".repeat(MOST + 5)).iter().count(), MOST);
    }
}
