//! What stands in the attribute's parentheses.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};

use crate::function::Error;

/// The arguments given: a name each, with the tokens after `=`.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Vec<(Ident, Option<TokenStream>)>);

impl Arguments {
    /// Takes them apart; only the `known` are allowed.
    pub(crate) fn parse(tokens: TokenStream, known: &[&str]) -> Result<Self, Error> {
        let mut arguments = Self::default();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(first) = tokens.next() {
            let TokenTree::Ident(name) = first else {
                let why = format!("expected an argument's name: {}", list(known));
                return Err(Error::new(first.span(), why));
            };
            if !known.iter().any(|&it| name == it) {
                let why = format!("there is no argument `{name}`; there are {}", list(known));
                return Err(Error::new(name.span(), why));
            }
            if arguments.name(&name.to_string()).is_some() {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            let value = match tokens.next() {
                None => None,
                Some(token) if is(&token, ',') => None,
                Some(token) if is(&token, '=') => {
                    let mut value = TokenStream::new();
                    while let Some(token) = tokens.next_if(|token| !is(token, ',')) {
                        value.extend([token]);
                    }
                    tokens.next();
                    if value.is_empty() {
                        let why = format!("`{name} =` lacks its value");
                        return Err(Error::new(name.span(), why));
                    }
                    Some(value)
                }
                Some(token) => {
                    let why = format!("expected `,` or `=` after `{name}`");
                    return Err(Error::new(token.span(), why));
                }
            };
            arguments.0.push((name, value));
        }
        Ok(arguments)
    }

    /// Where this argument was given.
    fn name(&self, wanted: &str) -> Option<&Ident> {
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found.map(|(name, _)| name)
    }

    fn get(&self, wanted: &str) -> Option<(&Ident, Option<&TokenStream>)> {
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found.map(|(name, value)| (name, value.as_ref()))
    }

    /// An argument without a value.
    pub(crate) fn flag(&self, wanted: &str) -> Result<bool, Error> {
        match self.get(wanted) {
            None => Ok(false),
            Some((_, None)) => Ok(true),
            Some((name, Some(_))) => {
                let why = format!("`{name}` has no value: write it alone");
                Err(Error::new(name.span(), why))
            }
        }
    }

    /// The value of an argument that needs one, such as `example`.
    pub(crate) fn value(&self, wanted: &str, example: &str) -> Result<Option<&TokenStream>, Error> {
        match self.get(wanted) {
            None => Ok(None),
            Some((_, Some(value))) => Ok(Some(value)),
            Some((name, None)) => {
                let why = format!("`{name}` needs a value: `{name} = {example}`");
                Err(Error::new(name.span(), why))
            }
        }
    }

    /// An argument that may have a value.
    pub(crate) fn optional(&self, wanted: &str) -> Option<Option<&TokenStream>> {
        self.get(wanted).map(|(_, value)| value)
    }

    /// Refuses these, because of `why`.
    pub(crate) fn refuse(&self, unwanted: &[&str], why: &str) -> Result<(), Error> {
        match unwanted.iter().find_map(|unwanted| self.name(unwanted)) {
            None => Ok(()),
            Some(name) => Err(Error::new(name.span(), format!("`{name}`: {why}"))),
        }
    }

    /// Where `wanted` stands, for a complaint about its value.
    pub(crate) fn span(&self, wanted: &str) -> Span {
        self.name(wanted).map_or_else(Span::call_site, Ident::span)
    }
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn list(known: &[&str]) -> String {
    known.join(", ")
}
