//! Letting in people who say their name and a password, and letting them out.

use grapeshot_http::{Request, Response, Status};

use super::files::{HTML, LOGIN, LOGIN_TOKEN, LOGIN_USER, headers};
use super::gate::Credentials;
use super::logins::Who;
use super::new_token;
use super::site::{Answer, Site, WRONG_TOKEN_DELAY};
use crate::journal;
use crate::login::LONGEST_USER;

impl Site {
    /// Lets one in by name and password. **May suspend**: a wrong one waits for its answer.
    pub(super) fn log_in(&self, request: &mut Request<'_>, response: Response<'_>) -> Answer {
        let form = request.form()?;
        let field = |name| form.get(name).unwrap_or_default();
        let user = field("user");
        let Some(rights) = self.shared.users.said(user, field("password")) else {
            let shown: String = user.chars().take(LONGEST_USER).collect();
            self.refuse(request, &format!("a wrong login as {shown:?}"));
            grapeshot::sleep(WRONG_TOKEN_DELAY);
            let complaint =
                "<p class=\"wrong\" role=\"alert\">This is not the password of anybody here.</p>";
            return self.ask_who(response, Status::FORBIDDEN, complaint);
        };
        let who = Who {
            name: user.to_owned(),
            rights: rights.common(self.rights),
        };
        journal::info(format!(
            "page: {user} logged in from {}, may {}",
            request.peer(),
            who.rights
        ));
        let cookie = self.gate.enter(&new_token()?, who, grapeshot::time::now());
        to_the_page(response, &cookie)
    }

    pub(super) fn log_out(&self, request: &Request<'_>, response: Response<'_>) -> Answer {
        to_the_page(response, &self.gate.leave(Credentials::of(request)))
    }

    /// The form that asks for what lets one in.
    pub(super) fn ask_who(
        &self,
        response: Response<'_>,
        status: Status,
        complaint: &str,
    ) -> Answer {
        let question = if self.gate.takes_logins() {
            LOGIN_USER.replace("{{complaint}}", complaint)
        } else {
            LOGIN_TOKEN.to_owned()
        };
        Ok(headers(response)
            .status(status)
            .header("Content-Type", HTML)
            .send(LOGIN.replace("{{question}}", &question))?)
    }
}

/// Where one goes who has logged in or out.
fn to_the_page(response: Response<'_>, cookie: &str) -> Answer {
    Ok(headers(response)
        .status(Status::SEE_OTHER)
        .header("Location", "/")
        .header("Set-Cookie", cookie)
        .send("")?)
}
