//! The function that an attribute stands on.

use std::fmt;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::quote_spanned;

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Error {
    span: Span,
    message: String,
}

impl Error {
    pub(crate) fn new(span: Span, message: impl fmt::Display) -> Self {
        Self {
            span,
            message: message.to_string(),
        }
    }

    pub(crate) fn to_tokens(&self) -> TokenStream {
        let message = &self.message;
        quote_spanned! { self.span => ::core::compile_error!(#message); }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A function without arguments, in its parts.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) attributes: TokenStream,
    pub(crate) visibility: TokenStream,
    pub(crate) name: Ident,
    /// From the arrow on; may be empty.
    pub(crate) returns: TokenStream,
    pub(crate) body: Group,
}

impl Function {
    pub(crate) fn parse(item: TokenStream) -> Result<Self, Error> {
        let mut tokens = item.into_iter().peekable();
        let mut attributes = TokenStream::new();
        while let Some(hash @ TokenTree::Punct(_)) = tokens.next_if(is_hash) {
            let brackets = tokens.next();
            if let Some(TokenTree::Group(group)) = &brackets
                && group.stream().to_string() == "test"
            {
                let why = "remove #[test]: this attribute makes a test of the function already";
                return Err(Error::new(group.span(), why));
            }
            attributes.extend([Some(hash), brackets].into_iter().flatten());
        }
        let mut visibility = TokenStream::new();
        loop {
            match tokens.next() {
                Some(TokenTree::Ident(word)) if word == "fn" => break,
                Some(TokenTree::Ident(word)) if word == "async" => {
                    let why = "write `fn` without `async`: a coroutine calls what blocks, and awaits nothing";
                    return Err(Error::new(word.span(), why));
                }
                Some(TokenTree::Ident(word)) if word == "pub" => {
                    visibility.extend([TokenTree::Ident(word)]);
                }
                Some(TokenTree::Group(group)) if !visibility.is_empty() => {
                    visibility.extend([TokenTree::Group(group)]);
                }
                other => {
                    let span = other.map_or_else(Span::call_site, |token| token.span());
                    let why = "expected a plain function here: `fn name() { .. }`";
                    return Err(Error::new(span, why));
                }
            }
        }
        let name = match tokens.next() {
            Some(TokenTree::Ident(name)) => name,
            _ => return Err(Error::new(Span::call_site(), "the function has no name")),
        };
        match tokens.next() {
            Some(TokenTree::Group(list)) if list.delimiter() == Delimiter::Parenthesis => {
                if !list.stream().is_empty() {
                    let why =
                        format!("`{name}` must take no arguments: nobody is there to give them");
                    return Err(Error::new(list.span(), why));
                }
            }
            _ => {
                let why = format!("`{name}` must not be generic");
                return Err(Error::new(name.span(), why));
            }
        }
        let mut rest: Vec<_> = tokens.collect();
        match rest.pop() {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => Ok(Self {
                attributes,
                visibility,
                name,
                returns: rest.into_iter().collect(),
                body,
            }),
            _ => Err(Error::new(name.span(), format!("`{name}` has no body"))),
        }
    }
}

fn is_hash(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(item: &str) -> Result<Function, String> {
        Function::parse(item.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_function_in_its_parts() {
        let it = parse("#[ignore] /// why\n pub(crate) fn f() -> Result<(), E> { g() }").unwrap();
        assert_eq!(it.name, "f");
        assert!(it.attributes.to_string().starts_with("# [ignore]"));
        assert_eq!(it.visibility.to_string().replace(' ', ""), "pub(crate)");
        assert_eq!(it.returns.to_string().replace(' ', ""), "->Result<(),E>");
        assert_eq!(it.body.to_string(), "{ g () }");
    }

    #[test]
    fn what_is_no_such_function() {
        for (item, complaint) in [
            ("async fn f() {}", "without `async`"),
            ("unsafe fn f() {}", "a plain function"),
            ("struct S;", "a plain function"),
            ("", "a plain function"),
            ("fn f<T>() {}", "must not be generic"),
            ("fn f(seed: u64) {}", "must take no arguments"),
            ("fn f();", "has no body"),
            ("#[test] fn f() {}", "remove #[test]"),
        ] {
            let error = parse(item).unwrap_err();
            assert!(error.contains(complaint), "{item}: {error}");
        }
    }
}
