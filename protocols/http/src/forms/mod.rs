//! What browsers send: queries, forms, cookies, files.

mod content;
pub mod multipart;

pub use content::Form;
pub use multipart::{Multipart, MultipartError, MultipartLimits, Part};

use cookie::Cookie;

use crate::auth::parameters;
use crate::{HandlerError, Rejection, Request, Response, Status};

impl Request<'_> {
    /// The fields of the query, decoded.
    #[must_use]
    pub fn query_form(&self) -> Form {
        Form::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// Reads the fields of a form, which must be the whole content (`application/x-www-form-urlencoded`), within the limit on
    /// it. **May suspend.**
    ///
    /// # Errors
    /// A [`Rejection`] with 415 for content of another type; else those of [`read_body`](Request::read_body). Pass them on.
    pub fn form(&mut self) -> Result<Form, HandlerError> {
        let (kind, _) = self.content_kind();
        if kind != "application/x-www-form-urlencoded" {
            return Err(
                Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, "a form is expected").into(),
            );
        }
        Ok(Form::parse(&self.read_body()?))
    }

    /// Reads a value from JSON, which must be the whole content, within the limit on it. **May suspend.**
    ///
    /// # Errors
    /// A [`Rejection`] with 415 for content of another type, with 400 for malformed JSON, with 422 for JSON of another shape;
    /// else those of [`read_body`](Request::read_body). Pass them on.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, HandlerError> {
        let (kind, _) = self.content_kind();
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err(Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, "JSON is expected").into());
        }
        serde_json::from_slice(&self.read_body()?).map_err(|error| {
            let status = if error.is_data() {
                Status::UNPROCESSABLE_CONTENT
            } else {
                Status::BAD_REQUEST
            };
            Rejection::new(status, error.to_string()).into()
        })
    }

    /// Reads the parts of `multipart/form-data` as they come, within `limits`. Remember to
    /// [`limit_body`](Request::limit_body): by default, content is limited to what fits in memory.
    ///
    /// # Errors
    /// A [`Rejection`] with 415 for content of another type.
    pub fn multipart(
        &mut self,
        limits: MultipartLimits,
    ) -> Result<Multipart<&mut Self>, Rejection> {
        let (kind, rest) = self.content_kind();
        let boundary = parameters::parse(rest, ';')
            .filter(|_| kind == "multipart/form-data")
            .and_then(|list| parameters::only(&list, "boundary").map(str::to_owned))
            .filter(|boundary| multipart::is_boundary(boundary));
        match boundary {
            Some(boundary) => Ok(Multipart::new(self, &boundary, limits)),
            None => Err(Rejection::new(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "multipart/form-data is expected",
            )),
        }
    }

    /// The media type, in lower case, and its parameters.
    fn content_kind(&self) -> (String, &str) {
        let value = self.header("Content-Type").unwrap_or_default();
        let (kind, rest) = value.split_once(';').unwrap_or((value, ""));
        (kind.trim().to_ascii_lowercase(), rest)
    }

    /// The value of a cookie, as sent.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.values("Cookie")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|list| list.split(';'))
            .filter_map(|pair| pair.split_once('='))
            .find(|(other, _)| other.trim() == name)
            .map(|(_, value)| value.trim())
            .map(|value| {
                let quoted = value
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                quoted.unwrap_or(value)
            })
    }
}

impl Response<'_> {
    /// Sets a cookie. A value that a cookie cannot have (RFC 6265, section 4.1.1) makes the sending fail, as other headers do
    /// that cannot be.
    pub fn cookie(self, cookie: &Cookie<'_>) -> Self {
        let octet =
            |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        let name_ok = !cookie.name().is_empty() && cookie.name().bytes().all(crate::body::is_token);
        let rest_ok = [cookie.path(), cookie.domain()]
            .into_iter()
            .flatten()
            .all(|text| {
                text.bytes()
                    .all(|byte| (0x20..0x7f).contains(&byte) && byte != b';')
            });
        if !name_ok || !rest_ok || !cookie.value().bytes().all(octet) {
            return self.misused(
                "a cookie's name, value, path or domain has a character that it cannot have",
            );
        }
        self.header("Set-Cookie", cookie.to_string())
    }
}
